//! What is logged, and what never is: no contents of messages at any level (S9), nothing at all while all is well, and not a
//! line per message while a broker is away.

mod common;

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{SECOND, client_of, soon};
use ferrocket::{Client, ConsumeFrom, Message, Outcome, ReceivedMessage, producer::Compression};
use ferrocket_testkit::{Call, Fault, ResponseCode, TestCluster};
use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Every event of ours, down to `trace`, with all its fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    /// Those at this level and above.
    fn lines(&self, level: Level) -> Vec<String> {
        self.0.lock().iter().filter(|(of, _)| *of <= level).map(|(_, line)| line.clone()).collect()
    }

    fn clear(&self) {
        self.0.lock().clear();
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ferrocket") && !metadata.target().starts_with("ferrocket_testkit")
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut line = Line(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut line);
        self.0.lock().push((*attributes.metadata().level(), line.0));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut line = Line("span".to_owned());
        values.record(&mut line);
        self.0.lock().push((Level::TRACE, line.0));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        self.0.lock().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

async fn start() -> (TestCluster, Client) {
    let builder = TestCluster::builder().in_memory().topic("Orders", 4).retry_delay(Duration::from_millis(10));
    let cluster = builder.start().await.expect("it starts");
    let client = client_of(&cluster).max_body_bytes(64 << 10).connect().await.expect("it connects");
    (cluster, client)
}

/// A message whose every part can be found again.
fn marked(body: impl Into<String>) -> Message {
    let message = Message::new("Orders", body.into()).with_tag("paid").with_key("KEY-hidden");
    message.with_property("note", "PROPERTY-hidden").with_sharding_key("SHARD-hidden")
}

/// S9: sends that succeed, fail at once, fail late, are refused, are cut; listeners that fail, panic and give up; bodies that
/// cannot be read. Who prints our errors and messages logs no more than we do. Seen to fail while `Message` derived `Debug`,
/// and so stood in the `Debug` text of every `SendError`.
#[tokio::test(start_paused = true)]
async fn s9_contents_of_messages_are_logged_at_no_level() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let (cluster, client) = start().await;
    let handled = Arc::new(AtomicUsize::new(0));
    let listener = {
        let handled = handled.clone();
        move |message: ReceivedMessage| {
            tracing::error!(target: "ferrocket_test", ?message);
            let count = handled.fetch_add(1, Ordering::SeqCst);
            assert!(count != 2, "the listener's own text is the user's");
            let outcome = match message.attempt() {
                1 if count.is_multiple_of(2) => Outcome::retry("the user's text"),
                2 => Outcome::dead_letter("the user's text"),
                _ => Outcome::consumed(),
            };
            std::future::ready(outcome)
        }
    };
    let consumer = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.max_attempts(2).concurrent(listener).build().await.expect("it builds");
    let builder = client.producer("shop").compression(Compression::zlib());
    let producer = builder.max_message_bytes(1 << 20).build().await.expect("it builds");
    let faults = [
        Fault::on(Call::Send).answer(ResponseCode::SYSTEM_BUSY, "busy"),
        Fault::on(Call::Send).answer(ResponseCode::NO_PERMISSION, "no"),
        Fault::on(Call::Send).apply_then_disconnect(),
        Fault::on(Call::Send).cut_answer_after(10),
        Fault::on(Call::Send).drop_request(),
        Fault::on(Call::Send).garbage("no frame at all"),
        Fault::on(Call::SendBack).answer(ResponseCode::SYSTEM_ERROR, "no"),
        Fault::on(Call::CommitOffset).disconnect(),
        Fault::on(Call::Pull).disconnect(),
    ];
    for fault in faults {
        let _ = cluster.fault(fault.times(2));
        for _ in 0..5 {
            if let Err(error) = soon(producer.send(marked("BODY-hidden"))).await {
                tracing::error!(target: "ferrocket_test", display = %error, debug = ?error);
            }
        }
    }
    soon(producer.send(marked("BODY-hidden".repeat(20_000))))
        .await
        .expect("it is stored, and too large for the consumer");
    producer.send(marked("BODY-hidden".repeat(200_000))).await.expect_err("it is too large");
    tracing::error!(target: "ferrocket_test", message = ?marked("BODY-hidden"));
    soon(cluster.until(|_| handled.load(Ordering::SeqCst) >= 40)).await;
    let _ = soon(consumer.shutdown()).await;
    let _ = soon(client.shutdown()).await;
    let lines = log.lines(Level::TRACE);
    assert!(lines.iter().any(|line| line.contains("a listener panicked")), "the recorder hears us: {lines:#?}");
    let told: Vec<_> = lines.iter().filter(|line| line.contains("-hidden")).collect();
    assert!(told.is_empty(), "{told:#?}");
}

/// Nothing is said at `info` and above while messages come and go.
#[tokio::test(start_paused = true)]
async fn while_all_is_well_nothing_is_logged_at_info() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let (cluster, client) = start().await;
    let handled = Arc::new(AtomicUsize::new(0));
    let listener = {
        let handled = handled.clone();
        move |_: ReceivedMessage| {
            handled.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        }
    };
    let consumer = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(listener).build().await.expect("it builds");
    let producer = client.producer("shop").build().await.expect("it builds");
    soon(producer.send(marked("first"))).await.expect("it is stored");
    // A change of state is said, once it is complete; a first message may have come before.
    let is_said = |topic: &str| {
        log.lines(Level::INFO)
            .iter()
            .any(|line| line.contains("rebalanced") && line.contains(&format!("topic={topic}")))
    };
    soon(cluster.until(|_| handled.load(Ordering::SeqCst) == 1 && is_said("Orders") && is_said("%RETRY%billing")))
        .await;
    log.clear();
    for n in 0..200 {
        soon(producer.send(marked(n.to_string()))).await.expect("it is stored");
        // Over several heartbeats, refreshes of routes and commits of offsets.
        tokio::time::advance(SECOND).await;
    }
    soon(cluster.until(|_| handled.load(Ordering::SeqCst) == 201)).await;
    let said = log.lines(Level::INFO);
    assert!(said.is_empty(), "{said:#?}");
}

/// A broker that is away is said now and then, not with every send, pull, heartbeat and queue. Seen to fail while every queue had
/// its own line for an offset that could not be stored.
#[tokio::test(start_paused = true)]
async fn while_a_broker_is_away_what_is_logged_at_info_does_not_grow_with_the_load() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let (cluster, client) = start().await;
    let listener = |_: ReceivedMessage| std::future::ready(());
    let consumer = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(listener).build().await.expect("it builds");
    let producer = client.producer("shop").build().await.expect("it builds");
    soon(producer.send(marked("first"))).await.expect("it is stored");
    cluster.broker("broker-0").stop();
    log.clear();
    let until = tokio::time::Instant::now() + 60 * SECOND;
    let mut failed = 0;
    while tokio::time::Instant::now() < until {
        let sends = (0..20).map(|_| producer.send(marked("x")).timeout(SECOND));
        failed += futures::future::join_all(sends).await.iter().filter(|sent| sent.is_err()).count();
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(failed > 500, "{failed} sends failed");
    let said = log.lines(Level::INFO);
    // Once per queue that stands still, and once per broker and round of offsets, which come every 5 s.
    assert!(said.len() <= 20, "{} lines: {said:#?}", said.len());
    assert!(!said.is_empty(), "that a broker is away is said");
}
