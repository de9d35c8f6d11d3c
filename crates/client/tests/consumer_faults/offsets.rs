//! Progress: where a queue begins, and what is stored of it, when servers and disks fail.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ferrocket::{ConsumeFrom, FileOffsets, MessageQueue, PushConsumer, consumer::QueueState};
use ferrocket_protocol::{
    HeaderFormat, encode_response,
    request::{CommitOffset, PullAnswer},
};
use ferrocket_testkit::{Action, Call, Fault, ResponseCode, TestCluster};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    common::{SECOND, brokers, soon},
    members::{GROUP, Log, Raw, carries, client, cluster, consumer, fill, owned, queue, state, until, until_owned},
};

/// Stores an offset, right or wrong.
async fn store(cluster: &TestCluster, queue: &MessageQueue, offset: u64) {
    Raw::of(cluster).call(&CommitOffset::new(offset, GROUP, queue.id(), queue.topic())).await;
}

/// CON-BUG-13, CON-CFW-02, R-I4: an offset that cannot be read is not zero and not the end. Nothing is pulled, health says why, and it
/// starts where it should as soon as it can be read. Seen to fail with a failed read that counts as "nothing stored", and (R-I13)
/// with a next round at once: a broker that answers nonsense was asked again and again in no time at all.
#[tokio::test(start_paused = true)]
async fn a_queue_whose_offset_cannot_be_read_is_not_started_until_it_can() {
    let on = |call| Fault::on(call);
    for (case, fault) in [
        ("refused", on(Call::ReadOffset).answer(ResponseCode::SYSTEM_ERROR, "the store is broken")),
        ("swallowed", on(Call::ReadOffset).drop_request()),
        ("nonsense", on(Call::ReadOffset).garbage(&b"\0\0\0\x04nonsense"[..])),
        ("the start is refused", on(Call::MinOffset).answer(ResponseCode::SYSTEM_ERROR, "the store is broken")),
    ] {
        let (cluster, log) = (cluster(1).await, Log::default());
        let (client, _) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..5).await;
        let has_stored = !case.starts_with("the start");
        if has_stored {
            store(&cluster, &queue(0), 3).await;
        }
        let fault = cluster.fault(fault);
        let consumer = consumer(&client).concurrent(log.content("one")).build().await.expect("it builds");
        let is_unknown = |state| matches!(state, Some(QueueState::OffsetUnknown { .. }));
        until(&cluster, || is_unknown(state(&consumer, &queue(0)))).await;
        sleep(30 * SECOND).await;
        assert_eq!((cluster.requests(Call::Pull), owned(&consumer)), (0, 0), "{case}");
        assert!(is_unknown(state(&consumer, &queue(0))) && !consumer.health().is_healthy(), "{case}");
        assert_eq!(cluster.requests(Call::CommitOffset), usize::from(has_stored), "{case}: and nothing is stored");
        // An answer of nonsense costs the connection, and with the next one the broker asks for a new round. Two queues.
        let asked = cluster.requests(Call::ReadOffset);
        assert!(asked <= 1_300, "{case}: asked {asked} times in 30 s");
        fault.remove();
        let took = until(&cluster, || log.count("one") == if has_stored { 2 } else { 5 }).await;
        assert!(took <= 4 * SECOND, "{case}: started after {took:?}");
        sleep(SECOND).await;
        assert_eq!(log.offsets("one"), if has_stored { vec![3, 4] } else { vec![0, 1, 2, 3, 4] }, "{case}");
    }
}

/// R7, alibaba#210: the broker was replaced by one that has less. It says where to go on; that is stored at once, counted, and the queue
/// goes on there.
#[tokio::test(start_paused = true)]
async fn r7_an_offset_beyond_the_end_of_its_queue_is_corrected_stored_and_counted() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..5).await;
    store(&cluster, &queue(0), 1_000).await;
    let consumer = consumer(&client).concurrent(log.content("one")).build().await.expect("it builds");
    let took = until(&cluster, || cluster.committed_offset(GROUP, &queue(0)) == Some(5)).await;
    assert!(took <= SECOND / 2, "stored after {took:?}");
    assert_eq!(client.metrics().offset_moves, 1);
    assert_eq!(log.count("one"), 0, "what was there may have been consumed");
    fill(&client, &queue(0), 5..8).await;
    until(&cluster, || log.count("one") == 3).await;
    assert_eq!(state(&consumer, &queue(0)), Some(QueueState::Running));
    soon(consumer.shutdown()).await.expect("it ends");
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(8));
}

