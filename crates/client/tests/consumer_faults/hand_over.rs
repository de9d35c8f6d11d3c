//! Queues that go to another member: what was settled stays settled, in order where an order is kept, and soon.

use std::{sync::Arc, time::Duration};

use ferrocket::{Outcome, consumer::QueueState};
use ferrocket_testkit::{Call, Fault, TestCluster};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::{
    common::{SECOND, soon},
    members::{GROUP, Log, client, cluster, consumer, fill, join, owned, queue, state, until, until_owned},
    offsets::Notebook,
};

/// CON-ORD-15, CON-BUG-22, R-I5: the answer to the store of the offsets is awaited before anybody else can have the queue. Seen to
/// fail with a hand-over that gives the lock back before it stores.
#[tokio::test(start_paused = true)]
async fn an_orderly_hand_over_stores_the_offset_before_it_gives_the_lock_back() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..20).await;
    let _old = consumer(&old).orderly(log.content("old")).build().await.expect("it builds");
    until(&cluster, || log.count("old") == 20).await;
    let before = cluster.committed_offset(GROUP, &queue(0));
    assert_eq!(before, Some(0), "what was settled is not stored yet");

    let slow = cluster.fault(Fault::on(Call::CommitOffset).delay(2 * SECOND));
    let (new, _) = client(&cluster, "a-new").await;
    let new_consumer = consumer(&new).orderly(log.content("new")).build().await.expect("it builds");
    until(&cluster, || slow.hits() == 1).await;
    let began = Instant::now();
    while began.elapsed() < SECOND * 19 / 10 {
        let holder = cluster.lock_holder(GROUP, &queue(0));
        assert_eq!(holder.as_deref(), Some(old.client_id()), "after {:?}", began.elapsed());
        assert_eq!(owned(&new_consumer), 0);
        sleep(SECOND / 100).await;
    }
    until_owned(&cluster, &new_consumer, 1).await;
    fill(&new, &queue(0), 20..25).await;
    until(&cluster, || log.count("new") == 5).await;
    assert_eq!(log.offsets("new"), [20, 21, 22, 23, 24], "it goes on behind what was stored");
}

/// R8, R-I4: two members share, one leaves, the other has all queues soon after the notice. Nothing comes twice.
#[tokio::test(start_paused = true)]
async fn r8_queues_of_a_member_that_leaves_are_taken_over_within_500_ms() {
    for orderly in [false, true] {
        let (cluster, log) = (cluster(4).await, Log::default());
        let (stays, _) = client(&cluster, "stays").await;
        let (leaves, _) = client(&cluster, "leaves").await;
        let one = join(&stays, &log, "stays", orderly).await;
        let two = join(&leaves, &log, "leaves", orderly).await;
        until_owned(&cluster, &one, 2).await;
        until_owned(&cluster, &two, 2).await;
        for id in 0..4 {
            fill(&stays, &queue(id), 0..10).await;
        }
        until(&cluster, || log.all().len() == 40).await;
        soon(two.shutdown()).await.expect("it ends");
        let took = until_owned(&cluster, &one, 4).await;
        assert!(took <= SECOND / 2, "orderly {orderly}: taken over after {took:?}");
        for id in 0..4 {
            fill(&stays, &queue(id), 10..12).await;
        }
        until(&cluster, || log.all().len() >= 48).await;
        sleep(30 * SECOND).await;
        assert_eq!(log.all().len(), 48, "nothing came twice");
    }
}

/// R8: the broker notices that a process is dead, and tells the others. Where an order is kept its locks must run out first.
#[tokio::test(start_paused = true)]
async fn r8_queues_of_a_killed_member_are_taken_over_within_500_ms_of_the_notice() {
    let (cluster, log) = (cluster(4).await, Log::default());
    let (stays, _) = client(&cluster, "stays").await;
    let (dies, wire) = client(&cluster, "dies").await;
    let one = consumer(&stays).concurrent(log.content("stays")).build().await.expect("it builds");
    let two = consumer(&dies).concurrent(log.content("dies")).build().await.expect("it builds");
    until_owned(&cluster, &one, 2).await;
    until_owned(&cluster, &two, 2).await;
    wire.unplug();
    cluster.disconnect_client(dies.client_id());
    let took = until_owned(&cluster, &one, 4).await;
    assert!(took <= SECOND / 2, "taken over after {took:?}");
}

/// R8, R-I5: the lock of a killed member holds at the broker for 60 s from when it was asked for last; then the queue is ours at the next
/// try, and nobody had it in between.
#[tokio::test(start_paused = true)]
async fn r8_an_orderly_queue_of_a_killed_member_is_taken_over_when_its_lock_has_run_out() {
    let (cluster, log) = (cluster(2).await, Log::default());
    let (stays, _) = client(&cluster, "stays").await;
    let (dies, wire) = client(&cluster, "dies").await;
    let one = consumer(&stays).orderly(log.content("stays")).build().await.expect("it builds");
    let two = consumer(&dies).orderly(log.content("dies")).build().await.expect("it builds");
    until_owned(&cluster, &one, 1).await;
    until_owned(&cluster, &two, 1).await;
    wire.unplug();
    cluster.disconnect_client(dies.client_id());
    let took = until_owned(&cluster, &one, 2).await;
    assert!(took > 45 * SECOND && took <= 61 * SECOND, "locks are kept every 10 s: taken over after {took:?}");
}

