//! What members of one group must agree on, and how a disagreement is told.

mod common;

use std::time::Duration;

use common::{SECOND, client_of, soon, start};
use ferrocket::{Client, ConsumeFrom, Message, MessageQueue, PushConsumer, ReceivedMessage, consumer::Allocation};
use ferrocket_testkit::{Call, TestCluster};

async fn consumer(client: &Client, filter: &str) -> PushConsumer {
    let builder = client.push_consumer("billing").subscribe("Orders", filter).consume_from(ConsumeFrom::Earliest);
    builder.concurrent(async |_: ReceivedMessage| {}).build().await.expect("it builds")
}

/// Waits until the health of a client names a problem, and gives it back.
async fn problem(client: &Client, part: &str) -> String {
    soon(async {
        loop {
            if let Some(found) = client.health().problems().into_iter().find(|problem| problem.contains(part)) {
                return found;
            }
            tokio::time::sleep(SECOND).await;
        }
    })
    .await
}

async fn is_well(client: &Client, part: &str) {
    soon(async {
        while client.health().problems().iter().any(|problem| problem.contains(part)) {
            tokio::time::sleep(SECOND).await;
        }
    })
    .await;
}

/// CON-SUB-10, CON-BUG-06. Seen to fail without the question to the broker.
#[tokio::test(start_paused = true)]
async fn a_member_that_wants_other_messages_is_reported_and_the_report_ends_with_it() {
    let (cluster, one) = start(TestCluster::builder().topic("Orders", 4).topic("Other", 1)).await;
    let _first = consumer(&one, "a || b").await;
    let two = client_of(&cluster).connect().await.expect("it connects");
    let second = consumer(&two, "c").await;
    let text = problem(&one, "another member").await;
    assert!(text.contains("wants \"c\" of topic Orders, this one wants \"a || b\""), "{text}");
    soon(second.shutdown()).await.expect("it ends");
    is_well(&one, "another member").await;

    // Who does not subscribe to a topic makes brokers forget it.
    let builder = two.push_consumer("billing").subscribe("Other", "*");
    let _third = builder.concurrent(async |_: ReceivedMessage| {}).build().await.expect("it builds");
    let text = problem(&one, "another member").await;
    assert!(text.contains("topics"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn members_that_want_the_same_are_well_whatever_the_order_of_their_tags() {
    let (cluster, one) = start(TestCluster::builder().topic("Orders", 4)).await;
    let _first = consumer(&one, "a || b").await;
    let two = client_of(&cluster).connect().await.expect("it connects");
    let _second = consumer(&two, "b || a").await;
    for _ in 0..100 {
        tokio::time::sleep(3 * SECOND).await;
        assert_eq!((one.health().problems(), two.health().problems()), (Vec::new(), Vec::new()));
    }
}

/// CON-BUG-30. Seen to fail with a list of members without doubles.
#[tokio::test(start_paused = true)]
async fn two_clients_with_one_id_are_reported() {
    let cluster = TestCluster::builder().topic("Orders", 4).in_memory().start().await.expect("it starts");
    let same = || client_of(&cluster).client_ip([10, 0, 0, 1].into()).instance_name("same").connect();
    let (one, two) = (same().await.expect("it connects"), same().await.expect("it connects"));
    let _first = consumer(&one, "*").await;
    let second = consumer(&two, "*").await;
    let text = problem(&one, "client id 10.0.0.1@same").await;
    assert!(text.contains("instance_name"), "{text}");
    assert!(!two.health().is_healthy());
    soon(second.shutdown()).await.expect("it ends");
    soon(two.shutdown()).await.expect("it ends");
    is_well(&one, "client id").await;
}

/// A consumer that is dropped tells brokers by the task that stores its progress: the others take its queues over at once, and not when
/// its heartbeats have been missing for two minutes.
#[tokio::test(start_paused = true)]
async fn when_a_consumer_is_dropped_the_others_take_its_queues_over_at_once() {
    let (cluster, one) = start(TestCluster::builder().topic("Orders", 4)).await;
    let first = consumer(&one, "*").await;
    let two = client_of(&cluster).connect().await.expect("it connects");
    let second = consumer(&two, "*").await;
    let owned =
        |consumer: &PushConsumer| consumer.assignment().iter().filter(|queue| *queue.topic() == "Orders").count();
    soon(cluster.until(|_| owned(&first) == 2 && owned(&second) == 2)).await;
    let began = tokio::time::Instant::now();
    drop(second);
    soon(cluster.until(|_| owned(&first) == 4)).await;
    assert!(began.elapsed() <= Duration::from_millis(500), "{:?}", began.elapsed());
    // The client lives on, and may consume in the group again.
    let third = consumer(&two, "*").await;
    soon(cluster.until(|_| owned(&first) == 2 && owned(&third) == 2)).await;
    let producer = two.producer("shop").build().await.expect("it builds");
    soon(producer.send(Message::new("Orders", "x"))).await.expect("it is stored");
    soon(cluster.until(|_| one.metrics().consumed + two.metrics().consumed == 1)).await;
}

/// A strategy that panics changes nothing, and is asked again at the usual interval. Seen to fail with a round that counts as failed.
#[tokio::test(start_paused = true)]
async fn an_allocation_strategy_that_panics_is_not_asked_without_end() {
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 4)).await;
    let builder = client.push_consumer("billing").subscribe("Orders", "*").allocation(
        |_: &Allocation<'_>| -> Vec<MessageQueue> { std::panic::resume_unwind(Box::new("a panic of this test")) },
    );
    let consumer = builder.concurrent(async |_: ReceivedMessage| {}).build().await.expect("it builds");
    tokio::time::sleep(600 * SECOND).await;
    assert!(consumer.health().queues.is_empty());
    let asked = cluster.requests(Call::ConsumerList);
    assert!(asked <= 100, "asked {asked} times in ten minutes");
}
