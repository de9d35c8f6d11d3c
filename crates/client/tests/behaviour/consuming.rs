use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::ThreadId,
    time::{Duration, SystemTime},
};

use ferrocket::{BatchOutcome, ConsumeFrom, Message, Outcome, ReceivedMessage, blocking, consumer::QueueState};
use parking_lot::{Condvar, Mutex};

use crate::server::{Inbox, PATIENCE, Server, assigned, eventually, producer, send_numbered};

#[tokio::test]
async fn only_messages_with_a_wanted_tag_arrive() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(2).await, Inbox::default());
    let producer = producer(&client).await;
    // "Aa" and "BB" have the same hash: the broker lets both through, and the client tells them apart (CON-FLT-01).
    for (body, tag) in [("1", Some("Aa")), ("2", Some("BB")), ("3", Some("other")), ("4", None), ("5", Some("Aa"))] {
        let message = Message::new(&topic, body);
        producer.send(if let Some(tag) = tag { message.with_tag(tag) } else { message }).await.unwrap();
    }
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "Aa || third");
    let _consumer = consumer.consume_from(ConsumeFrom::Earliest).concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(2).await;
    // Behind everything else: when it has come, nothing else will.
    producer.send(Message::new(&topic, "last").with_tag("third")).await.unwrap();
    inbox.wait_for(3).await;
    assert_eq!(inbox.counts().into_keys().collect::<Vec<_>>(), [b"1".to_vec(), b"5".to_vec(), b"last".to_vec()]);
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failed_message_comes_again_with_the_number_of_its_attempt() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    let listener = {
        let inbox = inbox.clone();
        move |message: ReceivedMessage| {
            inbox.put(message.clone());
            async move { if message.attempt() < 3 { Err("not yet") } else { Ok(()) } }
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(listener).build().await.unwrap();
    let receipt = producer(&client).await.send(Message::new(&topic, "x").with_tag("t").with_key("k")).await.unwrap();
    eventually("three attempts", async || inbox.messages().len() >= 3).await;
    let got = inbox.messages();
    assert_eq!(got.iter().map(ReceivedMessage::attempt).collect::<Vec<_>>(), [1, 2, 3]);
    for message in &got {
        assert_eq!(message.topic(), &topic, "a retried message shows its own topic");
        assert_eq!((message.tag(), message.id()), (Some("t"), receipt.message_id()));
    }
    client.shutdown().await.unwrap();
}

/// Seen to fail with one more attempt than was allowed.
#[tokio::test]
async fn after_the_last_attempt_and_at_a_listeners_word_a_message_is_a_dead_letter() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, group, inbox) = (server.topic(1).await, server.group(), Inbox::default());
    let calls = Inbox::default();
    let listener = {
        let calls = calls.clone();
        move |message: ReceivedMessage| {
            let outcome = match message.body().as_ref() {
                b"hopeless" => Outcome::dead_letter("hopeless"),
                _ => Outcome::retry("always"),
            };
            calls.put(message);
            async move { outcome }
        }
    };
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.max_attempts(2).concurrent(listener).build().await.unwrap();
    let producer = producer(&client).await;
    producer.send(Message::new(&topic, "hopeless")).await.unwrap();
    producer.send(Message::new(&topic, "stubborn")).await.unwrap();
    let dead = client.push_consumer(server.group()).subscribe(group.dead_letter_topic(), "*");
    let _dead = dead.consume_from(ConsumeFrom::Earliest).concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(2).await;
    let expected = [(b"hopeless".to_vec(), 1), (b"stubborn".to_vec(), 2)];
    assert_eq!(calls.counts(), expected.into(), "calls of the listener");
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_batch_listener_settles_what_it_did_and_gets_the_rest_again() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    send_numbered(&producer(&client).await, &topic, 0, 20).await;
    let longest = Arc::new(AtomicUsize::new(0));
    let listener = {
        let (inbox, longest) = (inbox.clone(), longest.clone());
        move |batch: Vec<ReceivedMessage>| {
            longest.fetch_max(batch.len(), Ordering::SeqCst);
            let first = batch[0].attempt() == 1;
            let done = if first { batch.len() / 2 } else { batch.len() };
            batch.iter().take(done).for_each(|message| inbox.put(message.clone()));
            async move { BatchOutcome::first(done, "only half") }
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent_batch(8, listener).build().await.unwrap();
    inbox.wait_for(20).await;
    assert!(inbox.counts().values().all(|count| *count == 1), "{:?}", inbox.counts());
    let longest = longest.load(Ordering::SeqCst);
    assert!((2..=8).contains(&longest), "{longest} messages in a batch");
    client.shutdown().await.unwrap();
}

/// Seen to fail with closures that are called in the task of their consumer, and with one worker more than allowed.
#[tokio::test]
async fn a_blocking_listener_runs_off_the_runtime_and_never_more_than_allowed() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox, fence) = (server.topic(4).await, Inbox::default(), Inbox::default());
    send_numbered(&producer(&client).await, &topic, 0, 40).await;
    let blocked = Arc::new(Blocked::default());
    let listener = {
        let (inbox, blocked) = (inbox.clone(), blocked.clone());
        blocking(move |message: ReceivedMessage| {
            blocked.wait();
            inbox.put(message);
        })
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(listener).concurrency(3).build().await.unwrap();
    eventually("three run, and the others are at hand", async || {
        blocked.started() == 3 && consumer.health().buffered >= 40
    })
    .await;
    // While they block, another group gets everything: so long no fourth one begins.
    let other = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _other = other.concurrent(fence.listener()).build().await.unwrap();
    fence.wait_for(40).await;
    for done in 0..37 {
        assert_eq!((blocked.started(), inbox.messages().len()), (3 + done, done));
        blocked.let_one_go();
        eventually("the next one", async || blocked.started() == 4 + done && inbox.messages().len() == done + 1).await;
    }
    (0..3).for_each(|_| blocked.let_one_go());
    inbox.wait_for(40).await;
    assert!(!blocked.threads.lock().contains(&std::thread::current().id()), "the runtime's own thread was blocked");
    client.shutdown().await.unwrap();
}

