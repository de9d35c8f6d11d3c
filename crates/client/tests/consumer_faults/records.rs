//! Records of a broker that make no sense at all.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::{Bytes, BytesMut};
use ferrocket::consumer::QueueState;
use ferrocket_protocol::{HeaderFormat, encode_response, request::PullAnswer};
use ferrocket_testkit::{Action, Call, ResponseCode, TestCluster};
use tokio::time::sleep;

use crate::{
    common::{SECOND, soon},
    members::{GROUP, Log, client, cluster, consumer, fill, queue, state, until},
};

/// Where the record that makes no sense is.
const BROKEN: u64 = 2;

/// What is at offset 2 of queue 0 cannot be read as long as this is true.
fn break_record(cluster: &TestCluster) -> Arc<AtomicBool> {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = is_broken.clone();
    cluster.intercept(move |request| {
        let field = |name| request.command().fields().find(name).ok().flatten().map(|text| text.into_owned());
        let number = |name| field(name).and_then(|text| text.parse::<u64>().ok());
        let is_there = field("topic").as_deref() == Some("Orders")
            && number("queueId") == Some(0)
            && number("queueOffset") == Some(BROKEN);
        if request.call() != Some(Call::Pull) || !is_there || !broken.load(Ordering::SeqCst) {
            return Action::Pass;
        }
        // A length that is possible, and no magic number behind it.
        let record = Bytes::from_static(b"\0\0\0\x60 this is no record at all, and it is as long as it says: ninety-six bytes ........................");
        let (code, mut frame) = (ResponseCode::SUCCESS, BytesMut::new());
        let answer = PullAnswer::new(code, BROKEN + 1, 0, 5, record.clone());
        let opaque = request.command().opaque;
        let _ = encode_response(opaque, code, Some("FOUND"), &answer, record, HeaderFormat::Json, &mut frame)
            .expect("it is short");
        Action::Garbage(frame.freeze())
    });
    is_broken
}

/// CON-BUG-42: it is not skipped, nobody is handed anything that comes behind it, and health says where the queue stands and since when. It
/// is asked for every 3 s, and the other queue goes on. When it can be read, or an administrator sets the offset behind it, all is well
/// again. Seen to fail with a client that skips it, and with one that asks again after the pause of other refusals.
#[tokio::test(start_paused = true)]
async fn a_record_that_makes_no_sense_holds_its_queue_which_says_where_until_it_can_be_read_or_is_stepped_over() {
    for is_stepped_over in [false, true] {
        let (cluster, log) = (cluster(2).await, Log::default());
        let (client, _wire) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..2).await;
        let is_broken = break_record(&cluster);
        let builder = consumer(&client).commit_interval(SECOND).concurrent(log.content("one"));
        let consumer = builder.build().await.expect("it builds");
        until(&cluster, || log.count("one") == 2).await;
        fill(&client, &queue(0), 2..5).await;
        let is_stuck = || matches!(state(&consumer, &queue(0)), Some(QueueState::StuckAt { offset: BROKEN, .. }));
        until(&cluster, is_stuck).await;
        let first = state(&consumer, &queue(0));
        let before = cluster.requests(Call::Pull);
        sleep(30 * SECOND).await;
        let pulls = cluster.requests(Call::Pull) - before;
        assert!((10..=10 + 2 * 3).contains(&pulls), "with those of the two queues that rest: {pulls} pulls in 30 s");
        assert_eq!(state(&consumer, &queue(0)), first, "since when stays as it was");
        assert!(!consumer.health().is_healthy());
        assert_eq!(log.offsets("one"), [0, 1]);
        assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(BROKEN));
        fill(&client, &queue(1), 0..1).await;
        let took = until(&cluster, || log.count("one") == 3).await;
        assert!(took <= SECOND / 10, "the other queue goes on: {took:?}");

        let left = if is_stepped_over {
            assert_eq!(cluster.tell_to_reset(GROUP, &[(queue(0), BROKEN + 1)]), 1);
            vec![3, 4]
        } else {
            is_broken.store(false, Ordering::SeqCst);
            vec![2, 3, 4]
        };
        let took = until(&cluster, || log.count("one") == 3 + left.len()).await;
        assert!(took <= 3 * SECOND + SECOND / 10, "{took:?}");
        assert_eq!(log.offsets("one")[3..], left);
        assert_eq!(state(&consumer, &queue(0)), Some(QueueState::Running));
        assert!(consumer.health().is_healthy());
        soon(consumer.shutdown()).await.expect("it ends");
        assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(5));
    }
}
