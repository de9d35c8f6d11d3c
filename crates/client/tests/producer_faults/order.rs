//! Order under faults: sends of one sharding key reach their queue in the order in which they were made, whatever goes wrong.

use std::{collections::HashMap, time::Duration};

use ferrocket::Message;
use ferrocket_testkit::{Call, Fault, ResponseCode};
use futures::future::join_all;

use crate::{
    common::{SECOND, brokers, wire::connect},
    ledger::Ledger,
};

/// R1, R19, R-I1, R-I2: pipelined, with attempts that are repeated. A message may be there twice, but none before one that was sent
/// earlier. Seen to fail with keyed sends that do not wait for their turn.
#[tokio::test(start_paused = true)]
async fn sends_of_one_key_keep_their_order_under_cuts_refusals_and_delays() {
    let cluster = brokers(2).start().await.expect("it starts");
    let (client, wire) = connect(&cluster).await;
    let producer = client.producer("shop").max_attempts(4).build().await.expect("it builds");
    let ledger = Ledger::default();
    ledger.until_sent(&producer, "first", SECOND / 10).await;
    for round in 0..25 {
        match round % 5 {
            0 => wire.cut_after(round * 53),
            1 => drop(cluster.fault(Fault::on(Call::Send).skip(3).times(3).apply_then_disconnect())),
            2 => drop(cluster.fault(Fault::on(Call::Send).skip(2).times(2).answer(ResponseCode::SYSTEM_BUSY, "busy"))),
            3 => drop(cluster.fault(Fault::on(Call::Send).skip(1).times(2).delay(Duration::from_millis(700)))),
            _ => drop(cluster.fault(Fault::on(Call::Send).skip(1).times(2).cut_answer_after(9))),
        }
        let sends = (0..60).map(|n| {
            let body = format!("{round:02} {n:02} of {}", n % 3);
            let message = Message::new("Orders", body.clone()).with_sharding_key(format!("key {}", n % 3));
            ledger.watch(body, producer.send(message).timeout(10 * SECOND), 10 * SECOND)
        });
        join_all(sends).await;
        wire.was_cut();
    }
    ledger.check(&cluster);
    let mut last: HashMap<String, String> = HashMap::new();
    let mut seen = std::collections::HashSet::new();
    let mut messages = cluster.messages("Orders");
    messages.retain(|message| message.sharding_key().is_some());
    messages.sort_by_key(|message| (message.queue().to_string(), message.offset()));
    for message in messages {
        let body = String::from_utf8_lossy(message.body()).into_owned();
        if !seen.insert(body.clone()) {
            continue; // stored once more, by a repeated attempt
        }
        let key = message.sharding_key().unwrap_or_default().to_owned();
        if let Some(before) = last.insert(key.clone(), body.clone()) {
            assert!(before < body, "{key}: {body:?} lies behind {before:?}");
        }
    }
    let (stored, _, _) = ledger.counts();
    assert!(stored > 1_400 && last.len() == 3, "{stored} stored");
}
