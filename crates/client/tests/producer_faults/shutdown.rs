//! The end of a producer while sends are under way (R22).

use std::sync::Arc;

use ferrocket::{Leftover, Message, producer::AutoBatch};
use ferrocket_testkit::{Call, Fault};
use futures::future::join_all;
use tokio::time::Instant;

use crate::{
    common::{SECOND, brokers, soon, wire::connect},
    ledger::Ledger,
};

/// R22, R-I1, R-I2: what is under way is waited for, and so is what waits to be batched.
#[tokio::test(start_paused = true)]
async fn r22_a_shutdown_waits_for_the_sends_that_are_under_way() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let plain = client.producer("plain").build().await.expect("it builds");
    let batching = client.producer("batching").auto_batch(AutoBatch::default().max_delay(20 * SECOND));
    let batching = batching.build().await.expect("it builds");
    let ledger = Ledger::default();
    ledger.until_sent(&plain, "first", SECOND / 10).await;
    let fault = cluster.fault(Fault::on(Call::Send).delay(SECOND));
    let sends = (0..60).map(|n| {
        let (body, producer) = (format!("{n}"), if n % 2 == 0 { &plain } else { &batching });
        let sending = producer.send(Message::new("Orders", body.clone()));
        ledger.watch(body, sending, 3 * SECOND)
    });
    let ending = async {
        // After the sends were polled for the first time.
        tokio::task::yield_now().await;
        let began = Instant::now();
        soon(client.shutdown()).await.expect("everything was finished");
        assert!(began.elapsed() <= 2 * SECOND, "{:?}", began.elapsed());
    };
    let (sent, ()) = tokio::join!(join_all(sends), ending);
    assert!(sent.iter().all(Result::is_ok), "all were answered");
    fault.remove();
    ledger.check(&cluster);
}

/// R22, R2, R-I2, R-I7: nobody answers. The shutdown ends at its deadline and says how many were left; each of them learns that
/// nobody knows. Seen to fail while saying goodbye to the silent broker took the 3 s of any request.
#[tokio::test(start_paused = true)]
async fn r22_a_shutdown_that_cannot_finish_ends_at_its_deadline_and_says_what_was_left() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let producer = client.producer("shop").send_timeout(30 * SECOND).attempt_timeout(30 * SECOND);
    let producer = producer.max_in_flight(50).build().await.expect("it builds");
    let ledger = Ledger::default();
    ledger.until_sent(&producer, "first", SECOND / 10).await;
    cluster.broker("broker-0").pause();
    // 50 are under way, and the others stand in line.
    let sends = (0..80).map(|n| {
        let body = format!("{n}");
        ledger.watch(body.clone(), producer.send(Message::new("Orders", body)), 30 * SECOND)
    });
    let ending = async {
        tokio::time::sleep(SECOND / 10).await;
        let began = Instant::now();
        let error = client.shutdown().within(SECOND).await.expect_err("nobody answers");
        // Then it still says goodbye, for a moment.
        assert!(began.elapsed() <= SECOND * 3 / 2, "{:?}", began.elapsed());
        let sends = |left: &Leftover| matches!(left, Leftover::Sends { count, .. } if *count >= 50);
        assert!(error.leftovers().iter().any(sends), "{:?}", error.leftovers());
        Instant::now()
    };
    let all = async {
        let sent = join_all(sends).await;
        (sent, Instant::now())
    };
    let ((sent, over), closed) = tokio::join!(all, ending);
    assert!(sent.iter().all(Result::is_err));
    // The pause before another attempt, which finds the client closed.
    assert!(over <= closed + SECOND / 2, "the last send ended {:?} after the client", over - closed);
    let (_, not_stored, unknown) = ledger.counts();
    assert_eq!((not_stored, unknown), (30, 50), "written, or not");
    cluster.broker("broker-0").resume();
    ledger.check(&cluster);
}

/// R22, R-I1: sends with a sharding key that stand in line have been accepted. Seen to fail with a window that expects nobody of the
/// line.
#[tokio::test(start_paused = true)]
async fn r22_a_shutdown_waits_for_keyed_sends_in_line() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    let ledger = Arc::new(Ledger::default());
    ledger.until_sent(&producer, "first", SECOND / 10).await;
    let _ = cluster.fault(Fault::on(Call::Send).delay(SECOND / 20));
    let sends = (0..20).map(|n| {
        let body = format!("{n:02}");
        let message = Message::new("Orders", body.clone()).with_sharding_key("k");
        let (ledger, sending) = (ledger.clone(), producer.send(message));
        // Tasks: between the end of one and the turn of the next one there is a moment in which nothing is in flight.
        tokio::spawn(async move { ledger.watch(body, sending, 3 * SECOND).await })
    });
    let sends: Vec<_> = sends.collect();
    let ending = async {
        // After the sends were polled for the first time.
        tokio::task::yield_now().await;
        assert!(cluster.messages("Orders").len() <= 2, "they stand in line");
        let began = Instant::now();
        soon(client.shutdown()).await.expect("everything was finished");
        assert!(began.elapsed() <= 2 * SECOND, "{:?}", began.elapsed());
    };
    let (sent, ()) = tokio::join!(join_all(sends), ending);
    for sent in sent {
        sent.expect("no panic").expect("it was in line before the shutdown");
    }
    ledger.check(&cluster);
    let mut messages = cluster.messages("Orders");
    messages.retain(|message| message.sharding_key().is_some());
    messages.sort_by_key(|message| message.offset());
    assert!(messages.len() == 20 && messages.is_sorted_by_key(|message| message.body().clone()), "in their order");
}
