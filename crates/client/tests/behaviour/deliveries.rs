//! Consumers whose messages are taken from a stream.

use ferrocket::{ConsumeFrom, Message, Outcome};
use futures::StreamExt;

use crate::server::{Server, eventually, producer, send_numbered};

#[tokio::test]
async fn deliveries_are_settled_by_who_takes_them() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, group) = (server.topic(2).await, server.group());
    let producer = producer(&client).await;
    for body in ["done", "again", "dropped"] {
        producer.send(Message::new(&topic, body)).await.unwrap();
    }
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let mut deliveries = consumer.deliveries().build().await.unwrap();
    let mut seen = Vec::new();
    // Three at first, and two of them once more.
    while seen.len() < 5 {
        let delivery = deliveries.next().await.unwrap();
        let (body, attempt) = (String::from_utf8_lossy(delivery.body()).into_owned(), delivery.attempt());
        match (body.as_str(), attempt) {
            ("again", 1) => delivery.settle(Outcome::retry("not yet")),
            ("dropped", 1) => drop(delivery),
            _ => delivery.ack(),
        }
        seen.push((body, attempt));
    }
    seen.sort();
    let expected = [("again", 1), ("again", 2), ("done", 1), ("dropped", 1), ("dropped", 2)];
    assert_eq!(seen, expected.map(|(body, attempt)| (body.to_owned(), attempt)));
    assert_eq!(client.metrics().consumed, 3);
    deliveries.consumer().shutdown().await.unwrap();
    assert!(deliveries.next().await.is_none(), "the stream ends with its consumer");
    client.shutdown().await.unwrap();
}

/// Whoever polls sets the pace: what was not asked for is not handed out, and limits stop the pulls.
#[tokio::test]
async fn what_nobody_polls_for_waits_and_a_delivery_in_hand_holds_a_shutdown_up() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, group) = (server.topic(1).await, server.group());
    send_numbered(&producer(&client).await, &topic, 0, 100).await;
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let mut deliveries = consumer.queue_buffer(40).deliveries().build().await.unwrap();
    let buffered = async || deliveries.consumer().health().buffered >= 40;
    eventually("the buffer is full", buffered).await;
    assert!(deliveries.consumer().health().buffered < 40 + 32);
    assert_eq!(deliveries.consumer().health().running_handlers, 0);
    let delivery = deliveries.next().await.unwrap();
    assert_eq!(deliveries.consumer().health().running_handlers, 1);
    let ending = tokio::spawn(deliveries.consumer().shutdown().into_future());
    // It begins in a task of its own; from then on nothing more is handed out.
    while let Some(other) = deliveries.next().await {
        other.ack();
    }
    assert!(!ending.is_finished(), "the one in hand is waited for");
    delivery.ack();
    ending.await.unwrap().unwrap();
    client.shutdown().await.unwrap();
}
