//! A group at rest: what it asks and tells servers when nothing happens, or when only shares change.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferrocket::consumer::Fixed;
use ferrocket_testkit::Call;
use tokio::time::sleep;

use crate::{
    common::{SECOND, soon},
    members::{Log, client, cluster, consumer, fill, queue, until, until_owned},
};

/// CON-BUG-47: when nothing changes, a round of rebalancing comes every 20 s and no sooner, also where it is paused, where queues are
/// listed by hand and some of those do not exist, and where whoever hears of changes panics. Messages flow all the same. Seen to fail
/// with a callback whose panic is not contained, where rounds ended; while paused with rounds that never were complete; and without the
/// filter of queues that are not there.
#[tokio::test(start_paused = true)]
async fn a_group_at_rest_asks_who_is_in_it_every_20_s_only() {
    for case in ["as ever", "paused", "fixed queues", "a callback that panics"] {
        let (cluster, log, heard) = (cluster(4).await, Log::default(), Arc::new(AtomicUsize::new(0)));
        let (client, _wire) = client(&cluster, "one").await;
        let builder = consumer(&client);
        let builder = match case {
            "fixed queues" => builder.allocation(Fixed::new((0..9).map(queue))),
            "a callback that panics" => {
                let heard = heard.clone();
                builder.on_assignment(move |_| {
                    heard.fetch_add(1, Ordering::SeqCst);
                    std::panic::resume_unwind(Box::new("a panic of this test"));
                })
            }
            _ => builder,
        };
        let consumer = builder.concurrent(log.content("one")).build().await.expect("it builds");
        until_owned(&cluster, &consumer, 4).await;
        sleep(30 * SECOND).await;
        if case == "paused" {
            consumer.pause();
        }
        let (before, told) = (cluster.requests(Call::ConsumerList), heard.load(Ordering::SeqCst));
        sleep(600 * SECOND).await;
        let asked = cluster.requests(Call::ConsumerList) - before;
        // For the topic, and for the group's retry topic.
        assert!((2 * 29..=2 * 31).contains(&asked), "{case}: asked {asked} times in ten minutes");
        assert_eq!(heard.load(Ordering::SeqCst), told, "{case}: nothing has changed");
        assert!(case != "a callback that panics" || told == 2, "each topic, once: {told}");
        consumer.resume();
        fill(&client, &queue(3), 0..5).await;
        until(&cluster, || log.count("one") == 5).await;
        soon(consumer.shutdown()).await.expect("it ends");
    }
}
