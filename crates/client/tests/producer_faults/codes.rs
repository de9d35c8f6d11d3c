//! R19: what brokers refuse with, code by code.

use ferrocket::{Applied, ErrorKind, Message, SendStatus, ServerCode};
use ferrocket_testkit::{Call, Fault, ResponseCode};
use tokio::time::Instant;

use crate::{
    common::{SECOND, brokers, soon, wire::connect},
    ledger::Ledger,
};

/// PRO-SEND-03: after these another broker is asked.
const RETRIED: [i32; 8] = [1, 2, 14, 16, 17, 204, 205, 1500];
/// Those of the send path, and some that no broker answers a send with: what they mean, and whether the message may be stored.
const FINAL: [(i32, ErrorKind, Applied); 14] = [
    (3, ErrorKind::Unsupported, Applied::No),
    (13, ErrorKind::InvalidArgument, Applied::No),
    (24, ErrorKind::Conflict, Applied::No),
    (25, ErrorKind::Conflict, Applied::No),
    (26, ErrorKind::GroupNotFound, Applied::No),
    (29, ErrorKind::InvalidArgument, Applied::No),
    (206, ErrorKind::Server, Applied::Unknown),
    (207, ErrorKind::Server, Applied::Unknown),
    (208, ErrorKind::NotFound, Applied::No),
    (211, ErrorKind::Server, Applied::Unknown),
    (215, ErrorKind::Busy, Applied::No),
    (900, ErrorKind::Server, Applied::Unknown),
    (-7, ErrorKind::Server, Applied::Unknown),
    (99_999, ErrorKind::Server, Applied::Unknown),
];

/// R19, R-I1, R-I2: one of two brokers refuses everything. Seen to fail with 2 taken out of the producer's `RETRIED_CODES`, and with
/// 13 put into it.
#[tokio::test(start_paused = true)]
async fn r19_after_a_code_that_is_retried_the_other_broker_is_asked_and_after_another_one_nobody() {
    let cases = FINAL.into_iter().map(|(code, kind, applied)| (code, Some((kind, applied))));
    for (code, expected) in RETRIED.into_iter().map(|code| (code, None)).chain(cases) {
        let cluster = brokers(2).start().await.expect("it starts");
        let (client, _) = connect(&cluster).await;
        let producer = client.producer("shop").build().await.expect("it builds");
        let fault = cluster.fault(Fault::on(Call::Send).on_broker("broker-0").answer(ResponseCode(code), "refused"));
        let ledger = Ledger::default();
        let mut refused = 0;
        for n in 0..8 {
            if let Err(error) = ledger.send(&producer, n.to_string(), 3 * SECOND).await {
                refused += 1;
                assert_eq!(error.code(), Some(ServerCode::Remoting(code)));
                assert!(error.to_string().contains("refused"), "the broker's words: {error}");
                assert_eq!(error.attempts().len(), 1, "code {code}: {error}");
                assert_eq!(Some((error.kind(), error.applied())), expected, "code {code}: {error}");
            }
        }
        // 1500 is answered over a new connection first, which costs no attempt (REM-INV-11).
        assert!(fault.hits() >= 1, "code {code}: broker-0 was never asked");
        if expected.is_none() {
            assert_eq!(refused, 0, "code {code} is retried");
        } else {
            assert_eq!(refused, fault.hits(), "code {code} is final");
        }
        assert!(cluster.messages("Orders").iter().all(|message| message.queue().broker().as_str() == "broker-1"));
        ledger.check(&cluster);
    }
}

