//! R27: messages that failed, on their way back to the broker: none is past the stored offset before it is safe elsewhere.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrocket::{BatchOutcome, Outcome, ReceivedMessage, consumer::QueueState};
use ferrocket_testkit::{Action, Call, Fault, ResponseCode, TestCluster};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    common::{SECOND, soon},
    members::{GROUP, Log, client, cluster, consumer, fill, queue, state, until},
};

const RETRY_TOPIC: &str = "%RETRY%billing";
const DEAD_LETTERS: &str = "%DLQ%billing";

/// One queue; what is given back comes again soon.
async fn quick() -> TestCluster {
    let cluster = TestCluster::builder().in_memory().topic("Orders", 1).retry_delay(SECOND / 10);
    cluster.start().await.expect("it starts")
}

/// Fails message 1 at its first attempt.
async fn fails_once(message: ReceivedMessage) -> Outcome {
    match (message.body().as_ref(), message.attempt()) {
        (b"1", 1) => Outcome::retry("not yet"),
        _ => Outcome::consumed(),
    }
}

/// R27, G#797, G#976, R-I3: the broker refuses, for a minute. The offset waits, the message is tried again with growing pauses, and comes
/// back once. Seen to fail with a message that counts as settled although it could not be given back.
#[tokio::test(start_paused = true)]
async fn r27_a_message_that_cannot_be_given_back_holds_the_offset_until_it_can() {
    let (cluster, log) = (quick().await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..5).await;
    let refused = cluster.fault(Fault::on(Call::SendBack).answer(ResponseCode::SYSTEM_ERROR, "the disk is full"));
    let builder = consumer(&client).commit_interval(SECOND).concurrent(log.listener("one", fails_once));
    let consumer = builder.build().await.expect("it builds");
    until(&cluster, || log.count("one") == 5).await;
    let began = Instant::now();
    while began.elapsed() < 60 * SECOND {
        assert!(cluster.committed_offset(GROUP, &queue(0)) <= Some(1), "after {:?}", began.elapsed());
        sleep(SECOND / 10).await;
    }
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(1), "what came before it is stored");
    assert_eq!((consumer.health().buffered, log.count("one")), (1, 5), "it is kept, and not handed out again");
    // 0, 0.5, 1.5, 3.5, 7.5 s, and then every 5 s.
    assert!((14..=17).contains(&refused.hits()), "{} times", refused.hits());
    refused.remove();
    let took = until(&cluster, || log.count("one") == 6).await;
    assert!(took <= 6 * SECOND, "back after {took:?}");
    until(&cluster, || cluster.committed_offset(GROUP, &queue(0)) == Some(5)).await;
    assert_eq!(cluster.messages(RETRY_TOPIC).len(), 1);
    assert_eq!(log.all().pop().map(|handled| (handled.body, handled.attempt)), Some(("1".to_owned(), 2)));
}

/// R27, CON-BUG-25: an answer that comes late, within the time of a request, costs no second copy. One that comes after it, or never,
/// because the connection is cut, leaves it open whether the broker has the message: it is given back once more, and no further.
#[tokio::test(start_paused = true)]
async fn r27_a_late_or_lost_answer_costs_one_copy_more_at_most() {
    let on = || Fault::on(Call::SendBack).times(1);
    let cases = [
        ("late", on().delay(2 * SECOND), 1),
        ("too late", on().delay(20 * SECOND), 2),
        ("lost with the connection", on().apply_then_disconnect(), 2),
        ("cut before it was done", on().disconnect(), 1),
        ("swallowed", on().drop_request(), 1),
    ];
    for (case, fault, copies) in cases {
        let (cluster, log) = (quick().await, Log::default());
        let (client, _) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..3).await;
        let _ = cluster.fault(fault);
        let listener = log.listener("one", fails_once);
        let consumer = consumer(&client).commit_interval(SECOND / 5).concurrent(listener).build().await;
        let consumer = consumer.expect("it builds");
        until(&cluster, || {
            let is_safe = !cluster.messages(RETRY_TOPIC).is_empty();
            let committed = cluster.committed_offset(GROUP, &queue(0));
            // Stored as delayed at first, and shown when it is due: a commit may see it earlier than this does.
            assert!(committed <= Some(1) || is_safe || cluster.requests(Call::SendBack) > 0, "{case}");
            committed == Some(3)
        })
        .await;
        sleep(60 * SECOND).await;
        assert_eq!(cluster.messages(RETRY_TOPIC).len(), copies, "{case}");
        assert_eq!(log.count("one"), 3 + copies, "{case}");
        soon(consumer.shutdown()).await.expect("it ends");
    }
}

