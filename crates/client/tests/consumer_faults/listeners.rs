//! Listeners that hang, panic, or take longer than everything else.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferrocket::{Outcome, ReceivedMessage, consumer::QueueState};
use ferrocket_testkit::Call;
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::{
    common::{SECOND, soon},
    members::{GROUP, Log, client, cluster, consumer, fill, queue, state, until},
};

/// CON-BUG-26, CON-BUG-94, J#5481, R11: it is dropped at its limit, exactly, then its message is given back, once; the next attempt begins
/// after that. Seen to fail without the limit, and with a message that is given back once more.
#[tokio::test(start_paused = true)]
async fn r11_a_listener_that_takes_too_long_is_dropped_and_its_message_comes_again_once() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..3).await;
    let listener = log.listener("one", |message| async move {
        if message.offset() == 1 && message.attempt() == 1 {
            pending::<()>().await;
        }
        Outcome::consumed()
    });
    let builder = consumer(&client).concurrent(listener).handler_timeout(7 * SECOND);
    let consumer = builder.build().await.expect("it builds");
    until(&cluster, || log.count("one") == 4).await;
    // Far beyond all delays: nothing else comes.
    sleep(600 * SECOND).await;
    let handled = log.of("one");
    assert_eq!(handled.len(), 4, "{handled:?}");
    let attempts: Vec<_> = handled.iter().filter(|handled| handled.body == "1").collect();
    let dropped = attempts[0].ended.expect("it ended");
    assert!(attempts[0].was_dropped && dropped - attempts[0].began <= 7 * SECOND + SECOND / 100, "{attempts:?}");
    assert_eq!(attempts[1].attempt, 2);
    assert!(attempts[1].began >= dropped + 10 * SECOND, "after the first pause of the broker: {attempts:?}");
    assert_eq!(cluster.requests(Call::SendBack), 1);
    let metrics = client.metrics();
    assert_eq!((metrics.consumed, metrics.consume_failed, metrics.handler_panics), (3, 1, 0));
    soon(consumer.shutdown()).await.expect("it ends");
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(3));
}

/// G#1034: the time of a message begins when its listener is called. What waits in the buffer for longer than the
/// limit is not taken for late: nothing is given back. Seen to fail with a limit that counts from the pull.
#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_its_turn_longer_than_the_limit_is_not_taken_for_late() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..10).await;
    let listener = log.listener("one", |_| async {
        sleep(5 * SECOND).await;
        Outcome::consumed()
    });
    let builder = consumer(&client).concurrency(1).concurrent(listener).handler_timeout(7 * SECOND);
    let consumer = builder.build().await.expect("it builds");
    let took = until(&cluster, || client.metrics().consumed == 10).await;
    assert!(took >= 50 * SECOND - SECOND / 100, "one after the other: {took:?}");
    assert!(log.all().iter().all(|handled| !handled.was_dropped && handled.attempt == 1), "{:?}", log.all());
    assert_eq!((log.count("one"), cluster.requests(Call::SendBack), client.metrics().consume_failed), (10, 0, 0));
    soon(consumer.shutdown()).await.expect("it ends");
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(10));
}