/// The broker has nothing below offset 3 any more, and says so to the first pull below it.
fn expire_first_three(cluster: &TestCluster) {
    cluster.intercept(|request| {
        let field = |name| request.command().fields().find(name).ok().flatten().map(|text| text.into_owned());
        let offset = field("queueOffset").and_then(|text| text.parse::<u64>().ok());
        let is_below = field("topic").as_deref() == Some("Orders") && offset.is_some_and(|offset| offset < 3);
        if request.call() != Some(Call::Pull) || !is_below {
            return Action::Pass;
        }
        let code = ResponseCode::PULL_OFFSET_MOVED;
        let (answer, opaque) = (PullAnswer::new(code, 3, 3, 5, Bytes::new()), request.command().opaque);
        let (mut frame, json) = (BytesMut::new(), HeaderFormat::Json);
        let _ = encode_response(opaque, code, Some("OFFSET_TOO_SMALL"), &answer, Bytes::new(), json, &mut frame)
            .expect("it is short");
        Action::Garbage(frame.freeze())
    });
}

/// R7, G#571: an offset below what the broker still has.
#[tokio::test(start_paused = true)]
async fn r7_an_offset_below_the_start_of_its_queue_is_corrected_stored_and_counted() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    fill(&client, &queue(0), 0..5).await;
    store(&cluster, &queue(0), 1).await;
    expire_first_three(&cluster);
    let consumer = consumer(&client).concurrent(log.content("one")).build().await.expect("it builds");
    until(&cluster, || log.count("one") == 2).await;
    assert_eq!(log.offsets("one"), [3, 4]);
    assert!(cluster.committed_offset(GROUP, &queue(0)) >= Some(3), "stored at once");
    assert_eq!(client.metrics().offset_moves, 1);
    soon(consumer.shutdown()).await.expect("it ends");
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(5));
}

/// A store of one's own, which fails as long as it should.
#[derive(Clone, Default)]
pub(crate) struct Notebook {
    offsets: Arc<Mutex<BTreeMap<MessageQueue, u64>>>,
    is_full: Arc<Mutex<bool>>,
}

impl ferrocket::OffsetStore for Notebook {
    async fn read(&self, _: &ferrocket::Group, queue: &MessageQueue) -> Result<Option<u64>, ferrocket::BoxError> {
        Ok(self.offsets.lock().get(queue).copied())
    }

    async fn write(&self, _: &ferrocket::Group, offsets: &[(MessageQueue, u64)]) -> Result<(), ferrocket::BoxError> {
        if *self.is_full.lock() {
            return Err("the disk is full".into());
        }
        self.offsets.lock().extend(offsets.iter().cloned());
        Ok(())
    }
}

/// R7, J#7740: in broadcasting the same, in a store of one's own; beyond the end, and below the start.
#[tokio::test(start_paused = true)]
async fn r7_broadcast_offsets_outside_of_their_queue_are_corrected_and_stored() {
    for (stored, seen) in [(1_000, vec![]), (1, vec![3, 4])] {
        let (cluster, log, notebook) = (cluster(1).await, Log::default(), Notebook::default());
        let (client, _) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..5).await;
        expire_first_three(&cluster);
        notebook.offsets.lock().insert(queue(0), stored);
        let builder = consumer(&client).broadcast(notebook.clone());
        let consumer = builder.concurrent(log.content("one")).build().await.expect("it builds");
        until(&cluster, || client.metrics().offset_moves == 1 && log.count("one") == seen.len()).await;
        let start = if seen.is_empty() { 5 } else { 3 };
        until(&cluster, || notebook.offsets.lock().get(&queue(0)).is_some_and(|stored| *stored == start)).await;
        assert_eq!(log.offsets("one"), seen);
        soon(consumer.shutdown()).await.expect("it ends");
        assert_eq!(notebook.offsets.lock().get(&queue(0)), Some(&5));
        assert_eq!(client.metrics().offset_moves, 1, "once");
    }
}

async fn latest(client: &ferrocket::Client, log: &Log, who: &'static str, orderly: bool) -> PushConsumer {
    let builder = consumer(client).consume_from(ConsumeFrom::Latest);
    match orderly {
        true => builder.orderly(log.content(who)).build().await.expect("it builds"),
        false => builder.concurrent(log.content(who)).build().await.expect("it builds"),
    }
}

