//! What a producer tells about itself without an exporter: latencies per topic and outcome, counters, spans.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket::{Client, Message, producer::SendOutcome};
use ferrocket_testkit::{Call, Fault, ResponseCode, TestCluster};
use parking_lot::Mutex;

async fn start() -> (TestCluster, Client) {
    let cluster = TestCluster::builder().topic("Orders", 2).start().await.expect("it starts");
    let client = Client::connect(cluster.name_servers()).await.expect("it connects");
    (cluster, client)
}

#[tokio::test]
async fn latencies_are_counted_per_topic_and_outcome_over_all_producers() {
    let (cluster, client) = start().await;
    let one = client.producer("one").max_attempts(1).build().await.expect("it builds");
    let two = client.producer("two").max_attempts(1).build().await.expect("it builds");
    for _ in 0..5 {
        one.send(Message::new("Orders", "x")).await.expect("it is stored");
        two.send(Message::new("Orders", "x")).await.expect("it is stored");
    }
    let _ = cluster.fault(Fault::on(Call::Send).times(1).answer(ResponseCode::NO_PERMISSION, "no"));
    one.send(Message::new("Orders", "x")).await.expect_err("refused");
    let _ = cluster.fault(Fault::on(Call::Send).times(1).apply_then_disconnect());
    one.send(Message::new("Orders", "x")).await.expect_err("nobody knows");
    let metrics = client.metrics();
    let of = |outcome| {
        let latency = metrics.send_latency.iter().find(|latency| latency.outcome == outcome).expect("some");
        assert_eq!(latency.topic, "Orders");
        (latency.histogram.count(), latency.histogram.quantile(0.99))
    };
    assert_eq!((of(SendOutcome::Sent).0, of(SendOutcome::Failed).0, of(SendOutcome::Unknown).0), (10, 1, 1));
    assert!(of(SendOutcome::Sent).1 > Duration::ZERO);
    assert_eq!((metrics.sent, metrics.send_failed, metrics.send_unknown), (10, 2, 1));
    client.shutdown().await.expect("it ends");
}

/// Somebody who listens: counts spans, and keeps their fields.
#[derive(Clone, Default)]
struct Listener {
    spans: Arc<AtomicUsize>,
    fields: Arc<Mutex<String>>,
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "ferrocket::send"
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        struct Fields<'a>(&'a mut String);
        impl tracing::field::Visit for Fields<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        span.record(&mut Fields(&mut self.fields.lock()));
        tracing::span::Id::from_u64(1 + self.spans.fetch_add(1, Ordering::SeqCst) as u64)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(flavor = "current_thread")]
async fn there_is_one_span_per_send_for_whoever_listens() {
    let (_cluster, client) = start().await;
    let producer = client.producer("shop").build().await.expect("it builds");
    let listener = Listener::default();
    let _guard = tracing::subscriber::set_default(listener.clone());
    producer.send(Message::new("Orders", "x")).await.expect("it is stored");
    producer.send_batch([Message::new("Orders", "x"), Message::new("Orders", "y")]).await.expect("they are stored");
    producer.send_oneway(Message::new("Orders", "x")).await.expect("it is handed over");
    assert_eq!(listener.spans.load(Ordering::SeqCst), 3);
    assert_eq!(*listener.fields.lock(), "group=shop topic=\"Orders\" ".repeat(3));
    client.shutdown().await.expect("it ends");
}
