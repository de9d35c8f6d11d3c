//! Subscriptions that change while a consumer runs.

use ferrocket::{ConsumeFrom, ErrorKind, Message};

use crate::server::{Inbox, Server, assigned, eventually, producer, send_numbered};

/// CON-BUG-49, CON-BUG-50.
#[tokio::test]
async fn a_topic_that_is_added_is_consumed_at_once_and_one_that_is_removed_no_more() {
    let server = Server::start().await;
    let client = server.client().await;
    let (first, second, group, inbox) =
        (server.topic(2).await, server.topic(2).await, server.group(), Inbox::default());
    let producer = producer(&client).await;
    let consumer = client.push_consumer(&group).subscribe(&first, "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    assigned(&consumer, &first, 2).await;
    let began = tokio::time::Instant::now();
    consumer.subscribe(&second, "*").await.unwrap();
    assigned(&consumer, &second, 2).await;
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    send_numbered(&producer, &second, 0, 20).await;
    inbox.wait_for(20).await;

    consumer.unsubscribe(&second).await.unwrap();
    assigned(&consumer, &second, 0).await;
    send_numbered(&producer, &second, 20, 5).await;
    send_numbered(&producer, &first, 100, 5).await;
    inbox.wait_for(25).await;
    assert!(!inbox.counts().contains_key(b"20".as_slice()), "nobody wants it any more");

    // Its progress was stored: it goes on where it stopped.
    consumer.subscribe(&second, "*").await.unwrap();
    inbox.wait_for(30).await;
    assert!(inbox.counts().values().all(|count| *count == 1), "{:?}", inbox.counts());
    let error = consumer.unsubscribe("Nothing").await.unwrap_err();
    assert_eq!((error.kind(), error.option()), (ErrorKind::InvalidArgument, Some("topic")), "{error}");
    consumer.shutdown().await.unwrap();
    assert_eq!(consumer.subscribe(&first, "*").await.unwrap_err().kind(), ErrorKind::Closed);
    client.shutdown().await.unwrap();
}

/// CON-PULL-25: a filter counts from the next pull on, and the one that waits at the broker is not waited for.
#[tokio::test]
async fn a_filter_that_changes_counts_at_once() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    let producer = producer(&client).await;
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "a").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    assigned(&consumer, &topic, 1).await;
    producer.send(Message::new(&topic, "1").with_tag("a")).await.unwrap();
    inbox.wait_for(1).await;
    let began = tokio::time::Instant::now();
    consumer.subscribe(&topic, "b").await.unwrap();
    producer.send(Message::new(&topic, "2").with_tag("a")).await.unwrap();
    producer.send(Message::new(&topic, "3").with_tag("b")).await.unwrap();
    inbox.wait_for(2).await;
    assert_eq!(inbox.counts().into_keys().collect::<Vec<_>>(), [b"1".to_vec(), b"3".to_vec()]);
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    let settled = async || consumer.health().queues.iter().any(|queue| queue.position == Some(3));
    eventually("past what nobody wants", settled).await;
    client.shutdown().await.unwrap();
}