/// R1, R27, R-I3: the connection is cut at every byte of the request, and of what is written behind it. Each message comes again, once more
/// than it had to at most.
#[tokio::test(start_paused = true)]
async fn r27_a_request_cut_at_any_byte_loses_no_retry() {
    let (cluster, log) = (quick().await, Log::default());
    let (cut, wire) = client(&cluster, "one").await;
    let (other, _) = client(&cluster, "other").await;
    let scissors = wire.clone();
    let listener = log.listener("one", move |message: ReceivedMessage| {
        let is_first = message.attempt() == 1;
        if is_first {
            scissors.cut_after(message.offset() as usize);
        }
        async move { if is_first { Outcome::retry("not yet") } else { Outcome::consumed() } }
    });
    let builder = consumer(&cut).concurrency(1).commit_interval(SECOND / 5).concurrent(listener);
    let consumer = builder.build().await.expect("it builds");
    let mut unsent = 0;
    for number in 0..500 {
        let asked = cluster.requests(Call::SendBack);
        fill(&other, &queue(0), number..number + 1).await;
        until(&cluster, || log.all().iter().any(|one| one.offset == u64::from(number) && one.attempt == 1)).await;
        until(&cluster, || cluster.requests(Call::SendBack) > asked).await;
        unsent += usize::from(wire.was_cut());
        until(&cluster, || cluster.committed_offset(GROUP, &queue(0)) == Some(u64::from(number) + 1)).await;
    }
    assert!(unsent > 200, "{unsent} requests were cut");
    sleep(10 * SECOND).await;
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    log.all().into_iter().for_each(|handled| *calls.entry(handled.body).or_default() += 1);
    assert_eq!(calls.len(), 500);
    assert!(calls.values().all(|count| (2..=3).contains(count)), "{calls:?}");
    soon(consumer.shutdown()).await.expect("it ends");
}

