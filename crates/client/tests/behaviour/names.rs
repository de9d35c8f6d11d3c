//! Namespaces, units, zones: what a client adds to names and requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferrocket::{Client, ConsumeFrom, ErrorKind, Message, Outcome, ReceivedMessage};

use crate::server::{Inbox, Server, eventually, producer, unique};

/// CFG-50: a prefix for the servers, and nothing of it for users; retries come back under the bare topic, too.
#[tokio::test]
async fn a_legacy_namespace_is_put_on_for_servers_and_taken_off_for_users() {
    let server = Server::start().await;
    let namespace = unique("NS");
    let client = server.builder().legacy_namespace(&namespace).connect().await.unwrap();
    let outside = server.client().await;
    let topic = unique("topic");
    let receipt = producer(&client).await.send(Message::new(topic.as_str(), "x").with_key("k")).await.unwrap();
    assert_eq!(receipt.queue().unwrap().topic(), topic.as_str());
    let wire_name = format!("{namespace}%{topic}");
    eventually("others see the prefix", async || outside.queues(wire_name.as_str()).await.is_ok()).await;
    let (inbox, failures) = (Inbox::default(), Arc::new(AtomicUsize::new(0)));
    let (put, failed) = (inbox.clone(), failures.clone());
    let consumer = client.push_consumer(server.group()).subscribe(topic.as_str(), "*");
    let consumer = consumer.consume_from(ConsumeFrom::Earliest).concurrent(move |message: ReceivedMessage| {
        put.put(message);
        let is_first = failed.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if is_first { Outcome::retry("once") } else { Outcome::consumed() } }
    });
    let _consumer = consumer.build().await.unwrap();
    eventually("it comes again", async || inbox.messages().len() == 2).await;
    for message in inbox.messages() {
        assert_eq!(message.topic(), topic.as_str());
        assert_eq!(message.property("INSTANCE_ID"), Some(namespace.as_str()));
    }
    client.shutdown().await.unwrap();
    outside.shutdown().await.unwrap();
}

async fn round_trip(server: &Server, client: &Client) {
    let (topic, inbox) = (server.topic(1).await, Inbox::default());
    producer(client).await.send(Message::new(&topic, "x")).await.unwrap();
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(1).await;
}

/// CFG-51, CFG-41: fields of every request, and the last part of the client id.
#[tokio::test]
async fn a_namespace_travels_with_every_request_and_a_unit_in_the_client_id() {
    let server = Server::start().await;
    let client = server.builder().namespace("NS").connect().await.unwrap();
    round_trip(&server, &client).await;
    client.shutdown().await.unwrap();
    let client = server.builder().unit("u1").connect().await.unwrap();
    assert!(client.client_id().ends_with("@u1"), "{}", client.client_id());
    round_trip(&server, &client).await;
    client.shutdown().await.unwrap();
}

/// HK-04: real name servers leave out brokers of other zones, and of none; the embedded one knows no zones, and 4.9 neither.
#[tokio::test]
async fn a_zone_is_told_to_name_servers() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let client = server.builder().zone("z1").connect().await.unwrap();
    let sent = producer(&client).await.send(Message::new(&topic, "x")).await;
    if server.cluster.is_some() || server.is_4() {
        sent.unwrap();
    } else {
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::RouteNotFound);
    }
    client.shutdown().await.unwrap();
}

/// CFG-48: real brokers listen two ports below their own, too; the embedded one has one port, and says so.
#[tokio::test]
async fn the_vip_channel_sends_to_the_second_port() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let client = server.builder().vip_channel(true).connect().await.unwrap();
    let sent = producer(&client).await.send(Message::new(&topic, "x")).max_attempts(1).await;
    if server.cluster.is_some() {
        let error = sent.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokerUnreachable, "{error}");
    } else {
        sent.unwrap();
    }
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn names_that_cannot_work_fail_before_anything_is_sent() {
    let server = Server::start().await;
    let wrong = [
        (server.builder().namespace("a").legacy_namespace("b"), "namespace"),
        (server.builder().namespace(" "), "namespace"),
        (server.builder().legacy_namespace("a%b"), "legacy_namespace"),
        (server.builder().unit("a@b"), "unit"),
        (server.builder().zone(""), "zone"),
    ];
    for (builder, option) in wrong {
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.option(), Some(option), "{error}");
    }
}
