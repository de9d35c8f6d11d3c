//! Brokers with slaves: what goes on while the master is away, and where progress is kept meanwhile.

mod common;

use std::sync::Arc;

use common::{SECOND, soon, start};
use ferrocket::{ConsumeFrom, Message, MessageQueue, ReceivedMessage};
use ferrocket_testkit::TestCluster;
use parking_lot::Mutex;

/// CON-PULL-11, CON-PULL-12, CON-BUG-29: a slave serves messages and keeps no progress. Seen to fail with commits that go along with
/// pulls from a slave: the master never hears of them.
#[tokio::test(start_paused = true)]
async fn while_the_master_is_away_a_slave_serves_and_progress_waits_for_the_master() {
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 1).with_slaves()).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let listener = move |message: ReceivedMessage| {
        log.lock().push(message.offset());
        async {}
    };
    let builder = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let consumer = builder.concurrent(listener).build().await.expect("it builds");
    for n in 0..5 {
        soon(producer.send(Message::new("Orders", n.to_string()))).await.expect("it is stored");
    }
    let queue = MessageQueue::new("Orders", "broker-0", 0);
    soon(cluster.until(|cluster| cluster.committed_offset("billing", &queue) == Some(5))).await;
    consumer.pause();
    // The pull that waits may still bring one.
    soon(producer.send(Message::new("Orders", "5"))).await.expect("it is stored");
    for n in 6..10 {
        soon(producer.send(Message::new("Orders", n.to_string()))).await.expect("it is stored");
    }
    cluster.broker("broker-0").stop();
    consumer.resume();
    soon(cluster.until(|_| seen.lock().len() == 10)).await;
    assert_eq!(*seen.lock(), (0..10).collect::<Vec<_>>());
    tokio::time::sleep(30 * SECOND).await;
    let before = cluster.committed_offset("billing", &queue);
    assert!(before <= Some(6), "the slave was told nothing: {before:?}");
    soon(cluster.broker("broker-0").restart()).await.expect("it starts");
    soon(cluster.until(|cluster| cluster.committed_offset("billing", &queue) == Some(10))).await;
    soon(client.shutdown()).await.expect("it ends");
}
