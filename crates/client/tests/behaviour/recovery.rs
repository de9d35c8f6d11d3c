use std::time::Duration;

use ferrocket::{ConsumeFrom, Message};

use crate::server::{Inbox, Server, assigned, producer, send_numbered};

/// R4. The broker stands for all of the suite on a real server, so this case is the only one that stops it; there the suite runs
/// it by itself.
#[tokio::test]
async fn broker_restart_under_load_loses_nothing_that_was_acknowledged() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(4).await, Inbox::default());
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    assigned(&consumer, &topic, 4).await;
    let producer = producer(&client).await;
    let mut stored = send_numbered(&producer, &topic, 0, 200).await;
    server
        .restart_broker(async || {
            let error = producer.send(Message::new(&topic, "while it is down")).timeout(Duration::from_secs(1)).await;
            assert!(error.is_err(), "nobody could store it");
        })
        .await;
    // Back: sends succeed again, without any help.
    crate::server::eventually("a send succeeds again", async || {
        let sent = producer.send(Message::new(&topic, "back")).timeout(Duration::from_secs(2)).await;
        sent.is_ok()
    })
    .await;
    stored.extend(send_numbered(&producer, &topic, 200, 200).await);
    crate::server::eventually("everything that was acknowledged", async || {
        let got = inbox.counts();
        stored.iter().all(|body| got.contains_key(body))
    })
    .await;
    client.shutdown().await.unwrap();
}