/// Closures that block until they are let go, and the threads that they block.
#[derive(Default)]
struct Blocked {
    threads: Mutex<HashSet<ThreadId>>,
    /// How many began, and how many more may end.
    counts: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Blocked {
    fn wait(&self) {
        self.threads.lock().insert(std::thread::current().id());
        let mut counts = self.counts.lock();
        counts.0 += 1;
        // Not for ever: it might block the thread of the case, which then fails. One that waited in vain lets all go.
        while counts.1 == 0 {
            if self.changed.wait_for(&mut counts, PATIENCE / 6).timed_out() {
                counts.1 = 1_000;
            }
        }
        counts.1 = counts.1.saturating_sub(1);
    }

    fn started(&self) -> usize {
        self.counts.lock().0
    }

    fn let_one_go(&self) {
        self.counts.lock().1 += 1;
        self.changed.notify_one();
    }
}

#[tokio::test]
async fn start_positions_are_meant_literally() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(1).await;
    let producer = producer(&client).await;
    send_numbered(&producer, &topic, 0, 3).await;
    // Stored times are milliseconds of the broker's clock, which is this machine's.
    let before = SystemTime::now();
    eventually("the clock moves", async || before.elapsed().is_ok_and(|past| past > Duration::from_millis(20))).await;
    let between = SystemTime::now();
    eventually("the clock moves", async || between.elapsed().is_ok_and(|past| past > Duration::from_millis(20))).await;
    send_numbered(&producer, &topic, 3, 3).await;
    let (earliest, by_time, latest) = (Inbox::default(), Inbox::default(), Inbox::default());
    let mut consumers = Vec::new();
    for (from, inbox) in
        [(ConsumeFrom::Earliest, &earliest), (ConsumeFrom::Time(between), &by_time), (ConsumeFrom::Latest, &latest)]
    {
        let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(from);
        let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
        assigned(&consumer, &topic, 1).await;
        consumers.push(consumer);
    }
    send_numbered(&producer, &topic, 6, 1).await;
    earliest.wait_for(7).await;
    by_time.wait_for(4).await;
    latest.wait_for(1).await;
    if server.is_4() {
        // Of a young topic 4.9 says that every group has an offset, 0 (CON-BUG-03), and nobody can tell: all begin there.
        latest.wait_for(7).await;
        by_time.wait_for(7).await;
        client.shutdown().await.unwrap();
        return;
    }
    assert_eq!(by_time.counts().len(), 4);
    assert_eq!(latest.counts().into_keys().collect::<Vec<_>>(), [b"6".to_vec()]);
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_slow_listener_meets_flow_control_and_memory_stays_bounded() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    send_numbered(&producer(&client).await, &topic, 0, 500).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let listener = {
        let (inbox, gate) = (inbox.clone(), gate.clone());
        move |message: ReceivedMessage| {
            let (inbox, gate) = (inbox.clone(), gate.clone());
            async move {
                gate.acquire().await.unwrap().forget();
                inbox.put(message);
            }
        }
    };
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(listener).queue_buffer(50).pull_batch(16).build().await.unwrap();
    let stopped = || {
        let health = consumer.health();
        let limit = |state: &ferrocket::consumer::QueueState| {
            matches!(state, ferrocket::consumer::QueueState::FlowControlled { limit: "queue_buffer" })
        };
        health.queues.iter().any(|queue| limit(&queue.state)) && health.buffered >= 50
    };
    eventually("flow control", async || stopped()).await;
    let health = consumer.health();
    assert!(health.buffered < 50 + 16, "one pull may go above the limit, and no more: {}", health.buffered);
    gate.add_permits(500);
    inbox.wait_for(500).await;
    eventually("nothing is kept", async || consumer.health().buffered_bytes == 0).await;
    client.shutdown().await.unwrap();
}

