use std::{sync::Arc, time::Duration};

use ferrocket::{Applied, ConsumeFrom, ErrorKind, Message, SendStatus, producer::Compression};
use ferrocket_testkit::{Action, Call};
use parking_lot::Mutex;

use crate::server::{Inbox, Server, producer, send_numbered, unique};

#[tokio::test]
async fn ten_thousand_messages_are_sent_and_consumed_and_none_is_lost() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(4).await, Inbox::default());
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    send_numbered(&producer(&client).await, &topic, 0, 10_000).await;
    inbox.wait_for(10_000).await;
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn tag_keys_properties_flag_and_unicode_arrive_as_they_were_sent() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    let message = Message::new(&topic, "größer 世界 🚀")
        .with_tag("标签")
        .with_key("k1")
        .with_key("schlüssel")
        .with_property("amount", 1_500)
        .with_property("unicode-名", "naïve ✓ \"quoted\" \\ {json:1}")
        .with_sharding_key("4711")
        .with_flag(7);
    let receipt = producer(&client).await.send(message).await.unwrap();
    assert_eq!(receipt.status(), SendStatus::Ok);
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(1).await;
    let got = &inbox.messages()[0];
    assert_eq!(got.body().as_ref(), "größer 世界 🚀".as_bytes());
    assert_eq!(got.tag(), Some("标签"));
    assert_eq!(got.keys().collect::<Vec<_>>(), ["k1", "schlüssel"]);
    assert_eq!(got.property("amount"), Some("1500"));
    assert_eq!(got.property("unicode-名"), Some("naïve ✓ \"quoted\" \\ {json:1}"));
    assert_eq!(got.sharding_key(), Some("4711"));
    assert_eq!((got.flag(), got.attempt()), (7, 1));
    assert_eq!(got.id(), receipt.message_id());
    assert_eq!(got.topic(), &topic);
    assert_eq!(Some(got.queue()), receipt.queue());
    assert_eq!(Some(got.offset()), receipt.offset());
    assert_eq!(got.broker_message_id(), receipt.broker_message_id());
    client.shutdown().await.unwrap();
}

/// Seen to fail with a threshold that no body reaches.
#[tokio::test]
async fn each_compression_arrives_decompressed() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    // How many bytes the body of each send had; the embedded servers alone say so.
    let sizes = Arc::new(Mutex::new(Vec::new()));
    if let Some(cluster) = &server.cluster {
        let sizes = sizes.clone();
        cluster.intercept(move |request| {
            if request.call() == Some(Call::Send) {
                sizes.lock().push(request.command().body().len());
            }
            Action::Pass
        });
    }
    let kinds = [Compression::zlib(), Compression::lz4(), Compression::zstd(), Compression::off()];
    for (number, kind) in kinds.into_iter().enumerate() {
        let producer = client.producer(unique("producer")).compression(kind).build().await.unwrap();
        producer.send(Message::new(&topic, format!("{number} ").repeat(50_000))).await.unwrap();
    }
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(4).await;
    for number in 0..4 {
        assert!(inbox.counts().contains_key(format!("{number} ").repeat(50_000).as_bytes()), "{number}");
    }
    if server.cluster.is_some() {
        let sizes = sizes.lock();
        assert!(sizes.len() == 4 && sizes[..3].iter().all(|size| *size < 10_000) && sizes[3] == 100_000, "{sizes:?}");
    }
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_body_at_the_limit_is_stored_and_one_byte_more_is_refused_here() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(1).await;
    let producer = client.producer(unique("producer")).compression(Compression::off()).build().await.unwrap();
    let limit = 4 << 20;
    producer.send(Message::new(&topic, vec![1u8; limit])).timeout(Duration::from_secs(20)).await.unwrap();
    let error = producer.send(Message::new(&topic, vec![1u8; limit + 1])).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::InvalidArgument, Applied::No));
    assert_eq!(error.into_messages()[0].body().len(), limit + 1);
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_empty_body_and_bad_names_are_refused_here() {
    let server = Server::start().await;
    let client = server.client().await;
    let producer = producer(&client).await;
    for message in [
        Message::new("T", ""),
        Message::new("a b", "x"),
        Message::new("SCHEDULE_TOPIC_XXXX", "x"),
        Message::new("T", "x").with_key("two words"),
        Message::new("T", "x").with_property("KEYS", "x"),
        Message::new("T", "x").with_property("p", "a\u{1}b"),
        Message::new("T", "x").with_delay_level(0),
    ] {
        let error = producer.send(message).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::InvalidArgument, Applied::No), "{error}");
    }
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_send_to_a_chosen_queue_goes_there() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(4).await;
    let producer = producer(&client).await;
    for queue in client.queues(&topic).await.unwrap() {
        let receipt = producer.send(Message::new(&topic, "x")).to_queue(&queue).await.unwrap();
        assert_eq!(receipt.queue(), Some(&queue));
    }
    let queues = client.queues(&topic).await.unwrap();
    let receipt = producer.send(Message::new(&topic, "x")).select_queue(|queues, _| queues.len() - 1).await.unwrap();
    assert_eq!(receipt.queue(), queues.last());
    let error = producer.send(Message::new(&topic, "x")).select_queue(|_, _| 99).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_way_messages_arrive() {
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    let producer = producer(&client).await;
    for number in 0..20 {
        producer.send_oneway(Message::new(&topic, number.to_string())).await.unwrap();
    }
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(20).await;
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_created_by_the_first_send_and_unknown_to_a_look_up() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = unique("created");
    assert_eq!(client.queues(topic.as_str()).await.unwrap_err().kind(), ErrorKind::RouteNotFound);
    producer(&client).await.send(Message::new(topic.as_str(), "x")).await.unwrap();
    crate::server::eventually("the topic is there", async || client.queues(topic.as_str()).await.is_ok()).await;
    client.shutdown().await.unwrap();
}
