//! Consumers that are dropped and not shut down, while their client lives.

use ferrocket::{Outcome, PushConsumer};
use ferrocket_testkit::{Call, TestCluster};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::{
    common::SECOND,
    members::{GROUP, Log, client, consumer, fill, queue, until, until_owned},
};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn begin(client: &ferrocket::Client, log: &Log, who: &'static str, orderly: bool) -> PushConsumer {
    let listener = log.listener(who, |message| async move {
        sleep(2 * SECOND).await;
        match (message.offset() % 5, message.attempt()) {
            (4, 1) => Outcome::retry("not yet"),
            _ => Outcome::consumed(),
        }
    });
    let builder = consumer(client).concurrency(4);
    match orderly {
        true => builder.orderly(listener).build().await.expect("it builds"),
        false => builder.concurrent(listener).build().await.expect("it builds"),
    }
}

/// R-I8, CON-BUG-58: listeners run to their end, and what they settle is stored. Then nothing is left: no task, no lock, no member, and no
/// request is made for it. Whoever comes next goes on there. Seen to fail with tasks that do not end when the last handle is dropped,
/// with locks that are kept, and without the last store.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_dropped_finishes_its_listeners_and_leaves_nothing_behind() {
    for orderly in [false, true] {
        let cluster = TestCluster::builder().in_memory().topic("Orders", 2).retry_delay(SECOND);
        let (cluster, log) = (cluster.start().await.expect("it starts"), Log::default());
        let (client, _wire) = client(&cluster, "one").await;
        // With connections to all servers, and topics that are there.
        drop(begin(&client, &log, "none", orderly).await);
        for id in 0..2 {
            fill(&client, &queue(id), 0..20).await;
        }
        until(&cluster, || cluster.members(GROUP).is_empty()).await;
        sleep(30 * SECOND).await;
        let (before, handled) = (tasks(), log.count("none"));

        let consumer = begin(&client, &log, "one", orderly).await;
        until_owned(&cluster, &consumer, 2).await;
        until(&cluster, || log.count("one") >= 10).await;
        assert!(tasks() > before && consumer.health().buffered > 20, "{:?}", consumer.health());
        let dropped = Instant::now();
        drop(consumer);
        let begun = log.count("one");
        until(&cluster, || cluster.members(GROUP).is_empty()).await;
        assert!(dropped.elapsed() <= 3 * SECOND, "{:?}", dropped.elapsed());
        let one = log.of("one");
        assert!(
            one.len() == begun && one.iter().all(|handled| handled.ended.is_some() && !handled.was_dropped),
            "{one:?}"
        );
        for id in 0..2 {
            assert_eq!(cluster.lock_holder(GROUP, &queue(id)), None);
        }
        // Pulls that the broker holds end by themselves.
        sleep(20 * SECOND).await;
        assert_eq!(tasks(), before, "orderly: {orderly}");
        let asked =
            || [Call::Pull, Call::ConsumerList, Call::Lock, Call::CommitOffset].map(|call| cluster.requests(call));
        let asked_before = asked();
        sleep(120 * SECOND).await;
        assert_eq!((asked(), cluster.members(GROUP)), (asked_before, Vec::new()));
        assert_eq!(log.count("one") + log.count("none"), begun + handled);
        assert!(client.health().consumers.is_empty());

        // What ran is among it, but for what failed where an order is kept.
        let stored = cluster.committed(GROUP, "Orders");
        assert_eq!(stored, if orderly { 8 } else { 12 });
        let next = begin(&client, &log, "next", orderly).await;
        let first = || log.of("next").iter().filter(|handled| handled.attempt == 1).count() as u64;
        until(&cluster, || first() == 40 - stored).await;
        sleep(60 * SECOND).await;
        assert_eq!(first(), 40 - stored, "orderly: {orderly}: {stored} were stored");
        drop(next);
    }
}
