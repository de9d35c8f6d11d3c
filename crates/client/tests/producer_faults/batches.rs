//! Batches under faults: those that users make, and those that the producer makes by itself.

use std::time::Duration;

use ferrocket::{Applied, Message, producer::AutoBatch};
use ferrocket_testkit::{Call, Fault, ResponseCode};
use futures::future::join_all;

use crate::{
    common::{SECOND, brokers, soon, wire::connect},
    ledger::Ledger,
};

fn bodies(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name}, {n} of {count}")).collect()
}

/// R1, R-I1, R-I2, R-I10: a batch is stored as a whole or not at all, and what is said of it is true of every message.
#[tokio::test(start_paused = true)]
async fn r1_a_batch_that_is_cut_anywhere_is_told_honestly_for_each_of_its_messages() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, wire) = connect(&cluster).await;
    let once = client.producer("once").max_attempts(1).build().await.expect("it builds");
    let ledger = Ledger::default();
    ledger.until_sent(&once, "first", SECOND / 10).await;
    let mut failed = 0;
    for cut in (0..3_000).step_by(41) {
        let bodies = bodies(&format!("cut {cut:04}"), 12);
        wire.cut_after(cut);
        match once.send_batch(bodies.iter().map(|body| Message::new("Orders", body.clone()))).await {
            Ok(receipts) => {
                assert!(!wire.was_cut());
                assert_eq!(receipts.len(), bodies.len());
                for (body, receipt) in bodies.into_iter().zip(receipts) {
                    ledger.write(body, Ok(receipt)).expect("it is stored");
                }
                break;
            }
            Err(error) => {
                assert!(wire.was_cut());
                assert!(cut == 0 || error.applied() == Applied::Unknown, "cut at {cut}: {error}");
                assert_eq!(error.into_messages().len(), bodies.len(), "they come back");
                failed += 1;
            }
        }
        ledger.until_sent(&once, &format!("after {cut}"), SECOND / 10).await;
    }
    assert!(failed > 20, "a batch is longer than {failed} steps");
    // Cut within the request none of the batches was stored, and those sends stand in no ledger.
    ledger.check(&cluster);
}

/// R-I1, R-I2, R-I7, R-I10: messages that have left together have each a receipt of their own, or each the error of their batch.
/// Seen to fail with receipts handed out in the reverse order.
#[tokio::test(start_paused = true)]
async fn messages_that_were_batched_by_themselves_are_told_the_truth_each_under_cuts_and_refusals() {
    let cluster = brokers(2).start().await.expect("it starts");
    let (client, wire) = connect(&cluster).await;
    let build = |group: &str, attempts: u32| {
        let batch = AutoBatch::default().max_delay(Duration::from_millis(5)).max_bytes(400);
        client.producer(group.to_owned()).auto_batch(batch).max_attempts(attempts).build()
    };
    let once = build("once", 1).await.expect("it builds");
    let usual = build("usual", 4).await.expect("it builds");
    let ledger = Ledger::default();
    ledger.until_sent(&usual, "first", SECOND / 10).await;
    let limit = 3 * SECOND + Duration::from_millis(5);
    for round in 0..50 {
        for (name, producer) in [("once", &once), ("usual", &usual)] {
            match round % 5 {
                0 => wire.cut_after(round * 97),
                1 => drop(cluster.fault(Fault::on(Call::Send).skip(round % 3).times(2).apply_then_disconnect())),
                2 => drop(cluster.fault(Fault::on(Call::Send).times(1).answer(ResponseCode::SYSTEM_BUSY, "busy"))),
                3 => drop(cluster.fault(Fault::on(Call::Send).times(2).delay(SECOND * 5 / 2))),
                _ => drop(cluster.fault(Fault::on(Call::Send).times(1).cut_answer_after(round))),
            }
            let sends = bodies(&format!("{name} {round}"), 60).into_iter().map(|body| {
                let sending = producer.send(Message::new("Orders", body.clone()));
                ledger.watch(body, sending, limit)
            });
            join_all(sends).await;
            wire.was_cut();
        }
        // So that what was avoided is not avoided in the next round.
        tokio::time::sleep(31 * SECOND).await;
    }
    let requests = cluster.requests(Call::Send);
    let (stored, not_stored, unknown) = ledger.counts();
    assert!(requests < (stored + not_stored + unknown) / 4, "{requests} requests: they left together");
    assert!(stored > 4_000 && unknown > 100, "{stored} stored, {not_stored} not, {unknown} unknown");
    ledger.check(&cluster);
    soon(client.shutdown()).await.expect("it ends");
}