/// CON-ORD-15, CON-BUG-23, J#4086: it has 20 s; then it is dropped, and only then the lock is given back. Its message comes to the next
/// owner, as the first one. Seen to fail without the fence: the next owner began while it ran.
#[tokio::test(start_paused = true)]
async fn a_slow_orderly_listener_holds_its_queue_for_20_s_and_is_dropped_before_the_lock_is_given_back() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..3).await;
    let listener = log.listener("old", |message| async move {
        if message.offset() == 1 {
            sleep(3600 * SECOND).await;
        }
        Outcome::consumed()
    });
    let _old = consumer(&old).orderly(listener).build().await.expect("it builds");
    until(&cluster, || log.count("old") == 2).await;
    let (new, _) = client(&cluster, "a-new").await;
    let joined = Instant::now();
    let _new = consumer(&new).orderly(log.content("new")).build().await.expect("it builds");
    until(&cluster, || log.count("new") == 2).await;
    let (dropped, next) = (log.of("old").pop().expect("it ran"), log.of("new").remove(0));
    let ended = dropped.ended.expect("it was dropped");
    assert!(dropped.was_dropped && dropped.offset == 1, "{dropped:?}");
    let held = ended - joined;
    assert!((20 * SECOND..=20 * SECOND + SECOND / 10).contains(&held), "it had {held:?}");
    assert!(next.began >= ended, "one at a time");
    assert!(next.began - ended <= SECOND, "taken over {:?} later", next.began - ended);
    assert_eq!(log.offsets("new"), [1, 2]);
}

/// CON-ORD-15: a lock that is on its way back is not asked for again, though it is time to, and the broker has not answered yet. Seen to
/// fail where everything on its way out was: the queue was locked for nobody for a minute (histories, orderly, seed 198).
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_being_given_back_is_not_asked_for_again() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..3).await;
    let may_end = Arc::new(Notify::new());
    let gate = may_end.clone();
    let listener = log.listener("old", move |_| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Outcome::consumed()
        }
    });
    let _old = consumer(&old).orderly(listener).build().await.expect("it builds");
    until(&cluster, || log.count("old") == 1).await;
    soon(cluster.until_requests(Call::Lock, cluster.requests(Call::Lock) + 1)).await;
    // It asks again in 10 s.
    let (new, _) = client(&cluster, "a-new").await;
    let new_consumer = consumer(&new).orderly(log.content("new")).build().await.expect("it builds");
    sleep(SECOND * 11 / 2).await;
    cluster.broker("broker-0").pause();
    may_end.notify_one();
    // 3 s for the offset, which nobody confirms, and then the lock is given back.
    sleep(SECOND * 11 / 2).await;
    cluster.broker("broker-0").resume();
    let took = until_owned(&cluster, &new_consumer, 1).await;
    assert!(took <= 2 * SECOND, "taken over {took:?} after the broker answers again");
}

/// CON-ORD-15, R-I12: one listener that takes long holds its own queue, and no other one that goes the same way. Seen to fail with one
/// hand-over for all: both queues came together.
#[tokio::test(start_paused = true)]
async fn a_slow_orderly_listener_holds_up_the_hand_over_of_no_other_queue() {
    let (cluster, log) = (cluster(4).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..1).await;
    let listener = log.listener("old", |_| async {
        sleep(3600 * SECOND).await;
        Outcome::consumed()
    });
    let _old = consumer(&old).orderly(listener).build().await.expect("it builds");
    until(&cluster, || log.count("old") == 1).await;
    let (new, _) = client(&cluster, "a-new").await;
    let new_consumer = consumer(&new).orderly(log.content("new")).build().await.expect("it builds");
    // It gets the first half: the queue that is held, and one that is not.
    let took = until_owned(&cluster, &new_consumer, 1).await;
    assert!(took <= SECOND, "the queue that is not held came after {took:?}");
    assert_eq!(state(&new_consumer, &queue(1)), Some(QueueState::Running));
    let took = until_owned(&cluster, &new_consumer, 2).await;
    assert!(took <= 21 * SECOND, "the queue that was held came after {took:?}");
}

