//! The tracer over a cluster in memory: how its records leave, what becomes of those that cannot, and its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::{Leftover, Managed};
use ferrocket_model::{Message, ReceivedMessage, SendReceipt};
use ferrocket_producer::{Compression, Producer, TransactionProducer, TransactionState};
use ferrocket_protocol::ResponseCode;
use ferrocket_remoting_backend::{Config, RemotingBackend};
use ferrocket_route::Stack;
use ferrocket_testkit::{Action, Call, Intercepted, TestCluster};
use ferrocket_trace::{MessageTrace, TraceKind, TraceRecord, Tracer};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const TRACES: &str = "Traces";
/// The group of the tracer's producer.
const TRACERS: &str = "tracers";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(300 * SECOND, future).await.expect("it should have happened by now")
}

/// A producer that is traced.
struct Traced {
    cluster: TestCluster,
    stack: Stack,
    tracer: Arc<Tracer>,
    producer: Producer,
}

impl Traced {
    async fn start(trace: MessageTrace) -> Self {
        Self::start_in("DefaultRegion", trace).await
    }

    async fn start_in(region: &str, trace: MessageTrace) -> Self {
        let cluster = TestCluster::builder().in_memory().region(region).topic("Orders", 2).topic(TRACES, 2);
        let cluster = cluster.start().await.unwrap();
        let connector = cluster.connector();
        let mut config = Config::new(vec![cluster.name_servers()], "c");
        config.dialer = Some(Arc::new(move |address: String| {
            let connector = connector.clone();
            async move { connector.connect(&address).await }
        }));
        let stack = Stack::new(Arc::new(RemotingBackend::start(config).unwrap()));
        // What it sends is read here as it is stored.
        let tracers = Producer::builder(stack.clone(), TRACERS).compression(Compression::off());
        let tracer = Arc::new(Tracer::start(trace.topic(TRACES), tracers).unwrap());
        let producer = Producer::builder(stack.clone(), "shop").interceptor((*tracer).clone()).build().await.unwrap();
        Self { cluster, stack, tracer, producer }
    }

    async fn send(&self, messages: impl IntoIterator<Item = Message>) -> Vec<SendReceipt> {
        let mut receipts = Vec::new();
        for message in messages {
            receipts.push(self.producer.send(message).await.unwrap());
        }
        receipts
    }

    async fn end(&self, deadline: Duration) -> Vec<Leftover> {
        soon(self.tracer.clone().end(deadline)).await
    }

    fn records(&self) -> Vec<TraceRecord> {
        let traces = self.cluster.messages(TRACES);
        traces.iter().flat_map(|trace| TraceRecord::read_all(std::str::from_utf8(trace.body()).unwrap())).collect()
    }

    /// What becomes of messages of records.
    fn answer_traces(&self, action: impl Fn() -> Action + Send + Sync + 'static) {
        self.cluster.intercept(move |request| if is_trace(request) { action() } else { Action::Pass });
    }
}

fn is_trace(request: &Intercepted<'_>) -> bool {
    let topic = || request.command().fields().find("b").unwrap();
    request.call() == Some(Call::Send) && topic().as_deref() == Some(TRACES)
}

fn orders(count: usize) -> impl Iterator<Item = Message> {
    (0..count).map(|number| Message::new("Orders", "body").with_key(number))
}

/// A queue that is emptied by one message per round trip is full soon; one that is emptied without a limit is none.
#[tokio::test(start_paused = true)]
async fn sixteen_messages_of_records_are_on_their_way_at_once() {
    let traced = Traced::start(MessageTrace::default().batch(1)).await;
    traced.answer_traces(|| Action::Delay(SECOND));
    let began = Instant::now();
    traced.send(orders(2 * 16 + 1)).await;
    assert_eq!(traced.end(60 * SECOND).await, []);
    assert_eq!(began.elapsed().as_secs(), 3, "three rounds of a second");
    assert_eq!(traced.records().len(), 33);
}

#[tokio::test(start_paused = true)]
async fn only_the_records_of_the_message_that_failed_are_lost() {
    let traced = Traced::start(MessageTrace::default().batch(4)).await;
    let before = AtomicUsize::new(0);
    traced.answer_traces(move || match before.fetch_add(1, Ordering::Relaxed) {
        0 => Action::Answer(ResponseCode::MESSAGE_ILLEGAL, "no".to_owned()),
        _ => Action::Pass,
    });
    // Two of them have too many keys for one message of records: four records are four messages.
    let key = "k".repeat(10_000);
    traced.send(orders(4).map(|order| order.with_key(&key))).await;
    assert_eq!(traced.end(60 * SECOND).await, []);
    assert_eq!((traced.tracer.counters().lost, traced.tracer.counters().dropped), (1, 0));
    assert_eq!(traced.records().len(), 3);
}

/// PRO-TRC-07.
#[tokio::test(start_paused = true)]
async fn the_end_sends_what_waits_and_the_producer_leaves_and_later_records_are_dropped() {
    let traced = Traced::start(MessageTrace::default()).await;
    let began = Instant::now();
    traced.send(orders(3)).await;
    assert_eq!(traced.end(60 * SECOND).await, []);
    assert!(began.elapsed() < SECOND, "records that wait for others go at once");
    assert_eq!(traced.records().len(), 3);
    assert_eq!(traced.cluster.producers(TRACERS), [""; 0]);
    assert_eq!(traced.cluster.producers("shop").len(), 1);
    traced.send(orders(2)).await;
    assert_eq!(traced.tracer.counters().dropped, 2);
    assert_eq!(traced.end(60 * SECOND).await, [], "a second end is none");
}

