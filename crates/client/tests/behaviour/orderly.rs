//! Consumers that keep the order of each queue.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket::{
    BatchOutcome, Client, ConsumeFrom, Group, Message, MessageQueue, Outcome, PushConsumer, ReceivedMessage, Topic,
};
use parking_lot::Mutex;

use crate::server::{Inbox, Server, assigned, eventually, producer};

/// Offsets per queue, in the order in which listeners saw them; and how many listeners ran for one queue at once, at most.
#[derive(Clone, Default)]
struct Log {
    seen: Arc<Mutex<BTreeMap<MessageQueue, Vec<u64>>>>,
    running: Arc<Mutex<BTreeMap<MessageQueue, usize>>>,
    most: Arc<AtomicUsize>,
}

impl Log {
    /// Handles a message, slowly enough for another one to get in its way.
    async fn handle(&self, message: &ReceivedMessage) {
        let queue = message.queue().clone();
        let running = {
            let mut running = self.running.lock();
            let running = running.entry(queue.clone()).or_default();
            *running += 1;
            *running
        };
        self.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_micros(200)).await;
        self.seen.lock().entry(queue.clone()).or_default().push(message.offset());
        *self.running.lock().entry(queue).or_default() -= 1;
    }

    fn count(&self) -> usize {
        self.seen.lock().values().map(Vec::len).sum()
    }
}

async fn consumer(client: &Client, group: &Group, topic: &Topic, log: &Log) -> PushConsumer {
    let log = log.clone();
    let listener = move |message: ReceivedMessage| {
        let log = log.clone();
        async move { log.handle(&message).await }
    };
    let consumer = client.push_consumer(group).subscribe(topic, "*").consume_from(ConsumeFrom::Earliest);
    consumer.orderly(listener).build().await.unwrap()
}

/// CON-ORD-01. Seen to fail on testkit with workers that put a queue back on the list before they are done with it.
#[tokio::test]
async fn each_queue_is_handled_in_order_one_message_at_a_time() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, log) = (server.topic(4).await, Log::default());
    let producer = producer(&client).await;
    let consumer = consumer(&client, &server.group(), &topic, &log).await;
    let sends = (0..400).map(|n| producer.send(Message::new(&topic, n.to_string()).with_sharding_key(n % 7)));
    futures::future::try_join_all(sends).await.unwrap();
    eventually("400 messages", async || log.count() >= 400).await;
    consumer.shutdown().await.unwrap();
    assert_eq!(log.most.load(Ordering::SeqCst), 1, "one at a time per queue");
    for (queue, offsets) in &*log.seen.lock() {
        assert!(offsets.iter().copied().eq(0..offsets.len() as u64), "{queue}: {offsets:?}");
    }
    client.shutdown().await.unwrap();
}