/// R1, R27: the broker has the message, and of its answer comes a part.
#[tokio::test(start_paused = true)]
async fn r27_an_answer_cut_at_any_byte_costs_one_copy_more() {
    let (cluster, log) = (quick().await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    let listener = log.listener("one", |message: ReceivedMessage| async move {
        if message.attempt() == 1 { Outcome::retry("not yet") } else { Outcome::consumed() }
    });
    let builder = consumer(&client).commit_interval(SECOND / 5).concurrent(listener);
    let consumer = builder.build().await.expect("it builds");
    let mut number = 0;
    loop {
        let copies = cluster.messages(RETRY_TOPIC).len();
        let fault = cluster.fault(Fault::on(Call::SendBack).times(1).cut_answer_after(number as usize));
        fill(&client, &queue(0), number..number + 1).await;
        number += 1;
        until(&cluster, || cluster.committed_offset(GROUP, &queue(0)) == Some(number.into())).await;
        sleep(SECOND).await;
        assert_eq!(fault.hits(), 1);
        match cluster.messages(RETRY_TOPIC).len() - copies {
            1 => break, // the whole answer came
            copies => assert_eq!(copies, 2, "cut after {number}"),
        }
    }
    assert!(number > 40, "an answer is longer than {number} bytes");
    let mut attempts: BTreeMap<String, usize> = BTreeMap::new();
    log.all().into_iter().for_each(|handled| *attempts.entry(handled.body).or_default() += 1);
    assert!(
        attempts.len() == number as usize && attempts.values().all(|count| *count == 3 || *count == 2),
        "{attempts:?}"
    );
    soon(consumer.shutdown()).await.expect("it ends");
}

/// R27, CON-RETRY-03: after its last attempt a message is a dead letter, once; until that is confirmed the offset waits.
#[tokio::test(start_paused = true)]
async fn r27_after_the_last_attempt_a_message_is_a_dead_letter_once_and_is_kept_until_then() {
    let (cluster, log) = (quick().await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..2).await;
    // The first two are retries; the third would be the dead letter.
    let refused = cluster.fault(Fault::on(Call::SendBack).skip(2).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    let listener = log.listener("one", |message: ReceivedMessage| async move {
        if message.body() == "1" { Outcome::retry("never") } else { Outcome::consumed() }
    });
    let builder = consumer(&client).commit_interval(SECOND / 5).max_attempts(3).concurrent(listener);
    let consumer = builder.build().await.expect("it builds");
    until(&cluster, || log.count("one") == 4).await;
    sleep(30 * SECOND).await;
    let attempts: Vec<_> = log.all().into_iter().filter(|handled| handled.body == "1").map(|one| one.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(cluster.messages(DEAD_LETTERS).is_empty());
    assert_eq!(cluster.committed(GROUP, RETRY_TOPIC), 1, "the last copy in the retry topic is not settled");
    assert_eq!((consumer.health().buffered, client.metrics().dead_lettered), (1, 0));
    refused.remove();
    until(&cluster, || cluster.committed(GROUP, RETRY_TOPIC) == 2).await;
    sleep(60 * SECOND).await;
    let dead = cluster.messages(DEAD_LETTERS);
    assert_eq!((dead.len(), dead[0].body().as_ref(), client.metrics().dead_lettered), (1, &b"1"[..], 1));
    assert_eq!(log.count("one"), 4, "nothing comes after that");
}

/// R27, CON-ORD-13, G#618: where an order is kept the queue waits for its dead letter to be safe; nothing behind it is handed out before.
#[tokio::test(start_paused = true)]
async fn r27_an_orderly_queue_waits_until_its_dead_letter_is_safe() {
    let (cluster, log) = (quick().await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..4).await;
    let refused = cluster.fault(Fault::on(Call::SendBack).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    let listener = log.listener("one", |message: ReceivedMessage| async move {
        if message.body() == "1" { Outcome::retry("never") } else { Outcome::consumed() }
    });
    let builder = consumer(&client).commit_interval(SECOND / 5).max_attempts(2).orderly(listener);
    let _consumer = builder.build().await.expect("it builds");
    sleep(30 * SECOND).await;
    assert!(log.all().iter().all(|handled| handled.offset <= 1), "nothing behind it");
    assert!(log.all().iter().all(|handled| handled.attempt <= 2), "the last attempt stays the last");
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(1));
    assert!(refused.hits() > 10);
    refused.remove();
    until(&cluster, || cluster.committed_offset(GROUP, &queue(0)) == Some(4)).await;
    assert_eq!(cluster.messages(DEAD_LETTERS).len(), 1);
    assert_eq!(log.all().iter().filter(|handled| handled.offset > 1).count(), 2);
}

/// CON-BUG-28: where an order is kept, what went to the dead letters is settled by itself. What is tried again beside it brings it there
/// no second time.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_of_an_orderly_batch_is_sent_once_however_often_the_others_are_tried() {
    let cluster = quick().await;
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..4).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        log.lock().push(batch.iter().map(ReceivedMessage::offset).collect::<Vec<_>>());
        let outcome = |message: &ReceivedMessage| match (message.offset(), message.attempt()) {
            (1, _) => Outcome::dead_letter("hopeless"),
            (2, attempt) if attempt < 5 => Outcome::retry("not yet"),
            _ => Outcome::consumed(),
        };
        let outcomes = BatchOutcome::each(batch.iter().map(outcome).collect::<Vec<_>>());
        async move { outcomes }
    };
    let consumer = consumer(&client).orderly_batch(4, listener).build().await.expect("it builds");
    until(&cluster, || client.metrics().consumed == 3).await;
    soon(consumer.shutdown()).await.expect("it ends");
    assert_eq!(cluster.messages(DEAD_LETTERS).len(), 1);
    let seen = seen.lock().clone();
    assert!(seen.iter().skip(1).all(|batch| !batch.contains(&1)), "{seen:?}");
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(4));
}