/// R-I5: in broadcasting nobody else takes a queue, but a broker that was away for a moment has its queue given up and taken back. Seen to
/// fail where the hand-over waited 300 ms for the listener: the queue began anew beside it (histories, broadcast, seed 24).
#[tokio::test(start_paused = true)]
async fn an_orderly_broadcast_queue_that_comes_back_waits_for_its_old_listener() {
    let cluster = TestCluster::builder().in_memory().brokers(2).topic("Orders", 1).start().await.expect("it starts");
    let log = Log::default();
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..3).await;
    let listener = log.listener("one", |message| async move {
        if message.offset() == 0 {
            sleep(30 * SECOND).await;
        }
        Outcome::consumed()
    });
    let consumer = consumer(&client).broadcast(Notebook::default()).orderly(listener).build().await.expect("it builds");
    until(&cluster, || log.count("one") == 1).await;
    cluster.broker("broker-0").stop();
    until_owned(&cluster, &consumer, 1).await;
    cluster.broker("broker-0").restart().await.expect("it starts");
    until(&cluster, || log.count("one") >= 3).await;
    let handled = log.of("one");
    let at_once = handled.windows(2).any(|pair| pair[0].ended.is_none_or(|ended| pair[1].began < ended));
    assert!(!at_once, "{handled:?}");
    assert_eq!(log.offsets("one"), [0, 1, 2], "what the old one did counts");
}

/// CON-BUG-27, R11, R-I4: side by side nobody waits longer than 300 ms for a listener. What it says later is of a queue that is
/// somebody else's: nothing is settled, given back or counted by it. Seen to fail without the check in `judge`.
#[tokio::test(start_paused = true)]
async fn r11_late_results_after_a_concurrent_hand_over_settle_nothing() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..4).await;
    let listener = log.listener("old", |message| async move {
        sleep(2 * SECOND).await;
        match message.offset() {
            0 | 1 => Outcome::consumed(),
            2 => Outcome::retry("too late"),
            _ => Outcome::dead_letter("too late"),
        }
    });
    let _old = consumer(&old).concurrent(listener).build().await.expect("it builds");
    until(&cluster, || log.count("old") == 4).await;
    let (new, _) = client(&cluster, "a-new").await;
    let listener = log.listener("new", |_| async {
        sleep(30 * SECOND).await;
        Outcome::consumed()
    });
    let new_consumer = consumer(&new).concurrent(listener).build().await.expect("it builds");
    until(&cluster, || log.count("new") == 4).await;
    sleep(10 * SECOND).await;
    assert!(
        log.of("old").iter().all(|handled| handled.ended.is_some() && !handled.was_dropped),
        "they ran to their end"
    );
    let metrics = old.metrics();
    assert_eq!((metrics.consumed, metrics.consume_failed), (0, 0), "nothing of it counts");
    assert_eq!(cluster.requests(Call::SendBack), 0);
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(0), "the new owner has settled nothing yet");
    until(&cluster, || log.of("new").iter().all(|handled| handled.ended.is_some())).await;
    soon(new_consumer.shutdown()).await.expect("it ends");
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(4));
}

/// CON-BUG-20, R8: at a hand-over side by side come twice what ran and what was settled since the last store, and nothing else. What was
/// only buffered comes once. Seen to
/// fail with a hand-over that goes on handing out what is buffered.
#[tokio::test(start_paused = true)]
async fn duplicates_at_a_concurrent_hand_over_are_bounded_by_what_was_in_flight() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..200).await;
    let slow = |_| async {
        sleep(SECOND / 10).await;
        Outcome::consumed()
    };
    let builder = consumer(&old).commit_interval(Duration::from_millis(200)).concurrency(4);
    let _old = builder.concurrent(log.listener("old", slow)).build().await.expect("it builds");
    until(&cluster, || log.count("old") >= 60).await;
    let (new, _) = client(&cluster, "a-new").await;
    let builder = consumer(&new).concurrency(4);
    let _new = builder.concurrent(log.listener("new", slow)).build().await.expect("it builds");
    let all = || {
        let mut bodies: Vec<_> = log.all().into_iter().map(|handled| handled.offset).collect();
        bodies.sort_unstable();
        bodies.dedup();
        bodies.len()
    };
    until(&cluster, || all() == 200).await;
    sleep(30 * SECOND).await;
    // 4 run; in the 200 ms between two stores 8 are settled, in the 300 ms of the hand-over no new one begins.
    let twice = log.all().len() - 200;
    assert!(twice <= 4 + 8, "{twice} came twice");
    assert!(log.count("new") > 100, "it had its part: {}", log.count("new"));
}

/// CON-BUG-20, R8: what was settled and not stored yet is stored as the hand-over begins, not after the 300 ms for what still runs: the new
/// owner reads where to begin at once. Seen to fail with the store at the end only: all 30 came twice.
#[tokio::test(start_paused = true)]
async fn r8_what_was_settled_before_a_concurrent_hand_over_does_not_come_again_though_others_still_run() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..30).await;
    let listener = log.listener("old", |message| async move {
        if message.offset() == 29 {
            sleep(10 * SECOND).await;
        }
        Outcome::consumed()
    });
    let _old = consumer(&old).concurrent(listener).build().await.expect("it builds");
    until(&cluster, || log.count("old") == 30).await;
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(0), "nothing is stored");
    let (new, _) = client(&cluster, "a-new").await;
    let _new = consumer(&new).concurrent(log.content("new")).build().await.expect("it builds");
    until(&cluster, || log.count("new") > 0).await;
    sleep(30 * SECOND).await;
    assert_eq!(log.offsets("new"), [29]);
}