/// CON-BUG-40, J#3937, J#1190, J#7134, R11, R-I12: health says at which offset it hangs and since when; the other queue goes on, and so does
/// this one until the span is reached. With the end of the listener all is well again.
#[tokio::test(start_paused = true)]
async fn r11_a_listener_that_hangs_is_stuck_at_its_offset_after_a_minute_and_holds_up_its_queue_only() {
    let (cluster, log) = (cluster(2).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..300).await;
    fill(&client, &queue(1), 0..10).await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    let listener = log.listener("one", move |message| {
        let wait = wait.clone();
        async move {
            if *message.queue() == queue(0) && message.offset() == 5 {
                drop(wait.acquire().await);
            }
            Outcome::consumed()
        }
    });
    let builder = consumer(&client).pull_batch(10).concurrent(listener).max_offset_span(100);
    let consumer = builder.build().await.expect("it builds");
    let began = Instant::now();
    let limit = Some(QueueState::FlowControlled { limit: "max_offset_span" });
    until(&cluster, || state(&consumer, &queue(0)) == limit).await;
    sleep(10 * SECOND).await;
    let seen = log.count("one");
    assert!((100..=10 + 5 + 100 + 10).contains(&seen), "one pull above the limit at most: {seen}");
    assert!(consumer.health().is_healthy(), "it is no alarm yet");
    until(&cluster, || matches!(state(&consumer, &queue(0)), Some(QueueState::StuckAt { .. }))).await;
    let Some(QueueState::StuckAt { offset, since }) = state(&consumer, &queue(0)) else { panic!("it is stuck") };
    assert_eq!(offset, 5);
    assert!(since - began <= SECOND && since.elapsed() >= 60 * SECOND, "{:?}", since.elapsed());
    assert!(since.elapsed() <= 61 * SECOND, "known after a minute: {:?}", since.elapsed());
    assert!(!consumer.health().is_healthy());
    fill(&client, &queue(1), 10..20).await;
    until(&cluster, || log.count("one") == seen + 10).await;
    assert_eq!(state(&consumer, &queue(1)), Some(QueueState::Running), "the other one goes on");
    gate.add_permits(1);
    until(&cluster, || log.count("one") == 320).await;
    until(&cluster, || consumer.health().is_healthy()).await;
}

/// CON-BUG-83, CON-PULL-02 to -04: each limit stops the pulls where it should, and is named. What may come above it is one pull per queue.
#[tokio::test(start_paused = true)]
async fn each_limit_stops_the_pulls_and_is_said_by_its_name() {
    for limit in ["queue_buffer", "queue_buffer_bytes", "max_offset_span", "buffer", "buffer_bytes"] {
        let (cluster, log) = (cluster(2).await, Log::default());
        let (client, _) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..200).await;
        fill(&client, &queue(1), 0..200).await;
        let gate = Arc::new(Semaphore::new(0));
        let wait = gate.clone();
        let listener = log.listener("one", move |_| {
            let wait = wait.clone();
            async move {
                wait.acquire().await.expect("it stays open").forget();
                Outcome::consumed()
            }
        });
        let builder = consumer(&client).pull_batch(8).concurrency(2);
        let builder = match limit {
            "queue_buffer" => builder.queue_buffer(40),
            "queue_buffer_bytes" => builder.queue_buffer_bytes(8_000),
            "buffer" => builder.queue_buffer(60).buffer(60),
            "buffer_bytes" => builder.queue_buffer_bytes(10_000).buffer_bytes(10_000),
            _ => builder,
        };
        let builder = builder.concurrent(listener);
        let builder = if limit == "max_offset_span" { builder.max_offset_span(40) } else { builder };
        let consumer = builder.build().await.expect("it builds");
        let wanted = Some(QueueState::FlowControlled { limit });
        until(&cluster, || [0, 1].iter().all(|id| state(&consumer, &queue(*id)) == wanted)).await;
        let pulls = cluster.requests(Call::Pull);
        let health = consumer.health();
        let (most, most_bytes) = match limit {
            "queue_buffer" | "max_offset_span" => (2 * (41 + 8), usize::MAX),
            "buffer" => (60 + 2 * 8, usize::MAX),
            "queue_buffer_bytes" => (200, 2 * (8_000 + 8 * 400)),
            _ => (200, 10_000 + 2 * 8 * 400),
        };
        assert!(health.buffered > 16 && health.buffered <= most, "{limit}: {}", health.buffered);
        assert!(health.buffered_bytes <= most_bytes, "{limit}: {}", health.buffered_bytes);
        sleep(10 * SECOND).await;
        // The retry topic is asked for still.
        assert!(cluster.requests(Call::Pull) <= pulls + 1, "{limit}: pulled all the same");
        gate.add_permits(400);
        until(&cluster, || log.count("one") == 400).await;
        until(&cluster, || consumer.health().buffered == 0 && consumer.health().buffered_bytes == 0).await;
        soon(consumer.shutdown()).await.expect("it ends");
    }
}