/// What was asked for before the pause may still come; after that nothing is fetched until the consumer goes on, and nothing is lost.
#[tokio::test]
async fn a_paused_consumer_fetches_nothing_and_goes_on_where_it_was() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(2).await;
    let (paused, fence) = (Inbox::default(), Inbox::default());
    let consume = async |inbox: &Inbox| {
        let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
        let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
        assigned(&consumer, &topic, 2).await;
        consumer
    };
    let (consumer, _other) = (consume(&paused).await, consume(&fence).await);
    let producer = producer(&client).await;
    send_numbered(&producer, &topic, 0, 10).await;
    paused.wait_for(10).await;

    // Not those of the retry topic, where nothing ends the pull that the broker holds.
    let all_are = |wanted: QueueState| {
        let health = consumer.health();
        health.queues.iter().filter(|queue| *queue.queue.topic() == topic).all(|queue| queue.state == wanted)
    };
    consumer.pause();
    // The brokers still hold a pull of each queue. A message ends it; round-robin sends reach every queue.
    send_numbered(&producer, &topic, 10, 10).await;
    eventually("every queue stands still", async || all_are(QueueState::Paused)).await;
    fence.wait_for(20).await;
    let before = paused.counts().len();
    send_numbered(&producer, &topic, 20, 100).await;
    fence.wait_for(120).await;
    assert_eq!(paused.counts().len(), before, "fetched while it was paused");

    consumer.resume();
    paused.wait_for(120).await;
    eventually("every queue runs", async || all_are(QueueState::Running)).await;
    assert!(paused.counts().values().all(|count| *count == 1), "{:?}", paused.counts());
    client.shutdown().await.unwrap();
}

/// Health would otherwise call a queue paused until the broker has answered the next pull, which it holds for 15 s.
#[tokio::test]
async fn a_queue_runs_as_soon_as_it_was_resumed_also_when_there_is_nothing_to_fetch() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(1).await;
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let (inbox, producer) = (Inbox::default(), producer(&client).await);
    let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    assigned(&consumer, &topic, 1).await;
    let is = |wanted: QueueState| {
        let health = consumer.health();
        health.queues.iter().any(|queue| *queue.queue.topic() == topic && queue.state == wanted)
    };
    consumer.pause();
    send_numbered(&producer, &topic, 0, 1).await;
    eventually("it stands still", async || is(QueueState::Paused)).await;
    consumer.resume();
    let resumed = std::pin::pin!(eventually("it runs", async || is(QueueState::Running)));
    assert!(tokio::time::timeout(Duration::from_secs(5), resumed).await.is_ok(), "{:?}", consumer.health().queues);
    client.shutdown().await.unwrap();
}
