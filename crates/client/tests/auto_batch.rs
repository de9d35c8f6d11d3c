//! Single sends that leave together do not harm each other.

mod common;

use std::time::Duration;

use common::start;
use ferrocket::{Client, ErrorKind, Message, producer::AutoBatch};
use ferrocket_testkit::{Call, Fault, TestCluster};
use futures::future::{join_all, try_join_all};

async fn one_queue() -> (TestCluster, Client) {
    start(TestCluster::builder().topic("T", 1)).await
}

fn one_second() -> AutoBatch {
    AutoBatch::default().max_delay(Duration::from_secs(1))
}

#[tokio::test(start_paused = true)]
async fn small_bodies_with_large_properties_never_make_a_batch_that_is_too_large() {
    let (cluster, client) = one_queue().await;
    let producer = client.producer("shop").auto_batch(one_second()).build().await.expect("it builds");
    let property = "p".repeat(20_000);
    let sends = (0..300).map(|n| producer.send(Message::new("T", n.to_string()).with_property("p", &property)));
    let receipts = try_join_all(sends).await.expect("each alone would be stored");
    assert_eq!((receipts.len(), cluster.messages("T").len()), (300, 300));
    assert_eq!(cluster.requests(Call::Send), 2, "6 MB in batches of up to 4 MiB");
}