/// CON-BUG-01, CON-BUG-14: the end of the queue is read once, and the first pull begins there. What arrives between is not skipped, where
/// an order is kept either.
#[tokio::test(start_paused = true)]
async fn messages_that_arrive_between_the_reading_of_the_end_and_the_first_pull_are_not_skipped() {
    for orderly in [false, true] {
        let (cluster, log) = (cluster(1).await, Log::default());
        let (client, _) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..5).await;
        let slow = cluster.fault(Fault::on(Call::MaxOffset).delay(2 * SECOND));
        let consumer = latest(&client, &log, "one", orderly).await;
        until(&cluster, || slow.hits() == 1).await;
        fill(&client, &queue(0), 5..8).await;
        assert_eq!(owned(&consumer), 0, "the answer is on its way");
        until(&cluster, || log.count("one") == 3).await;
        assert_eq!(log.offsets("one"), [5, 6, 7]);
        assert_eq!(slow.hits(), 1, "read once");
    }
}

/// CON-BUG-01, CON-BUG-14, R-I4: "the end" is stored when it was used, also if nothing came and the process was killed. Who comes next
/// begins there and not at the end of then. Seen to fail with a start that counts as stored.
#[tokio::test(start_paused = true)]
async fn a_group_that_began_at_the_end_goes_on_there_though_it_never_got_a_message() {
    for orderly in [false, true] {
        let (cluster, log) = (cluster(1).await, Log::default());
        let (first, wire) = client(&cluster, "first").await;
        fill(&first, &queue(0), 0..5).await;
        let consumer = latest(&first, &log, "first", orderly).await;
        until_owned(&cluster, &consumer, 1).await;
        sleep(SECOND).await;
        wire.unplug();
        cluster.disconnect_client(first.client_id());
        drop((consumer, first));
        let (second, _) = client(&cluster, "second").await;
        fill(&second, &queue(0), 5..8).await;
        let _consumer = latest(&second, &log, "second", orderly).await;
        until(&cluster, || log.count("second") == 3).await;
        assert_eq!(log.offsets("second"), [5, 6, 7]);
    }
}

/// R12, J#2763: one broker is silent while offsets are stored. Those of the other one are stored all the same, and those of this one as soon
/// as it answers again. Seen to fail with rounds that wait for every broker: after 4 s.
#[tokio::test(start_paused = true)]
async fn r12_offsets_of_other_brokers_are_stored_while_one_is_silent() {
    let cluster = brokers(3).start().await.expect("it starts");
    let log = Log::default();
    let (client, _) = client(&cluster, "one").await;
    let on = |broker: u32| MessageQueue::new("Orders", format!("broker-{broker}"), 0);
    let builder = consumer(&client).commit_interval(SECOND).concurrent(log.content("one"));
    let consumer = builder.build().await.expect("it builds");
    until_owned(&cluster, &consumer, 6).await;
    for broker in 0..3 {
        fill(&client, &on(broker), 0..10).await;
    }
    // Fill with the pulls under way, so that only the regular store is left for what comes now.
    until(&cluster, || (0..3).all(|broker| cluster.committed_offset(GROUP, &on(broker)) == Some(10))).await;
    let silent = cluster.fault(Fault::on(Call::CommitOffset).on_broker("broker-0").drop_request());
    let no_pulls = cluster.fault(Fault::on(Call::Pull).on_broker("broker-0").skip(1).drop_request());
    for round in 1..6 {
        for broker in 0..3 {
            fill(&client, &on(broker), 0..1).await;
        }
        let stored = || (1..3).all(|broker| cluster.committed_offset(GROUP, &on(broker)) == Some(10 + round));
        let took = until(&cluster, stored).await;
        assert!(took <= SECOND + SECOND / 10, "round {round}: stored after {took:?}");
    }
    assert_eq!(cluster.committed_offset(GROUP, &on(0)), Some(10));
    silent.remove();
    no_pulls.remove();
    until(&cluster, || cluster.committed_offset(GROUP, &on(0)) >= Some(11)).await;
}

