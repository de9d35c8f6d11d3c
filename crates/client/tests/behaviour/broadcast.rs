//! Consumers that all get every message.

use std::{collections::HashMap, sync::Arc};

use ferrocket::{BoxError, ConsumeFrom, FileOffsets, Group, Message, MessageQueue, OffsetStore, ReceivedMessage};
use parking_lot::Mutex;

use crate::server::{Inbox, Server, assigned, eventually, producer, send_numbered};

/// Progress in memory, of one member.
#[derive(Clone, Default)]
struct Notebook(Arc<Mutex<HashMap<MessageQueue, u64>>>);

impl OffsetStore for Notebook {
    async fn read(&self, _: &Group, queue: &MessageQueue) -> Result<Option<u64>, BoxError> {
        Ok(self.0.lock().get(queue).copied())
    }

    async fn write(&self, _: &Group, offsets: &[(MessageQueue, u64)]) -> Result<(), BoxError> {
        self.0.lock().extend(offsets.iter().cloned());
        Ok(())
    }
}

/// CON-MODEL-01.
#[tokio::test]
async fn every_member_gets_every_message_and_goes_on_where_its_own_store_says() {
    let server = Server::start().await;
    let (topic, group) = (server.topic(3).await, server.group());
    let (one, two) = (server.client().await, server.client().await);
    let producer = producer(&one).await;
    let (inboxes, notebooks) = ([Inbox::default(), Inbox::default()], [Notebook::default(), Notebook::default()]);
    let mut consumers = Vec::new();
    for (client, (inbox, notebook)) in [&one, &two].into_iter().zip(inboxes.iter().zip(&notebooks)) {
        let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
        let consumer = consumer.broadcast(notebook.clone()).concurrent(inbox.listener()).build().await.unwrap();
        assigned(&consumer, &topic, 3).await;
        consumers.push(consumer);
    }
    send_numbered(&producer, &topic, 0, 50).await;
    for inbox in &inboxes {
        inbox.wait_for(50).await;
    }
    consumers.pop().unwrap().shutdown().await.unwrap();
    assert_eq!(notebooks[1].0.lock().values().sum::<u64>(), 50, "stored at the end");
    // While one is away.
    send_numbered(&producer, &topic, 50, 10).await;
    let later = Inbox::default();
    let consumer = two.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.broadcast(notebooks[1].clone()).concurrent(later.listener()).build().await.unwrap();
    later.wait_for(10).await;
    let expected: Vec<_> = (50..60).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(later.counts().into_keys().collect::<Vec<_>>(), expected);
    one.shutdown().await.unwrap();
    two.shutdown().await.unwrap();
}

/// CON-BUG-07: Java drops it at once.
#[tokio::test]
async fn a_message_that_fails_is_tried_again_here_then_passed_over_and_counted() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox, notebook) = (server.topic(1).await, Inbox::default(), Notebook::default());
    let producer = producer(&client).await;
    for body in ["poison", "late", "good"] {
        producer.send(Message::new(&topic, body)).await.unwrap();
    }
    let listener = {
        let inbox = inbox.clone();
        move |message: ReceivedMessage| {
            inbox.put(message.clone());
            let fails = message.body() == "poison" || message.body() == "late" && message.attempt() == 1;
            async move { if fails { Err("no") } else { Ok(()) } }
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.broadcast(notebook.clone()).concurrent(listener).build().await.unwrap();
    eventually("all are settled", async || consumer.health().queues.iter().any(|queue| queue.position == Some(3)))
        .await;
    let counts = inbox.counts();
    let of = |body: &str| counts[body.as_bytes()];
    assert_eq!((of("poison"), of("late"), of("good")), (3, 2, 1));
    assert_eq!(client.metrics().skipped, 1);
    consumer.shutdown().await.unwrap();
    assert_eq!(notebook.0.lock().values().copied().collect::<Vec<_>>(), [3]);
    client.shutdown().await.unwrap();
}

/// CON-BUG-07, CON-BUG-10. The file has one user at a time, so this also says that a consumer that is shut down lets go of its store.
#[tokio::test]
async fn a_member_goes_on_where_its_file_says_when_it_comes_back() {
    let server = Server::start().await;
    let (topic, group) = (server.topic(3).await, server.group());
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("broadcast-offsets").join(group.as_str());
    let _ = std::fs::remove_dir_all(&folder);
    let mut sent = 0;
    for _life in 0..3 {
        let client = server.client().await; // with another client id
        let (producer, inbox) = (producer(&client).await, Inbox::default());
        send_numbered(&producer, &topic, sent, 10).await;
        let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
        let consumer =
            consumer.broadcast(FileOffsets::new(&folder)).concurrent(inbox.listener()).build().await.unwrap();
        inbox.wait_for(10).await;
        consumer.shutdown().await.unwrap();
        let expected: Vec<_> = (sent..sent + 10).map(|n| n.to_string().into_bytes()).collect();
        assert_eq!(inbox.counts().into_keys().collect::<Vec<_>>(), expected);
        sent += 10;
        client.shutdown().await.unwrap();
    }
}
