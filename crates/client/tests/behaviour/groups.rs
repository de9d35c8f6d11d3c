use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ferrocket::{ConsumeFrom, Leftover, Message, ReceivedMessage};
use futures::future::join_all;
use parking_lot::Mutex;

use crate::server::{Inbox, Server, assigned, eventually, producer, send_numbered};

#[tokio::test]
async fn a_restarted_consumer_goes_on_where_it_settled() {
    let server = Server::start().await;
    let (topic, group) = (server.topic(4).await, server.group());
    let sender = server.client().await;
    let producer = producer(&sender).await;
    send_numbered(&producer, &topic, 0, 100).await;
    let (first, second) = (Inbox::default(), Inbox::default());
    let client = server.client().await;
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(first.listener()).build().await.unwrap();
    first.wait_for(100).await;
    client.shutdown().await.unwrap();
    send_numbered(&producer, &topic, 100, 50).await;
    let client = server.client().await;
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(second.listener()).build().await.unwrap();
    second.wait_for(50).await;
    let twice: Vec<_> = second.counts().into_keys().filter(|body| first.counts().contains_key(body)).collect();
    assert!(twice.is_empty(), "what was settled came again: {twice:?}");
    client.shutdown().await.unwrap();
    sender.shutdown().await.unwrap();
}

/// Seen to fail with members that go on one message behind the offset that the broker has.
#[tokio::test]
async fn members_come_and_go_while_messages_flow_and_none_is_lost() {
    let server = Server::start().await;
    let (topic, group, inbox) = (server.topic(6).await, server.group(), Inbox::default());
    let sender = server.client().await;
    let producer = producer(&sender).await;
    let join = async || {
        let client = server.client().await;
        let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
        let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
        (client, consumer)
    };
    let (stored, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    // Eight that send one message after the other, all the time.
    let load = join_all((0..8).map(|sender| {
        let (producer, topic, stored, is_over) = (&producer, &topic, &stored, &is_over);
        async move {
            for number in 0.. {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let body = format!("{number} of {sender}").into_bytes();
                let sending = producer.send(Message::new(topic, body.clone())).timeout(Duration::from_secs(20));
                sending.await.unwrap();
                stored.lock().push(body);
            }
        }
    }));
    let more = async || {
        let before = stored.lock().len();
        eventually("messages flow", async || stored.lock().len() >= before + 100).await;
    };
    let changes = async {
        let one = join().await;
        assigned(&one.1, &topic, 6).await;
        more().await;
        let (two, three) = (join().await, join().await);
        for (_, consumer) in [&one, &two, &three] {
            assigned(consumer, &topic, 2).await;
        }
        more().await;
        two.0.shutdown().await.unwrap();
        assigned(&one.1, &topic, 3).await;
        more().await;
        three.0.shutdown().await.unwrap();
        assigned(&one.1, &topic, 6).await;
        more().await;
        is_over.store(true, Ordering::SeqCst);
        one
    };
    let (_, one) = tokio::join!(load, changes);
    let stored = stored.into_inner();
    inbox.wait_for(stored.len()).await;
    let got = inbox.counts();
    assert!(stored.iter().all(|body| got.contains_key(body)));
    one.0.shutdown().await.unwrap();
    sender.shutdown().await.unwrap();
}

#[tokio::test]
async fn two_groups_get_every_message_each() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(3).await;
    let (one, two) = (Inbox::default(), Inbox::default());
    let mut consumers = Vec::new();
    for inbox in [&one, &two] {
        let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
        consumers.push(consumer.concurrent(inbox.listener()).build().await.unwrap());
    }
    send_numbered(&producer(&client).await, &topic, 0, 200).await;
    one.wait_for(200).await;
    two.wait_for(200).await;
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn many_queues_are_all_consumed() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(64).await, Inbox::default());
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    assigned(&consumer, &topic, 64).await;
    send_numbered(&producer(&client).await, &topic, 0, 640).await;
    inbox.wait_for(640).await;
    let queues: std::collections::BTreeSet<_> =
        inbox.messages().iter().map(|message| message.queue().clone()).collect();
    assert_eq!(queues.len(), 64);
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_says_which_handlers_it_dropped_and_their_messages_come_again() {
    let server = Server::start().await;
    let (topic, group, inbox) = (server.topic(1).await, server.group(), Inbox::default());
    let client = server.client().await;
    send_numbered(&producer(&client).await, &topic, 0, 1).await;
    let started = std::sync::Arc::new(tokio::sync::Notify::new());
    let listener = {
        let started = started.clone();
        move |_: ReceivedMessage| {
            started.notify_one();
            std::future::pending::<()>()
        }
    };
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(listener).build().await.unwrap();
    started.notified().await;
    let error = consumer.shutdown().within(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error.leftovers(), [Leftover::Handlers { messages: 1, .. }]), "{:?}", error.leftovers());
    client.shutdown().await.unwrap();
    let client = server.client().await;
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(1).await;
    eventually("no handler is left", async || _consumer.health().running_handlers == 0).await;
    client.shutdown().await.unwrap();
}