/// While a batch waits for more, the topic is looked up as one that must exist. Seen to fail with that answer for the batch, too: it was
/// refused, although brokers create topics.
#[tokio::test(start_paused = true)]
async fn the_first_batch_of_a_topic_creates_it_whoever_looks_it_up_meanwhile() {
    let (cluster, client) = start(TestCluster::builder()).await;
    cluster.fault(Fault::on(Call::Route).delay(Duration::from_millis(20)));
    let producer = client.producer("shop").auto_batch(AutoBatch::default()).build().await.expect("it builds");
    let sends = (0..100).map(|n| producer.send(Message::new("New", n.to_string())));
    let receipts = try_join_all(sends).await.expect("they are stored");
    assert_eq!((receipts.len(), cluster.messages("New").len()), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_brokers_would_refuse_fails_alone() {
    let (cluster, client) = one_queue().await;
    let producer = client.producer("shop").auto_batch(one_second()).build().await.expect("it builds");
    // Its properties fit, and do not any more once it has an id.
    let tight = Message::new("T", "tight").with_property("p", "p".repeat(32_750));
    let sends = [Message::new("T", "a"), tight, Message::new("T", "b")].map(|message| producer.send(message));
    let kinds: Vec<_> = join_all(sends).await.into_iter().map(|sent| sent.map_err(|error| error.kind())).collect();
    assert!(matches!(kinds[..], [Ok(_), Err(ErrorKind::InvalidArgument), Ok(_)]), "{kinds:?}");
    assert_eq!(cluster.messages("T").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_an_interceptor_delays_goes_alone_and_the_others_are_sent() {
    let (cluster, client) = one_queue().await;
    let delay = |message: &mut Message| {
        if message.tag() == Some("later") {
            *message = message.clone().with_delay_level(1);
        }
    };
    let builder = client.producer("shop").auto_batch(one_second()).interceptor(delay);
    let producer = builder.build().await.expect("it builds");
    let sends = ["now", "later", "now"].map(|tag| producer.send(Message::new("T", "x").with_tag(tag)));
    try_join_all(sends).await.expect("nothing is wrong with any of them");
    assert_eq!(cluster.requests(Call::Send), 2, "a batch, and the one that waits");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_gets_its_place_during_a_shutdown_does_not_wait_for_others() {
    let (cluster, client) = one_queue().await;
    let slow = AutoBatch::default().max_delay(Duration::from_secs(30));
    let producer = client.producer("shop").auto_batch(slow).max_in_flight(1).build().await.expect("it builds");
    let sends = ["a", "b"].map(|body| tokio::spawn(producer.send(Message::new("T", body))));
    while producer.health().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    producer.shutdown().await.expect("nothing is left");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for sent in sends {
        sent.await.expect("no panic").expect("stored");
    }
    assert_eq!(cluster.messages("T").len(), 2);
}

/// Seen to fail with batches that leave out those whose futures are gone.
#[tokio::test(start_paused = true)]
async fn a_message_that_has_joined_a_batch_is_sent_although_its_future_is_dropped() {
    let (cluster, client) = one_queue().await;
    let producer = client.producer("shop").auto_batch(one_second()).build().await.expect("it builds");
    producer.send(Message::new("T", "first")).await.expect("it is stored");
    let mut sends = ["gone", "waits"].map(|body| producer.send(Message::new("T", body)).into_future());
    for send in &mut sends {
        assert!(futures::poll!(send).is_pending(), "it waits for others");
    }
    let [gone, waits] = sends;
    drop(gone);
    waits.await.expect("it is stored");
    let mut bodies: Vec<_> = cluster.messages("T").iter().map(|message| message.body().clone()).collect();
    bodies.sort();
    assert_eq!(bodies, ["first", "gone", "waits"]);
    assert_eq!(cluster.requests(Call::Send), 2, "they left together");
    assert_eq!(producer.health().in_flight, 0);
}

/// Seen to fail with batches that are not counted together.
#[tokio::test(start_paused = true)]
async fn beyond_the_bytes_of_all_batches_together_messages_go_alone() {
    let (cluster, client) = one_queue().await;
    let producer =
        client.producer("shop").auto_batch(one_second().total_bytes(1_000)).build().await.expect("it builds");
    producer.send(Message::new("T", "first")).await.expect("it is stored");
    let begun = tokio::time::Instant::now();
    let sends = (0..20).map(|_| async {
        producer.send(Message::new("T", "x".repeat(100))).await.expect("it is stored");
        begun.elapsed()
    });
    let took = join_all(sends).await;
    let alone = took.iter().filter(|took| **took < Duration::from_millis(500)).count();
    assert!((9..=10).contains(&alone), "1,000 bytes wait, and the others do not: {took:?}");
    assert_eq!(cluster.requests(Call::Send), 1 + 1 + alone);
    // What has left makes room again.
    let begun = tokio::time::Instant::now();
    producer.send(Message::new("T", "again")).await.expect("it is stored");
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
}

/// The task of a batch lives where its first message was sent. Seen to fail, by waiting for ever, with batches that stay when their task
/// ends.
#[test]
fn a_runtime_that_ends_takes_its_open_batches_with_it_and_everybody_is_told() {
    let [main, other] = [(), ()].map(|()| tokio::runtime::Runtime::new().expect("a runtime"));
    let ended = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (cluster, client, producer) = main.block_on(async {
        let cluster = TestCluster::builder().topic("T", 1).start().await.expect("it starts");
        let client = Client::connect(cluster.name_servers()).await.expect("it connects");
        let late = AutoBatch::default().max_delay(Duration::from_secs(30));
        let producer = client.producer("shop").auto_batch(late).interceptor(Ends(ended.clone()));
        (cluster, client, producer.build().await.expect("it builds"))
    });
    let mut one = Box::pin(producer.send(Message::new("T", "one")));
    assert!(other.block_on(async { futures::poll!(&mut one) }).is_pending());
    let mut two = Box::pin(producer.send(Message::new("T", "two")));
    assert!(main.block_on(async { futures::poll!(&mut two) }).is_pending());
    drop(other);
    for send in [one, two] {
        let error = main.block_on(async { tokio::time::timeout(Duration::from_secs(10), send).await });
        let error = error.expect("the batch is gone").expect_err("it was not sent");
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    assert_eq!(*ended.lock().expect("no panic"), [true, true], "nobody knows what became of them");
    // Others go on, with a batch of their own.
    let mut three = Box::pin(producer.send(Message::new("T", "three")));
    main.block_on(async {
        assert!(futures::poll!(&mut three).is_pending());
        client.shutdown().await.expect("it ends");
        three.await.expect("it is flushed");
    });
    assert_eq!(cluster.messages("T").len(), 1);
    drop(main);
}

/// Writes down whether nobody knows.
struct Ends(std::sync::Arc<std::sync::Mutex<Vec<bool>>>);

impl ferrocket::ProducerInterceptor for Ends {
    fn after_send(
        &self,
        _: &ferrocket::producer::SendContext<'_>,
        result: Option<Result<&ferrocket::SendReceipt, &ferrocket::SendError>>,
    ) {
        if !matches!(result, Some(Ok(_))) {
            self.0.lock().expect("no panic").push(result.is_none());
        }
    }
}