/// CON-BUG-85, J#3675: what did not change is not stored again, neither by itself nor with pulls. Seen to fail with a store of everything.
#[tokio::test(start_paused = true)]
async fn nothing_is_stored_that_did_not_change() {
    let (cluster, log) = (cluster(4).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    let carried = Arc::new(Mutex::new(0));
    let counted = carried.clone();
    cluster.intercept(move |request| {
        *counted.lock() += usize::from(carries(request));
        Action::Pass
    });
    fill(&client, &queue(0), 0..10).await;
    let builder = consumer(&client).commit_interval(SECOND).concurrent(log.content("one"));
    let _consumer = builder.build().await.expect("it builds");
    until(&cluster, || cluster.committed_offset(GROUP, &queue(0)) == Some(10)).await;
    sleep(30 * SECOND).await;
    let (before, carried_before) = (cluster.requests(Call::CommitOffset), *carried.lock());
    sleep(600 * SECOND).await;
    assert_eq!((cluster.requests(Call::CommitOffset), *carried.lock()), (before, carried_before));
    fill(&client, &queue(2), 0..1).await;
    until(&cluster, || cluster.committed_offset(GROUP, &queue(2)) == Some(1)).await;
    sleep(30 * SECOND).await;
    let stores = cluster.requests(Call::CommitOffset) - before + *carried.lock() - carried_before;
    assert_eq!(stores, 1, "that queue, once");
}

/// R20, R21, R-I4: the file cannot be written, because something is in its way. Consumption goes on, a shutdown would say so, and the next
/// write that works has everything. Who comes back goes on where the file says.
#[tokio::test(start_paused = true)]
async fn r20_a_file_of_offsets_that_cannot_be_written_is_repaired_by_the_next_write_and_holds_nothing_up() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("r20-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let (cluster, log) = (cluster(1).await, Log::default());
    let (one, _) = client(&cluster, "one").await;
    fill(&one, &queue(0), 0..10).await;
    let join = async |who, client: &ferrocket::Client| {
        let builder = consumer(client).commit_interval(SECOND).broadcast(FileOffsets::new(&folder));
        builder.concurrent(log.content(who)).build().await.expect("it builds")
    };
    let consumer = join("one", &one).await;
    let file = folder.join("billing.json");
    let has = |offset: u64| {
        std::fs::read_to_string(&file).is_ok_and(|text| text.lines().any(|line| line.contains(&offset.to_string())))
    };
    until(&cluster, || has(10)).await;
    // What is written first stands in the way.
    std::fs::create_dir(folder.join("billing.json.new")).expect("it is free");
    fill(&one, &queue(0), 10..25).await;
    until(&cluster, || log.count("one") == 25).await;
    sleep(10 * SECOND).await;
    assert!(has(10) && !has(25), "whole, and of before");
    let error = consumer.shutdown().within(SECOND).await.expect_err("it cannot be stored");
    assert!(matches!(error.leftovers(), [ferrocket::Leftover::Offsets { queues: 1, .. }]), "{error}");
    soon(one.shutdown()).await.expect("it ends");
    // The file has one user at a time.
    drop(consumer);
    let (two, _) = client(&cluster, "two").await;
    let consumer = join("two", &two).await;
    until(&cluster, || log.count("two") == 15).await;
    assert_eq!(log.offsets("two").iter().min(), Some(&10), "at least once: what could not be stored comes again");
    std::fs::remove_dir(folder.join("billing.json.new")).expect("it is there");
    until(&cluster, || has(25)).await;
    soon(consumer.shutdown()).await.expect("it ends");
    std::fs::remove_dir_all(&folder).expect("it can be removed");
}

/// R20: with a store of one's own. Memory keeps the offset, the next success writes it, and only the newest.
#[tokio::test(start_paused = true)]
async fn r20_a_store_of_ones_own_that_fails_holds_nothing_up_and_has_the_newest_when_it_works_again() {
    let (cluster, log, notebook) = (cluster(2).await, Log::default(), Notebook::default());
    let (client, _) = client(&cluster, "one").await;
    *notebook.is_full.lock() = true;
    let builder = consumer(&client).commit_interval(SECOND).offset_store(notebook.clone());
    let _consumer = builder.concurrent(log.content("one")).build().await.expect("it builds");
    for round in 0..5u32 {
        fill(&client, &queue(round % 2), 0..10).await;
        until(&cluster, || log.all().len() == 10 * (round as usize + 1)).await;
        sleep(2 * SECOND).await;
    }
    assert!(notebook.offsets.lock().is_empty());
    *notebook.is_full.lock() = false;
    let began = Instant::now();
    until(&cluster, || notebook.offsets.lock().get(&queue(1)) == Some(&20)).await;
    assert!(began.elapsed() <= SECOND + Duration::from_millis(10), "{:?}", began.elapsed());
    assert_eq!(notebook.offsets.lock().get(&queue(0)), Some(&30));
    assert_eq!(cluster.committed(GROUP, "Orders"), 0, "brokers hear nothing of it");
}