/// CON-ORD-11, CON-ORD-12.
#[tokio::test]
async fn a_message_that_fails_is_tried_again_in_place_and_its_queue_waits() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    let producer = producer(&client).await;
    for body in ["first", "stubborn", "last"] {
        producer.send(Message::new(&topic, body)).await.unwrap();
    }
    let listener = {
        let inbox = inbox.clone();
        move |message: ReceivedMessage| {
            inbox.put(message.clone());
            let fails = message.body() == "stubborn" && message.attempt() < 4;
            async move {
                if fails { Outcome::retry("not yet").after(Duration::from_millis(20)) } else { Outcome::consumed() }
            }
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.orderly(listener).build().await.unwrap();
    inbox.wait_for(3).await;
    let seen: Vec<_> = inbox
        .messages()
        .iter()
        .map(|message| (String::from_utf8_lossy(message.body()).into_owned(), message.attempt()))
        .collect();
    let seen: Vec<_> = seen.iter().map(|(body, attempt)| (body.as_str(), *attempt)).collect();
    assert_eq!(seen, [("first", 1), ("stubborn", 1), ("stubborn", 2), ("stubborn", 3), ("stubborn", 4), ("last", 1)]);
    consumer.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
}

/// CON-ORD-13: what goes to the dead letters is there before the next one is handed out.
#[tokio::test]
async fn after_the_last_attempt_a_message_is_a_dead_letter_and_its_queue_goes_on() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, group, inbox, dead_inbox) = (server.topic(1).await, server.group(), Inbox::default(), Inbox::default());
    let producer = producer(&client).await;
    for body in ["poison", "hopeless", "good"] {
        producer.send(Message::new(&topic, body)).await.unwrap();
    }
    let listener = {
        let inbox = inbox.clone();
        move |message: ReceivedMessage| {
            inbox.put(message.clone());
            async move {
                match message.body().as_ref() {
                    b"poison" => Outcome::retry("always"),
                    b"hopeless" => Outcome::dead_letter("never"),
                    _ => Outcome::consumed(),
                }
            }
        }
    };
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.max_attempts(3).orderly(listener).suspend(Duration::from_millis(10));
    let _consumer = consumer.build().await.unwrap();
    inbox.wait_for(3).await;
    let counts = inbox.counts();
    let of = |body: &str| counts[body.as_bytes()];
    assert_eq!((of("poison"), of("hopeless"), of("good")), (3, 1, 1));
    let dead = client.push_consumer(server.group()).subscribe(group.dead_letter_topic(), "*");
    let _dead = dead.consume_from(ConsumeFrom::Earliest).concurrent(dead_inbox.listener()).build().await.unwrap();
    dead_inbox.wait_for(2).await;
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_was_done_in_part_goes_on_where_it_stopped() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    let producer = producer(&client).await;
    producer.send_batch((0..30).map(|n| Message::new(&topic, n.to_string()))).await.unwrap();
    let longest = Arc::new(AtomicUsize::new(0));
    let listener = {
        let (inbox, longest) = (inbox.clone(), longest.clone());
        move |batch: Vec<ReceivedMessage>| {
            longest.fetch_max(batch.len(), Ordering::SeqCst);
            let done = batch.len().div_ceil(2);
            batch.iter().take(done).for_each(|message| inbox.put(message.clone()));
            async move { BatchOutcome::first(done, "only half") }
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.orderly_batch(8, listener).suspend(Duration::from_millis(10));
    let _consumer = consumer.build().await.unwrap();
    inbox.wait_for(30).await;
    let offsets: Vec<_> = inbox.messages().iter().map(ReceivedMessage::offset).collect();
    assert_eq!(offsets, (0..30).collect::<Vec<_>>());
    let longest = longest.load(Ordering::SeqCst);
    assert!((2..=8).contains(&longest), "{longest} messages in a batch");
    client.shutdown().await.unwrap();
}

/// CON-ORD-15: members come and go, and every queue goes on where the last owner stopped. Seen to fail with a hand-over that does
/// not wait for running listeners.
#[tokio::test]
async fn members_that_come_and_go_hand_queues_over_in_order_without_doubles() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, group, log) = (server.topic(4).await, server.group(), Log::default());
    let producer = producer(&client).await;
    let one = consumer(&client, &group, &topic, &log).await;
    assigned(&one, &topic, 4).await;
    let sending = async {
        for n in 0..600 {
            producer.send(Message::new(&topic, n.to_string())).await.unwrap();
            if n % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let members = async {
        for _ in 0..3 {
            let other = server.client().await;
            let two = consumer(&other, &group, &topic, &log).await;
            eventually("they share", async || two.assignment().iter().any(|queue| *queue.topic() == topic)).await;
            other.shutdown().await.unwrap();
            assigned(&one, &topic, 4).await;
        }
    };
    tokio::join!(sending, members);
    eventually("600 messages", async || log.count() >= 600).await;
    client.shutdown().await.unwrap();
    assert_eq!(log.most.load(Ordering::SeqCst), 1, "one at a time per queue, over all members");
    for (queue, offsets) in &*log.seen.lock() {
        assert!(offsets.iter().copied().eq(0..offsets.len() as u64), "{queue}: {offsets:?}");
    }
}