/// R11: a panic before there is a future, and one within it, is a failure of that message. Where an order is kept it is tried again in place.
#[tokio::test(start_paused = true)]
async fn r11_a_panic_is_a_failure_of_its_message_and_nothing_else() {
    for orderly in [false, true] {
        let (cluster, log) = (cluster(1).await, Log::default());
        let (client, _) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..4).await;
        let listener = log.listener("one", |message: ReceivedMessage| {
            if message.body() == "1" && message.attempt() == 1 {
                std::panic::resume_unwind(Box::new("before there is a future"));
            }
            async move {
                if message.body() == "2" && message.attempt() == 1 {
                    sleep(SECOND).await;
                    std::panic::resume_unwind(Box::new("within the future".to_owned()));
                }
                Outcome::consumed()
            }
        });
        // One worker: a panic that ended it would be the end of all.
        let builder = consumer(&client).concurrency(1);
        let consumer = match orderly {
            true => builder.orderly(listener).build().await.expect("it builds"),
            false => builder.concurrent(listener).build().await.expect("it builds"),
        };
        until(&cluster, || client.metrics().consumed == 4).await;
        let seen: Vec<_> = log.of("one").into_iter().map(|handled| (handled.body, handled.attempt)).collect();
        let seen: Vec<_> = seen.iter().map(|(body, attempt)| (body.as_str(), *attempt)).collect();
        let expected = match orderly {
            true => [("0", 1), ("1", 1), ("1", 2), ("2", 1), ("2", 2), ("3", 1)],
            false => [("0", 1), ("1", 1), ("2", 1), ("3", 1), ("1", 2), ("2", 2)],
        };
        assert_eq!(seen, expected);
        let metrics = client.metrics();
        assert_eq!((metrics.handler_panics, metrics.consume_failed), (2, 2));
        soon(consumer.shutdown()).await.expect("it ends");
        assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(4));
    }
}

/// CON-BUG-27, api §3.7: a listener can see that its queue is somebody else's by now, and that what it does will be done again.
#[tokio::test(start_paused = true)]
async fn a_listener_sees_when_its_message_is_revoked() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    fill(&old, &queue(0), 0..1).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watched = seen.clone();
    let listener = log.listener("old", move |message| {
        let watched = watched.clone();
        async move {
            let before = message.is_revoked();
            while !message.is_revoked() {
                sleep(SECOND / 100).await;
            }
            watched.lock().push((before, Instant::now()));
            Outcome::consumed()
        }
    });
    let _old = consumer(&old).concurrent(listener).build().await.expect("it builds");
    until(&cluster, || log.count("old") == 1).await;
    sleep(5 * SECOND).await;
    assert!(seen.lock().is_empty());
    let (new, _) = client(&cluster, "a-new").await;
    let joined = Instant::now();
    let _new = consumer(&new).concurrent(log.content("new")).build().await.expect("it builds");
    until(&cluster, || seen.lock().len() == 1).await;
    let (before, when) = seen.lock()[0];
    assert!(!before && when - joined <= SECOND / 2, "seen after {:?}", when - joined);
}

/// CON-BUG-81: any number works, at once, and also when it goes down and up again while listeners run. Seen to fail with workers that are
/// told by their number to end: those that were still busy when the number went up again stayed, and so did their successors.
#[tokio::test(start_paused = true)]
async fn concurrency_goes_up_and_down_while_listeners_run() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..400).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, high) = (running.clone(), most.clone());
    let listener = log.listener("one", move |_| {
        let (now, high) = (now.clone(), high.clone());
        async move {
            high.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(SECOND).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Outcome::consumed()
        }
    });
    let consumer = consumer(&client).concurrency(2).concurrent(listener).build().await.expect("it builds");
    let settles = async |wanted| {
        sleep(2 * SECOND).await;
        most.store(0, Ordering::SeqCst);
        sleep(3 * SECOND).await;
        assert_eq!(most.load(Ordering::SeqCst), wanted);
    };
    settles(2).await;
    consumer.set_concurrency(30);
    until(&cluster, || running.load(Ordering::SeqCst) == 30).await;
    settles(30).await;
    consumer.set_concurrency(3);
    settles(3).await;
    // Down and up again before anybody has noticed.
    for _ in 0..5 {
        consumer.set_concurrency(1);
        consumer.set_concurrency(5);
    }
    settles(5).await;
    consumer.set_concurrency(0);
    settles(1).await;
    consumer.set_concurrency(100);
    until(&cluster, || log.count("one") == 400).await;
    soon(consumer.shutdown()).await.expect("it ends");
}
