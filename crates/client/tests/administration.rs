//! What a consumer answers to administrators, and what it does when they set offsets.

mod common;

use std::{sync::Arc, time::Duration};

use common::{SECOND, soon, start};
use ferrocket::{Client, ConsumeFrom, Filter, Message, MessageQueue, PushConsumer, ReceivedMessage};
use ferrocket_protocol::{
    Command, Request, Response, ResponseCode,
    body::RunningInfo,
    request::{ConsumerStatus, GetConsumerStatus, GetRunningInfo},
};
use ferrocket_testkit::{TestCluster, TestClusterBuilder};
use parking_lot::Mutex;

type Seen = Arc<Mutex<Vec<String>>>;

fn one_queue() -> TestClusterBuilder {
    TestCluster::builder().topic("Orders", 1)
}

async fn consumer(client: &Client, orderly: bool) -> (PushConsumer, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let listener = move |message: ReceivedMessage| {
        log.lock().push(String::from_utf8_lossy(message.body()).into_owned());
        async {}
    };
    let builder = client.push_consumer("billing").subscribe("Orders", "a || b").consume_from(ConsumeFrom::Earliest);
    let consumer =
        if orderly { builder.orderly(listener).build().await } else { builder.concurrent(listener).build().await };
    (consumer.expect("it builds"), seen)
}

async fn send(client: &Client, bodies: impl IntoIterator<Item = String>) {
    let producer = client.producer("shop").build().await.expect("it builds");
    for body in bodies {
        soon(producer.send(Message::new("Orders", body).with_tag("a"))).await.expect("it is stored");
    }
}

async fn ask<R: Request + Sync>(cluster: &TestCluster, client: &Client, request: &R) -> Command {
    soon(cluster.ask_client(client.client_id(), request)).await.expect("an answer")
}

/// CON-ADM-01, CON-ADM-06. `cargo xtask interop mqadmin` reads the same with the tools of 5.5.0.
#[tokio::test(start_paused = true)]
async fn a_consumer_shows_what_it_does_and_how_far_it_is() {
    for orderly in [false, true] {
        let (cluster, client) = start(one_queue()).await;
        let (consumer, seen) = consumer(&client, orderly).await;
        send(&client, (0..5).map(|n| n.to_string())).await;
        soon(
            cluster.until(|_| seen.lock().len() == 5 && consumer.health().queues.iter().any(|q| q.position == Some(5))),
        )
        .await;
        let asked = GetRunningInfo::new(client.client_id(), "billing", false);
        let info = RunningInfo::read(ask(&cluster, &client, &asked).await).expect("a picture");
        let property = |name: &str| info.properties.get(name).map(String::as_str);
        assert_eq!(property("PROP_CONSUMEORDERLY"), Some(if orderly { "true" } else { "false" }));
        assert_eq!(property("PROP_CONSUME_TYPE"), Some("CONSUME_PASSIVELY"));
        assert_eq!((property("consumerGroup"), property("messageModel")), (Some("billing"), Some("CLUSTERING")));
        let subscribed: Vec<_> =
            info.subscriptions.iter().map(|one| (one.topic.as_str(), one.sub_string.as_str())).collect();
        assert_eq!(subscribed, [("%RETRY%billing", "*"), ("Orders", "a || b")]);
        let queue = MessageQueue::new("Orders", "broker-0", 0);
        let shown = &info.queues[&queue];
        assert_eq!((shown.commit_offset, shown.cached_count, shown.locked), (5, 0, orderly));
        assert!(info.topics.contains_key("Orders"), "{:?}", info.topics);

        let asked = GetConsumerStatus::new("billing", "Orders");
        let status = ConsumerStatus::read(ask(&cluster, &client, &asked).await).expect("offsets");
        assert_eq!(status.offsets, [(queue, 5)]);

        let stranger = GetRunningInfo::new(client.client_id(), "nobody", false);
        let refused = ask(&cluster, &client, &stranger).await;
        assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(refused.remark().as_deref(), Some("The Consumer Group <nobody> not exist in this consumer"));
        soon(client.shutdown()).await.expect("it ends");
    }
}

/// CON-ADM-04, CON-PULL-22, CON-BUG-27: both kinds of reset. What was in a listener before does not count afterwards. Seen to fail
/// with a queue that stays the same ownership when its offset moves.
#[tokio::test(start_paused = true)]
async fn after_a_reset_consumption_goes_on_there_and_late_results_of_before_settle_nothing() {
    for by_broker in [false, true] {
        let (cluster, client) = start(one_queue()).await;
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let (seen, held) = (Seen::default(), gate.clone());
        let log = seen.clone();
        let listener = move |message: ReceivedMessage| {
            let (log, held) = (log.clone(), held.clone());
            async move {
                let body = String::from_utf8_lossy(message.body()).into_owned();
                let is_first = !log.lock().contains(&body);
                log.lock().push(body.clone());
                if body == "2" {
                    // Until the test says so; the second time for ever.
                    if is_first { held.acquire().await.expect("open").forget() } else { std::future::pending().await }
                }
            }
        };
        let builder =
            client.push_consumer("billing").subscribe("Orders", Filter::all()).consume_from(ConsumeFrom::Earliest);
        let consumer = builder.concurrent(listener).build().await.expect("it builds");
        send(&client, (0..4).map(|n| n.to_string())).await;
        soon(cluster.until(|_| seen.lock().len() == 4)).await;
        let queue = MessageQueue::new("Orders", "broker-0", 0);
        if by_broker {
            cluster.reset_offset("billing", &queue, 1);
        } else {
            cluster.tell_to_reset("billing", &[(queue.clone(), 1)]);
        }
        // 1, 2 and 3 come again.
        soon(cluster.until(|_| seen.lock().len() == 7)).await;
        gate.add_permits(1);
        tokio::time::sleep(60 * SECOND).await;
        let health = consumer.health();
        let position = health.queues.iter().find(|known| known.queue == queue).and_then(|known| known.position);
        assert_eq!(position, Some(2), "by the broker: {by_broker}; 2 is not settled, whatever its first listener said");
        assert_eq!(cluster.committed_offset("billing", &queue), Some(2));
        let _ = soon(client.shutdown().within(Duration::from_millis(10))).await;
    }
}
