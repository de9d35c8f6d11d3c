//! What users plug into a consumer: interceptors, a store of their own, a strategy of their own, and the assignment that they hear
//! of.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ferrocket::{
    BoxError, ConsumeFrom, Group, Message, MessageQueue, OffsetStore, ReceivedMessage,
    consumer::{Allocation, ConsumeContext, ConsumeReport, ConsumerInterceptor},
};
use parking_lot::Mutex;

use crate::server::{Inbox, Server, assigned, eventually, producer, send_numbered};

#[derive(Clone, Default)]
struct Watcher {
    before: Arc<AtomicUsize>,
    after: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    /// Calls whose messages are not of the queue that the context names.
    strange: Arc<AtomicUsize>,
}

impl ConsumerInterceptor for Watcher {
    fn filter(&self, message: &ReceivedMessage) -> bool {
        message.property("shadow").is_none()
    }

    fn before_consume(&self, messages: &[ReceivedMessage], _: &ConsumeContext) {
        self.before.fetch_add(messages.len(), Ordering::SeqCst);
    }

    fn after_consume(&self, messages: &[ReceivedMessage], context: &ConsumeContext, report: &ConsumeReport<'_>) {
        let is_strange = messages.iter().any(|message| message.queue() != &context.queue);
        self.strange.fetch_add(usize::from(is_strange), Ordering::SeqCst);
        self.after.fetch_add(messages.len(), Ordering::SeqCst);
        let failed = report.outcomes.iter().filter(|outcome| !outcome.is_consumed()).count();
        self.failed.fetch_add(failed, Ordering::SeqCst);
    }
}

struct Panicking;

impl ConsumerInterceptor for Panicking {
    fn before_consume(&self, _: &[ReceivedMessage], _: &ConsumeContext) {
        panic!("a panic of this test");
    }
}

/// CON-HOOK-01, CON-HOOK-02, CON-BUG-02.
#[tokio::test]
async fn interceptors_see_each_call_begin_and_end_and_leave_messages_out() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox, watcher) = (server.topic(2).await, Inbox::default(), Watcher::default());
    let producer = producer(&client).await;
    for n in 0..20 {
        let message = Message::new(&topic, n.to_string());
        producer.send(if n % 4 == 0 { message.with_property("shadow", "yes") } else { message }).await.unwrap();
    }
    let listener = {
        let inbox = inbox.clone();
        move |message: ReceivedMessage| {
            inbox.put(message.clone());
            async move {
                if message.body() == "1" && message.attempt() == 1 {
                    panic!("a panic of this test")
                }
            }
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.interceptor(watcher.clone()).interceptor(Panicking).concurrent(listener);
    let consumer = consumer.build().await.unwrap();
    eventually("15 and one again", async || inbox.messages().len() >= 16).await;
    consumer.shutdown().await.unwrap();
    let read = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    assert_eq!((read(&watcher.before), read(&watcher.after), read(&watcher.failed)), (16, 16, 1));
    assert_eq!(read(&watcher.strange), 0, "each call is about one queue, which the context names");
    assert_eq!(inbox.counts().len(), 15, "those that were left out never came");
    client.shutdown().await.unwrap();
}

/// Programs 23: progress in a store of one's own.
#[derive(Clone, Default)]
struct Database {
    offsets: Arc<Mutex<HashMap<MessageQueue, u64>>>,
    is_down: Arc<AtomicBool>,
}

impl OffsetStore for Database {
    async fn read(&self, _: &Group, queue: &MessageQueue) -> Result<Option<u64>, BoxError> {
        match self.is_down.load(Ordering::SeqCst) {
            true => Err("the database is down".into()),
            false => Ok(self.offsets.lock().get(queue).copied()),
        }
    }

    async fn write(&self, _: &Group, offsets: &[(MessageQueue, u64)]) -> Result<(), BoxError> {
        self.offsets.lock().extend(offsets.iter().cloned());
        Ok(())
    }
}

/// CON-BUG-13: a failed read is an error, and starts nothing.
#[tokio::test]
async fn progress_in_a_store_of_ones_own_is_where_a_consumer_goes_on_and_a_failed_read_starts_nothing() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, group, database) = (server.topic(2).await, server.group(), Database::default());
    send_numbered(&producer(&client).await, &topic, 0, 20).await;
    let builder = || {
        let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
        consumer.offset_store(database.clone())
    };
    let inbox = Inbox::default();
    let consumer = builder().concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(20).await;
    consumer.shutdown().await.unwrap();
    let stored: u64 =
        database.offsets.lock().iter().filter(|(queue, _)| *queue.topic() == topic).map(|(_, at)| at).sum();
    assert_eq!(stored, 20);

    database.is_down.store(true, Ordering::SeqCst);
    send_numbered(&producer(&client).await, &topic, 20, 5).await;
    let inbox = Inbox::default();
    let consumer = builder().concurrent(inbox.listener()).build().await.unwrap();
    let missing = async || {
        let health = consumer.health();
        health.queues.iter().any(|queue| *queue.queue.topic() == topic) && !health.is_healthy()
    };
    eventually("the health says why", missing).await;
    assert!(consumer.assignment().iter().all(|queue| *queue.topic() != topic));
    database.is_down.store(false, Ordering::SeqCst);
    inbox.wait_for(5).await;
    assert!(inbox.counts().keys().all(|body| body.as_slice() >= b"20".as_slice()), "{:?}", inbox.counts());
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_strategy_of_ones_own_says_which_queues_are_whose_and_changes_are_heard_of() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(4).await, Inbox::default());
    let even = |allocation: &Allocation<'_>| -> Vec<MessageQueue> {
        allocation.queues.iter().filter(|queue| queue.id() % 2 == 0).cloned().collect()
    };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = {
        let heard = heard.clone();
        move |change: &ferrocket::consumer::AssignmentChange| {
            heard.lock().push((change.topic.clone(), change.assigned.clone(), change.revoked.clone()));
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").allocation(even).on_assignment(hears);
    let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    assigned(&consumer, &topic, 2).await;
    eventually("it is heard of", async || heard.lock().iter().any(|(about, ..)| *about == topic)).await;
    consumer.unsubscribe(&topic).await.unwrap();
    eventually("both changes are heard of", async || {
        heard.lock().iter().filter(|(about, ..)| *about == topic).count() == 2
    })
    .await;
    let mine: Vec<_> = heard.lock().iter().filter(|(about, ..)| *about == topic).cloned().collect();
    let ids = |queues: &[MessageQueue]| queues.iter().map(MessageQueue::id).collect::<Vec<_>>();
    assert_eq!((ids(&mine[0].1), ids(&mine[0].2)), (vec![0, 2], vec![]));
    assert_eq!((ids(&mine[1].1), ids(&mine[1].2)), (vec![], vec![0, 2]));
    client.shutdown().await.unwrap();
}