/// R19, R-I7, R-I13: everybody refuses, for ever: as many attempts as allowed, within the time, and then the server's words.
#[tokio::test(start_paused = true)]
async fn r19_when_every_broker_refuses_a_send_ends_after_its_attempts() {
    for code in RETRIED {
        let cluster = brokers(2).start().await.expect("it starts");
        let (client, wire) = connect(&cluster).await;
        let producer = client.producer("shop").max_attempts(4).build().await.expect("it builds");
        let ledger = Ledger::default();
        ledger.send(&producer, "first", 3 * SECOND).await.expect("it is stored");
        ledger.send(&producer, "second", 3 * SECOND).await.expect("it is stored");
        let fault = cluster.fault(Fault::on(Call::Send).answer(ResponseCode(code), "refused"));
        let (began, dials) = (Instant::now(), wire.dials());
        let error = ledger.send(&producer, "refused", 3 * SECOND).await.expect_err("everybody refuses");
        assert_eq!(error.attempts().len(), 4, "code {code}: {error}");
        assert!(began.elapsed() < SECOND, "code {code}: {:?}", began.elapsed());
        // 1500 means "not over this connection": the same attempt goes over another one, twice at most.
        let (hits, limit) = (fault.hits(), if code == 1500 { 8 } else { 4 });
        assert!((4..=limit).contains(&hits), "code {code}: {hits} requests");
        assert!(wire.dials() - dials <= 12, "code {code}: {} dials", wire.dials() - dials);
        let applied = if code == 1 { Applied::Unknown } else { Applied::No };
        assert_eq!(error.applied(), applied, "code {code}");
        fault.remove();
        // Nothing is held against the brokers once they take messages again.
        ledger.send(&producer, "last", 3 * SECOND).await.expect("it is stored");
        ledger.check(&cluster);
    }
}

/// R19: codes that the user adds.
#[tokio::test(start_paused = true)]
async fn r19_a_code_of_the_users_own_is_retried() {
    let cluster = brokers(2).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let producer = client.producer("shop").retry_codes([215]).build().await.expect("it builds");
    let fault = cluster.fault(Fault::on(Call::Send).on_broker("broker-0").answer(ResponseCode(215), "flow control"));
    let ledger = Ledger::default();
    for n in 0..8 {
        ledger.send(&producer, n.to_string(), 3 * SECOND).await.expect("the other broker takes it");
    }
    assert!(fault.hits() >= 1);
    ledger.check(&cluster);
}

/// PRO-SEND-06, PRO-SEND-08, R-I1: stored, but not on a slave. With `retry_not_ok` another broker is tried, and what is stored
/// counts when that one fails; a queue of the user's own is not tried twice, as it would only get the message twice.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_stored_less_safely_is_tried_elsewhere_and_never_lost_for_it() {
    let cluster = brokers(2).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let producer = client.producer("shop").retry_not_ok(true).max_attempts(2).build().await.expect("it builds");
    let unsafely = || Fault::on(Call::Send).times(1).apply_then_answer(ResponseCode::FLUSH_SLAVE_TIMEOUT);
    // Another broker has it safely: two copies, and both are in the receipt.
    let _ = cluster.fault(unsafely());
    let receipt = soon(producer.send(Message::new("Orders", "twice"))).await.expect("it is stored");
    assert_eq!((receipt.status(), receipt.attempts().len()), (SendStatus::Ok, 2));
    assert_eq!(cluster.messages("Orders").len(), 2);
    // The other one fails: what there is counts.
    let _ = cluster.fault(unsafely());
    let _ = cluster.fault(Fault::on(Call::Send).times(1).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    let receipt = soon(producer.send(Message::new("Orders", "once"))).await.expect("one broker has it");
    assert_eq!(receipt.status(), SendStatus::FlushSlaveTimeout);
    assert_eq!(cluster.messages("Orders").len(), 3);
    // A queue of its own.
    let queue = client.queues("Orders").await.expect("known").remove(0);
    let _ = cluster.fault(unsafely());
    let receipt = soon(producer.send(Message::new("Orders", "here")).to_queue(&queue)).await.expect("it is stored");
    assert_eq!((receipt.status(), receipt.attempts().len()), (SendStatus::FlushSlaveTimeout, 0));
    assert_eq!(cluster.messages("Orders").len(), 4);
}