#[tokio::test(start_paused = true)]
async fn records_that_nobody_takes_are_left_over_at_the_deadline() {
    let traced = Traced::start(MessageTrace::default()).await;
    traced.answer_traces(|| Action::DropRequest);
    let began = Instant::now();
    traced.send(orders(3)).await;
    assert_eq!(traced.end(SECOND).await, [Leftover::Traces { count: 3 }]);
    assert!(began.elapsed() < 2 * SECOND);
}

/// The tracer's clones in producers are all that is left of it.
#[tokio::test(start_paused = true)]
async fn who_drops_the_last_tracer_ends_it_too() {
    let Traced { cluster, tracer, producer, .. } = Traced::start(MessageTrace::default()).await;
    producer.send(Message::new("Orders", "body")).await.unwrap();
    drop(tracer);
    soon(cluster.until(|cluster| cluster.messages(TRACES).len() == 1)).await;
    assert_eq!(cluster.producers(TRACERS).len(), 1);
    drop(producer);
    soon(cluster.until(|cluster| cluster.producers(TRACERS).is_empty())).await;
}

/// PRO-DLY-01, PRO-DLY-02, §9: what is delivered later by level is a delayed message, and by a timer a normal one, as in Java.
#[tokio::test(start_paused = true)]
async fn records_tell_kinds_as_java_does_and_bodies_as_they_were_sent() {
    let traced = Traced::start(MessageTrace::default()).await;
    let order = || Message::new("Orders", "body");
    let mut old = order();
    old.set_system_property("__STARTDELIVERTIME", "1");
    let messages = [order(), order().with_delay_level(1), order().deliver_after(SECOND), old];
    traced.send(messages).await;
    traced.send([Message::new("Orders", vec![b'x'; 10_000])]).await;
    assert_eq!(traced.end(60 * SECOND).await, []);
    let records = traced.records();
    let sent: Vec<_> = records
        .iter()
        .map(|record| match record {
            TraceRecord::Pub(record) => (record.kind, record.region.as_str(), record.body_bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    let stored = traced.cluster.messages("Orders");
    let compressed =
        stored.iter().map(|message| message.body().len()).find(|bytes| *bytes != 4).expect("the large one");
    assert!(compressed < 1_000);
    let region = "DefaultRegion";
    let expected = [
        (TraceKind::Normal, region, 4),
        (TraceKind::Delay, region, 4),
        (TraceKind::Normal, region, 4),
        (TraceKind::Delay, region, 4),
        (TraceKind::Normal, region, compressed as i64),
    ];
    assert_eq!(sent, expected);
}

/// PRO-TRC-05, PRO-TRC-10: of a send and of both ends of a transaction; none is the default one.
#[tokio::test(start_paused = true)]
async fn records_name_the_region_of_the_broker() {
    for (region, expected) in [("eu", "eu"), ("", "DefaultRegion")] {
        let traced = Traced::start_in(region, MessageTrace::default()).await;
        let checker = async |_: ReceivedMessage| TransactionState::Rollback;
        let builder = TransactionProducer::builder(traced.stack.clone(), "payers", checker);
        let producer = builder.interceptor((*traced.tracer).clone()).build().await.unwrap();
        producer.begin(Message::new("Orders", "body")).await.unwrap().commit().await.unwrap();
        drop(producer.begin(Message::new("Orders", "body")).await.unwrap());
        // Then brokers ask.
        soon(traced.cluster.until(|cluster| cluster.broker("broker-0").open_transactions() == 0)).await;
        assert_eq!(traced.end(60 * SECOND).await, []);
        let records = traced.records();
        let region = |record: &TraceRecord| match record {
            TraceRecord::Pub(record) => (record.region.clone(), None),
            TraceRecord::EndTransaction(record) => (record.region.clone(), Some(record.from_check)),
            other => panic!("{other:?}"),
        };
        let mut regions: Vec<_> = records.iter().map(region).collect();
        regions.sort();
        let expected = [None, None, Some(false), Some(true)].map(|kind| (expected.to_owned(), kind));
        assert_eq!(regions, expected);
    }
}

/// What a client tells of its own tracer.
#[tokio::test(start_paused = true)]
async fn the_metrics_of_a_client_count_records_that_were_lost() {
    // The trace topic is missing, and nobody creates it.
    let builder = TestCluster::builder().in_memory().auto_create_topics(false).topic("Orders", 2);
    let cluster = builder.start().await.unwrap();
    let connector = cluster.connector();
    let client = ferrocket::Client::builder().name_servers(cluster.name_servers()).dialer(move |address: String| {
        let connector = connector.clone();
        async move { connector.connect(&address).await }
    });
    let trace = MessageTrace::default().topic(TRACES).batch(1);
    let client = soon(client.message_trace(trace).connect()).await.unwrap();
    let producer = client.producer("shop").build().await.unwrap();
    for order in orders(100) {
        soon(producer.send(order)).await.unwrap();
    }
    // What waits then is tried, and counted, too.
    soon(client.shutdown()).await.unwrap();
    let metrics = client.metrics();
    assert!(metrics.trace_lost > 0, "{metrics:?}");
    assert_eq!(metrics.trace_lost + metrics.trace_dropped, 100, "{metrics:?}");
}

/// A tracer that cannot work is not started: the option is named, and what is wrong with it.
#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start() {
    let Traced { stack, .. } = Traced::start(MessageTrace::default()).await;
    for (trace, problem) in [
        (MessageTrace::default().queue(0), "a queue of 0 would drop every record"),
        (MessageTrace::default().batch(21), "a batch of 21 records; 1 to 20 go into a message"),
        (MessageTrace::default().topic("no blanks"), "topic \"no blanks\" cannot be used"),
    ] {
        let error = Tracer::start(trace, Producer::builder(stack.clone(), TRACERS)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("message_trace") && text.contains(problem), "{text}");
    }
}
