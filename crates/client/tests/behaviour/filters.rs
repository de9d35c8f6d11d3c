//! Filters that brokers compile.

use ferrocket::{ConsumeFrom, ErrorKind, Filter, Message};

use crate::server::{Inbox, Server, producer};

/// Program 20.
#[tokio::test]
async fn a_sql_filter_lets_through_what_it_says_and_may_change_while_the_consumer_runs() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(2).await, Inbox::default());
    let producer = producer(&client).await;
    for amount in [500, 1_000, 3_000, 5_000, 9_000] {
        let message = Message::new(&topic, amount.to_string()).with_property("amount", amount);
        let message = if amount == 3_000 { message } else { message.with_property("region", "eu") };
        producer.send(message).await.unwrap();
    }
    let filter = Filter::sql("amount BETWEEN 1000 AND 5000 AND region IS NOT NULL");
    let consumer = client.push_consumer(server.group()).subscribe(&topic, filter).consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(2).await;
    consumer.subscribe(&topic, Filter::sql("amount > 10000")).await.unwrap();
    for amount in [2_000, 20_000] {
        let message = Message::new(&topic, amount.to_string()).with_property("amount", amount);
        producer.send(message.with_property("region", "eu")).await.unwrap();
    }
    inbox.wait_for(3).await;
    let got: Vec<_> = inbox.counts().into_keys().collect();
    assert_eq!(got, [b"1000".to_vec(), b"20000".to_vec(), b"5000".to_vec()]);
    client.shutdown().await.unwrap();
}

/// CON-SUB-07: a mistake is an error of `build`, with the broker's words, and no consumer that gets nothing.
#[tokio::test]
async fn a_filter_that_does_not_compile_fails_in_build_and_in_subscribe_with_the_brokers_text() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    let group = server.group();
    let builder = || client.push_consumer(&group).consume_from(ConsumeFrom::Earliest).concurrent(inbox.listener());
    let error = builder().subscribe(&topic, Filter::sql("amount BETWEEN")).build().await.unwrap_err();
    assert_eq!((error.kind(), error.option()), (ErrorKind::InvalidArgument, Some("subscribe")), "{error}");
    assert!(error.server_text().is_some_and(|text| !text.is_empty()), "{error}");
    let consumer = builder().subscribe(&topic, "*").build().await.unwrap();
    let error = consumer.subscribe(&topic, Filter::sql("= 3")).await.unwrap_err();
    assert_eq!((error.kind(), error.option()), (ErrorKind::InvalidArgument, Some("subscribe")), "{error}");
    // The old one is still in force.
    producer(&client).await.send(Message::new(&topic, "x")).await.unwrap();
    inbox.wait_for(1).await;
    client.shutdown().await.unwrap();
}
