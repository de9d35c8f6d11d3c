//! Blocking closures, which nobody can drop. On the real clock: the paused one stands still while they run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use ferrocket::{Outcome, ReceivedMessage, blocking};
use ferrocket_testkit::{Call, TestCluster};
use parking_lot::Mutex;

use crate::{
    common::{SECOND, soon},
    members::{GROUP, client, consumer, fill, queue, until},
};

/// CON-BUG-26, R11: at its limit it is no longer waited for, and its message is given back, once; the next attempt may run beside it, which
/// is told. Its place is free for others meanwhile, and what it says in the end counts for nothing. Seen to fail with
/// a closure that is waited for all the same.
#[tokio::test]
async fn r11_a_blocking_listener_past_its_limit_runs_on_beside_the_next_attempt_and_its_result_counts_for_nothing() {
    let cluster = TestCluster::builder().in_memory().topic("Orders", 1).retry_delay(Duration::from_millis(50));
    let cluster = soon(cluster.start()).await.expect("it starts");
    let (client, _wire) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..3).await;
    let (release, held) = mpsc::channel::<()>();
    let (seen, has_ended, held) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default(), Mutex::new(held));
    let (log, ended) = (seen.clone(), has_ended.clone());
    let listener = blocking(move |message: ReceivedMessage| {
        let number = String::from_utf8_lossy(message.body()).into_owned();
        log.lock().push((number.clone(), message.attempt()));
        if (number.as_str(), message.attempt()) == ("1", 1) {
            let _ = held.lock().recv();
            ended.store(true, Ordering::SeqCst);
        }
        // The first attempt would bring it to the dead letters.
        if number == "1" && message.attempt() == 1 { Outcome::dead_letter("too late") } else { Outcome::consumed() }
    });
    // One place: whoever holds it holds all others up.
    let builder = consumer(&client).concurrency(1).concurrent(listener).handler_timeout(SECOND);
    let consumer = soon(builder.build()).await.expect("it builds");
    let done = until(&cluster, || client.metrics().consumed == 3);
    tokio::time::timeout(20 * SECOND, done).await.expect("it is not waited for");
    assert!(!has_ended.load(Ordering::SeqCst), "the first attempt still runs");
    let all = [("0", 1), ("1", 1), ("2", 1), ("1", 2)].map(|(number, attempt)| (number.to_owned(), attempt));
    assert_eq!(*seen.lock(), all);

    release.send(()).expect("it waits");
    until(&cluster, || has_ended.load(Ordering::SeqCst)).await;
    soon(consumer.shutdown()).await.expect("it ends");
    assert_eq!(*seen.lock(), all);
    assert_eq!(cluster.requests(Call::SendBack), 1);
    assert!(cluster.messages("%DLQ%billing").is_empty());
    let metrics = client.metrics();
    assert_eq!((metrics.consumed, metrics.consume_failed), (3, 1));
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(3));
}
