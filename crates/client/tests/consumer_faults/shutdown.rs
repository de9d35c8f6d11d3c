//! The end of a consumer while listeners run, and while servers do not answer (R22).

use std::sync::Arc;

use ferrocket::{Leftover, Outcome, PushConsumer};
use ferrocket_testkit::{Call, Fault, ResponseCode};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    common::{SECOND, soon},
    members::{GROUP, Log, client, cluster, consumer, fill, queue, until},
};

/// CON-LIFE-09. Seen to fail where the member left before its listeners had ended.
#[tokio::test(start_paused = true)]
async fn r22_a_shutdown_waits_for_listeners_stores_what_they_settled_and_only_then_leaves() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..1).await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Log::default();
    let listener = log.listener("one", |_| async {
        sleep(5 * SECOND).await;
        Outcome::consumed()
    });
    let consumer = consumer(&client).concurrent(listener).build().await.expect("it builds");
    until(&cluster, || log.count("one") == 1).await;
    cluster.intercept({
        let calls = calls.clone();
        move |request| {
            calls.lock().extend(request.call());
            ferrocket_testkit::Action::Pass
        }
    });
    let began = Instant::now();
    consumer.shutdown().await.expect("nothing is left over");
    assert!(began.elapsed() >= 4 * SECOND && began.elapsed() < 6 * SECOND, "{:?}", began.elapsed());
    assert!(!log.of("one")[0].was_dropped);
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(1));
    let calls = calls.lock().clone();
    let position = |wanted: Call| calls.iter().position(|call| *call == wanted).expect("it was asked");
    assert!(position(Call::CommitOffset) < position(Call::Unregister), "{calls:?}");
}

/// R11, R22: of each message whose listener is dropped nothing is stored. The bound is the last word to servers, half a second each.
#[tokio::test(start_paused = true)]
async fn r22_a_shutdown_ends_at_its_deadline_and_says_which_listeners_it_dropped() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..3).await;
    let log = Log::default();
    let listener = log.listener("one", |_| std::future::pending());
    let consumer = consumer(&client).concurrent(listener).build().await.expect("it builds");
    until(&cluster, || log.count("one") == 3).await;
    let began = Instant::now();
    let error = consumer.shutdown().within(7 * SECOND).await.expect_err("listeners hang");
    assert!(matches!(error.leftovers(), [Leftover::Handlers { messages: 3, .. }]), "{error}");
    assert!(began.elapsed() >= 7 * SECOND && began.elapsed() < 8 * SECOND, "{:?}", began.elapsed());
    assert!(log.of("one").iter().all(|handled| handled.was_dropped));
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)).unwrap_or(0), 0);
}

#[tokio::test(start_paused = true)]
async fn two_shutdowns_at_once_end_together() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..1).await;
    let log = Log::default();
    let listener = log.listener("one", |_| async {
        sleep(5 * SECOND).await;
        Outcome::consumed()
    });
    let consumer = consumer(&client).concurrent(listener).build().await.expect("it builds");
    until(&cluster, || log.count("one") == 1).await;
    let began = Instant::now();
    let ended = async |shutdown: ferrocket::ShuttingDown| (shutdown.await.is_ok(), began.elapsed());
    let (one, two) = tokio::join!(ended(consumer.shutdown()), ended(client.shutdown()));
    assert!(one.0 && two.0 && one.1 >= 4 * SECOND && two.1 >= one.1, "{one:?} {two:?}");
    assert_eq!(cluster.requests(Call::Unregister), 2, "once, after the producer of before");
}

/// A listener that ends its own consumer waits for itself: up to the deadline, and no longer.
#[tokio::test(start_paused = true)]
async fn a_shutdown_within_a_listener_ends_at_its_deadline() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..1).await;
    let (log, itself) = (Log::default(), Arc::new(Mutex::new(None::<PushConsumer>)));
    let listener = log.listener("one", {
        let itself = itself.clone();
        move |_| {
            let itself = itself.clone();
            async move {
                while itself.lock().is_none() {
                    sleep(SECOND / 100).await;
                }
                let ending = itself.lock().as_ref().map(|consumer| consumer.shutdown().within(3 * SECOND));
                if let Some(ending) = ending {
                    let _ = ending.await;
                }
                Outcome::consumed()
            }
        }
    });
    let consumer = consumer(&client).concurrent(listener).build().await.expect("it builds");
    *itself.lock() = Some(consumer);
    let took = until(&cluster, || log.of("one").first().is_some_and(|handled| handled.ended.is_some())).await;
    assert!(took < 4 * SECOND, "{took:?}");
    client.shutdown().await.expect("there is nothing left to end");
}

/// R12, R22: at the deadline a last word is tried, and what could not be said is told.
#[tokio::test(start_paused = true)]
async fn r22_a_silent_broker_holds_a_shutdown_up_to_its_deadline_and_what_it_was_not_told_is_said() {
    let cluster = cluster(2).await;
    let (client, _wire) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..1).await;
    let log = Log::default();
    let consumer = consumer(&client).orderly(log.content("one")).build().await.expect("it builds");
    until(&cluster, || log.of("one").first().is_some_and(|handled| handled.ended.is_some())).await;
    cluster.broker("broker-0").pause();
    let began = Instant::now();
    let error = consumer.shutdown().within(4 * SECOND).await.expect_err("the broker is silent");
    let took = began.elapsed();
    assert!(took < 7 * SECOND, "{took:?}");
    let has = |wanted: fn(&Leftover) -> bool| error.leftovers().iter().any(wanted);
    // Where the empty ones begin went with their second pulls.
    assert!(has(|left| matches!(left, Leftover::Offsets { queues: 1, .. })), "{error}");
    assert!(has(|left| matches!(left, Leftover::Locks { queues: 3, .. })), "with the queue of retries: {error}");
    assert!(has(|left| matches!(left, Leftover::Unregister { .. })), "{error}");
    cluster.broker("broker-0").resume();
}

#[tokio::test(start_paused = true)]
async fn a_refused_offset_is_said_by_the_shutdown() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..1).await;
    let log = Log::default();
    let consumer = consumer(&client).concurrent(log.content("one")).build().await.expect("it builds");
    until(&cluster, || log.of("one").first().is_some_and(|handled| handled.ended.is_some())).await;
    let refused = cluster.fault(Fault::on(Call::CommitOffset).answer(ResponseCode::SYSTEM_ERROR, "the disk is full"));
    let error = consumer.shutdown().await.expect_err("it is refused");
    assert!(matches!(error.leftovers(), [Leftover::Offsets { queues: 1, .. }]), "{error}");
    refused.remove();
}

/// CON-ORD-05: a shutdown while queues are being taken over: their locks are won, and where they begin is not known yet. Seen to fail (the
/// next member had nothing for a minute) with locks that are given back with started queues only.
#[tokio::test(start_paused = true)]
async fn locks_of_queues_that_were_not_started_are_given_back_at_the_end() {
    let (cluster, log) = (cluster(3).await, Log::default());
    let (first, _wire) = client(&cluster, "one").await;
    let silent = cluster.fault(Fault::on(Call::ReadOffset).drop_request());
    let ended = consumer(&first).orderly(log.content("one")).build().await.expect("it builds");
    until(&cluster, || silent.hits() > 0).await;
    soon(ended.shutdown()).await.expect("it ends");
    silent.remove();
    let (second, _wire) = client(&cluster, "two").await;
    let next = consumer(&second).orderly(log.content("two")).build().await.expect("it builds");
    // With the queue of retries, which is the first one.
    let took = until(&cluster, || next.assignment().len() == 4).await;
    assert!(took <= 5 * SECOND, "{took:?}");
}