/// CON-BUG-48, CON-BASE-10: a group that never was has no retry topic before its first heartbeat, and name servers may learn of it later. It
/// is looked for twice a second at first: as soon as there is a route, what failed comes again, and it does not wait for the next
/// refresh of routes. Seen to fail with a retry topic that counts as one that need not be there from the start.
#[tokio::test(start_paused = true)]
async fn the_retry_topic_of_a_new_group_is_consumed_at_once() {
    for hidden in [Duration::ZERO, 3 * SECOND] {
        let (cluster, log) = (cluster(1).await, Log::default());
        let (client, _) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..1).await;
        let began = Instant::now();
        cluster.intercept(move |request| {
            let is_retry = request.command().fields().find("topic").ok().flatten().as_deref() == Some(RETRY_TOPIC);
            match request.call() == Some(Call::Route) && is_retry && began.elapsed() < hidden {
                true => Action::Answer(ResponseCode::TOPIC_NOT_EXIST, "no such topic yet".to_owned()),
                false => Action::Pass,
            }
        });
        let listener = log.listener("one", |message: ReceivedMessage| async move {
            if message.attempt() == 1 { Outcome::retry("not yet").after(SECOND) } else { Outcome::consumed() }
        });
        let _consumer = consumer(&client).concurrent(listener).build().await.expect("it builds");
        until(&cluster, || log.count("one") == 1).await;
        let first = Instant::now();
        until(&cluster, || log.count("one") == 2).await;
        let due = if hidden.is_zero() { first + SECOND } else { began + hidden };
        let late = Instant::now() - due;
        assert!(
            first + SECOND <= Instant::now() && late <= Duration::from_millis(600),
            "hidden {hidden:?}: {late:?} late"
        );
    }
}

/// A broker that does not have a message any more (it was replaced, or keeps messages for too short a time) never takes it back. The
/// message has its further attempts here: it ends once a listener succeeds, and its offset waits until then. What has had all attempts
/// stays, and is said. Seen to fail with messages that are only given back, again and again: nobody saw them a second time.
#[tokio::test(start_paused = true)]
async fn a_message_that_its_broker_never_takes_back_is_tried_again_here() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..3).await;
    let gone = Fault::on(Call::SendBack).answer(ResponseCode::SYSTEM_ERROR, "look message by offset failed, 4711");
    let _ = cluster.fault(gone);
    // The first one succeeds with its third attempt, the last one never.
    let listener = log.listener("one", |message: ReceivedMessage| async move {
        match message.offset() {
            0 if message.attempt() < 3 => Outcome::retry("not yet"),
            2 => Outcome::retry("never"),
            _ => Outcome::consumed(),
        }
    });
    let builder = consumer(&client).commit_interval(SECOND / 5).max_attempts(4).concurrent(listener);
    let consumer = builder.build().await.expect("it builds");
    until(&cluster, || log.count("one") > 2).await;
    sleep(SECOND).await;
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(0), "it is not settled");
    let took = until(&cluster, || cluster.committed_offset(GROUP, &queue(0)) == Some(2)).await;
    assert!(took <= 12 * SECOND, "{took:?}");
    sleep(600 * SECOND).await;
    let attempts =
        |offset| log.all().iter().filter(|one| one.offset == offset).map(|one| one.attempt).collect::<Vec<_>>();
    assert_eq!([attempts(0), attempts(1), attempts(2)], [vec![1, 2, 3], vec![1], vec![1, 2, 3, 4]]);
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(2), "never past it");
    assert!(matches!(state(&consumer, &queue(0)), Some(QueueState::StuckAt { offset: 2, .. })));
}
