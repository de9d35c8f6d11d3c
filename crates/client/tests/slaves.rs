//! Brokers with slaves: what goes on while the master is away, and where progress is kept meanwhile.

mod common;

use std::sync::Arc;

use common::{SECOND, soon, start};
use ferrocket::{ConsumeFrom, Message, MessageQueue, ReceivedMessage};
use ferrocket_testkit::{Call, TestCluster};
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

/// CON-PULL-11, CON-BUG-29: who reads from a slave for long stores its progress at the master all the same, at every interval, and asks the
/// slave no more often for having something to store. Seen to fail with pulls from slaves that give something along every 20 ms.
#[tokio::test(start_paused = true)]
async fn who_reads_from_a_slave_stores_its_progress_at_the_master() {
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 1).with_slaves()).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    for n in 0..300 {
        soon(producer.send(Message::new("Orders", n.to_string()))).await.expect("it is stored");
    }
    cluster.broker("broker-0").suggest_broker(1);
    let builder = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let builder = builder.concurrency(1).pull_batch(1).commit_interval(SECOND);
    let listener = |_: ReceivedMessage| tokio::time::sleep(SECOND / 20);
    let _consumer = builder.concurrent(listener).build().await.expect("it builds");
    let queue = MessageQueue::new("Orders", "broker-0", 0);
    let began = tokio::time::Instant::now();
    while began.elapsed() < 14 * SECOND {
        tokio::time::sleep(SECOND / 10).await;
        let (handled, stored) = (client.metrics().consumed, cluster.committed_offset("billing", &queue).unwrap_or(0));
        assert!(stored + 25 >= handled, "{handled} handled, {stored} stored after {:?}", began.elapsed());
    }
    soon(cluster.until(|cluster| cluster.committed_offset("billing", &queue) == Some(300))).await;
    let before = cluster.requests(Call::Pull);
    for n in 0..10 {
        soon(producer.send(Message::new("Orders", n.to_string()))).await.expect("it is stored");
        tokio::time::sleep(SECOND / 4).await;
    }
    let pulls = cluster.requests(Call::Pull) - before;
    assert!(pulls <= 16, "{pulls} pulls for 10 messages");
    assert!(cluster.requests(Call::CommitOffset) >= 10, "by itself");
}
