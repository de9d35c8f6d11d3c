//! A group at rest: what it asks and tells servers when nothing happens, or when only shares change.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use ferrocket::{Outcome, consumer::Fixed};
use ferrocket_protocol::body::HeartbeatData;
use ferrocket_testkit::{Action, Call, TestCluster};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    common::{SECOND, soon},
    members::{GROUP, Log, client, cluster, consumer, fill, owned, queue, until, until_owned},
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

/// A#459: a queue that rests, and one that has been suspended for so long that nothing of it is pulled any more, stay where they are for
/// an hour, with their locks, and are as quick as ever afterwards. Seen to fail with a queue that is given up when its last pull is two
/// minutes old.
#[tokio::test(start_paused = true)]
async fn orderly_queues_that_rest_or_are_suspended_for_an_hour_are_not_given_up() {
    let (cluster, log) = (cluster(2).await, Log::default());
    let (client, _wire) = client(&cluster, "one").await;
    let (heals, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_well, counted) = (heals.clone(), changes.clone());
    let listener = log.listener("one", move |message| {
        let fails = *message.queue() == queue(1) && !is_well.load(Ordering::SeqCst);
        async move { if fails { Outcome::retry("not yet") } else { Outcome::consumed() } }
    });
    let builder = consumer(&client).queue_buffer(10).pull_batch(10);
    let builder = builder.on_assignment(move |_| _ = counted.fetch_add(1, Ordering::SeqCst)).orderly(listener);
    let consumer = builder.suspend(10 * SECOND).build().await.expect("it builds");
    until_owned(&cluster, &consumer, 2).await;
    fill(&client, &queue(1), 0..50).await;
    until(&cluster, || log.count("one") > 0).await;
    sleep(60 * SECOND).await;
    let (before, attempts, pulls) = (changes.load(Ordering::SeqCst), log.count("one"), cluster.requests(Call::Pull));
    let began = Instant::now();
    while began.elapsed() < 3600 * SECOND {
        let holders = [0, 1].map(|id| cluster.lock_holder(GROUP, &queue(id)));
        assert!(holders.iter().all(|holder| holder.as_deref() == Some(client.client_id())), "{holders:?}");
        assert_eq!(owned(&consumer), 2);
        sleep(SECOND).await;
    }
    assert_eq!(changes.load(Ordering::SeqCst), before);
    let attempts = log.count("one") - attempts;
    assert!((355..=361).contains(&attempts), "one every 10 s: {attempts}");
    let pulls = cluster.requests(Call::Pull) - pulls;
    assert!((2 * 230..=2 * 241).contains(&pulls), "of the queue that rests and of the retry topic: {pulls}");

    fill(&client, &queue(0), 0..1).await;
    let took = until(&cluster, || client.metrics().consumed == 1).await;
    assert!(took <= SECOND / 10, "{took:?}");
    heals.store(true, Ordering::SeqCst);
    let took = until(&cluster, || client.metrics().consumed == 51).await;
    assert!(took <= 10 * SECOND + SECOND / 10, "{took:?}");
}

/// The heartbeats of one client that the servers got since.
fn heartbeats_of(cluster: &TestCluster, client_id: &str) -> Arc<Mutex<Vec<HeartbeatData>>> {
    let heartbeats = Arc::new(Mutex::new(Vec::new()));
    let (seen, client_id) = (heartbeats.clone(), client_id.to_owned());
    cluster.intercept(move |request| {
        if request.call() == Some(Call::Heartbeat) {
            let data = HeartbeatData::read(request.command().body()).expect("it is one");
            seen.lock().extend(Some(data).filter(|data| data.client_id == client_id));
        }
        Action::Pass
    });
    heartbeats
}

/// CON-BUG-72, INS-HB-05: members that come and go change shares, and not what anybody subscribes to: there is a heartbeat every 30 s as
/// ever, of four at most one says the subscriptions again, and their versions stay. Seen to fail with a change of shares that announces
/// the client anew, and with a fingerprint in which the client's id counts: brokers keep one per group, so that with a second member
/// every heartbeat was full.
#[tokio::test(start_paused = true)]
async fn shares_that_change_send_no_heartbeats_and_no_subscriptions() {
    let (cluster, log) = (cluster(6).await, Log::default());
    let (one, _wire) = client(&cluster, "one").await;
    let first = consumer(&one).concurrent(log.content("one")).build().await.expect("it builds");
    let (two, _wire) = client(&cluster, "two").await;
    let second = consumer(&two).concurrent(log.content("two")).build().await.expect("it builds");
    until_owned(&cluster, &first, 3).await;
    sleep(60 * SECOND).await;

    let heartbeats = heartbeats_of(&cluster, one.client_id());
    let began = Instant::now();
    let mut changes = 0;
    while began.elapsed() < 480 * SECOND {
        let (three, _wire) = client(&cluster, "three").await;
        let third = consumer(&three).concurrent(log.content("three")).build().await.expect("it builds");
        until(&cluster, || [&first, &second, &third].iter().all(|consumer| owned(consumer) == 2)).await;
        sleep(SECOND).await;
        soon(third.shutdown()).await.expect("it ends");
        soon(three.shutdown()).await.expect("it ends");
        until(&cluster, || owned(&first) == 3 && owned(&second) == 3).await;
        sleep(SECOND).await;
        changes += 2;
    }
    assert!(changes > 200, "{changes}");
    let heartbeats = std::mem::take(&mut *heartbeats.lock());
    assert!((15..=17).contains(&heartbeats.len()), "{} in eight minutes", heartbeats.len());
    let full: Vec<_> = heartbeats.iter().filter(|data| !data.without_sub).collect();
    assert!((3..=5).contains(&full.len()), "{} of {} are full", full.len(), heartbeats.len());
    assert!(full.iter().all(|data| data.consumer_data_set == full[0].consumer_data_set), "versions stay: {full:?}");
}
