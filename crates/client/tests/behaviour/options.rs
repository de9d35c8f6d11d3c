//! Options of a client that change what servers see, and name servers that change while it runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket::{BoxError, Client, ClientBuilder, ConsumeFrom, ErrorKind, HeaderFormat, Message};
use ferrocket_protocol::request::{CreateTopic, GetConsumerList};
use ferrocket_testkit::Action;
use futures::StreamExt;

use crate::server::{Inbox, NOWHERE, Server, assigned, eventually, producer, send_numbered};

/// Brokers answer in the format that they are set up for, whatever they were asked in: this client writes one and reads the other.
#[tokio::test]
async fn with_binary_headers_messages_travel_as_with_json() {
    let server = Server::start().await;
    let (topic, inbox) = (server.topic(2).await, Inbox::default());
    let others = Arc::new(AtomicUsize::new(0));
    if let Some(cluster) = &server.cluster {
        let others = others.clone();
        cluster.intercept(move |request| {
            others.fetch_add(usize::from(request.command().format() != HeaderFormat::Binary), Ordering::SeqCst);
            Action::Pass
        });
    }
    let client = server.builder().header_format(HeaderFormat::Binary).connect().await.unwrap();
    let message =
        Message::new(&topic, "größer 世界").with_tag("标签").with_key("schlüssel").with_property("名", "✓ 🚀");
    let receipt = producer(&client).await.send(message).await.unwrap();
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "标签").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(1).await;
    let got = &inbox.messages()[0];
    assert_eq!((got.id(), got.tag(), got.property("名")), (receipt.message_id(), Some("标签"), Some("✓ 🚀")));
    assert_eq!(got.keys().collect::<Vec<_>>(), ["schlüssel"]);
    client.shutdown().await.unwrap();
    assert_eq!(others.load(Ordering::SeqCst), 0, "every request was binary");
}

/// The client id is what members of a group are told apart by, and what operators see.
#[tokio::test]
async fn a_client_is_known_to_brokers_by_the_address_and_the_instance_name_that_it_was_given() {
    let server = Server::start().await;
    let (topic, group, inbox) = (server.topic(1).await, server.group(), Inbox::default());
    let named = || server.builder().client_ip([10, 1, 2, 3].into()).instance_name("billing-7");
    let client = named().connect().await.unwrap();
    assert_eq!(client.client_id(), "10.1.2.3@billing-7");
    let consumer =
        client.push_consumer(&group).subscribe(&topic, "*").concurrent(inbox.listener()).build().await.unwrap();
    assigned(&consumer, &topic, 1).await;
    let broker = server.master(&topic).await;
    let members = broker.call(&GetConsumerList::new(&group), Duration::from_secs(5)).await.unwrap();
    assert_eq!(members.consumer_id_list, ["10.1.2.3@billing-7"]);
    client.shutdown().await.unwrap();

    let client = named().client_ip("2001:db8::1".parse().unwrap()).connect().await.unwrap();
    assert_eq!(client.client_id(), "[2001:db8::1]@billing-7");
    client.shutdown().await.unwrap();
    let (one, two) = (server.client().await, server.client().await);
    assert_ne!(one.client_id(), two.client_id(), "unique unless told otherwise");
    let error = server.builder().instance_name("a@b").connect().await.unwrap_err();
    assert_eq!(error.option(), Some("instance_name"), "{error}");
}

#[tokio::test]
async fn a_new_list_of_name_servers_is_used_and_one_that_cannot_be_read_changes_nothing() {
    let server = Server::start().await;
    let topic = server.topic(3).await;
    let client = Client::builder().name_servers(NOWHERE).connect_lazy().unwrap();
    let error = client.queues(&topic).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameServerUnreachable, "{error}");
    client.update_name_servers(server.name_server()).unwrap();
    // A look-up that failed is not repeated for a moment.
    eventually("the new one is asked", async || client.queues(&topic).await.is_ok()).await;
    assert_eq!(client.health().name_server.as_deref(), Some(server.name_server()));

    let error = client.update_name_servers("no-port").unwrap_err();
    assert_eq!(error.option(), Some("name_servers"), "{error}");
    producer(&client).await.send(Message::new(&topic, "x")).await.unwrap();
    client.shutdown().await.unwrap();
}

/// A source that gives the first address once, and the second one from then on.
fn source(first: Result<String, &'static str>, then: &str, asked: &Arc<AtomicUsize>) -> ClientBuilder {
    let (then, asked) = (then.to_owned(), asked.clone());
    Client::builder().name_server_source(move || {
        let answer = match asked.fetch_add(1, Ordering::SeqCst) {
            0 => first.clone(),
            _ => Ok(then.clone()),
        };
        async move { Ok::<_, BoxError>(vec![answer?]) }
    })
}

#[tokio::test]
async fn a_source_of_name_servers_is_asked_at_the_start_and_again_when_none_can_be_reached() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let direct = source(Ok(server.name_server().to_owned()), server.name_server(), &asked).connect().await.unwrap();
    producer(&direct).await.send(Message::new(&topic, "x")).await.unwrap();
    direct.shutdown().await.unwrap();

    // The name servers moved between the source's two answers.
    let asked = Arc::new(AtomicUsize::new(0));
    let client = source(Ok(NOWHERE.to_owned()), server.name_server(), &asked).connect_lazy().unwrap();
    eventually("the new one is found", async || client.queues(&topic).await.is_ok()).await;
    assert!(asked.load(Ordering::SeqCst) >= 2);
    client.shutdown().await.unwrap();

    // A client that connects lazily has no list at first. Took 5 s before the source was asked at once.
    let asked = Arc::new(AtomicUsize::new(0));
    let client = source(Ok(server.name_server().to_owned()), server.name_server(), &asked).connect_lazy().unwrap();
    let began = tokio::time::Instant::now();
    eventually("the first one is found", async || client.queues(&topic).await.is_ok()).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    client.shutdown().await.unwrap();

    let asked = Arc::new(AtomicUsize::new(0));
    let error =
        source(Err("the configuration service is away"), server.name_server(), &asked).connect().await.unwrap_err();
    assert!(error.to_string().contains("the configuration service is away"), "{error}");
}

/// Who shards by queue learns of new queues without asking. Real brokers tell the name server at once of a topic that changed.
#[tokio::test]
async fn a_watch_of_a_topics_queues_shows_them_and_then_each_change() {
    let server = Server::start().await;
    let topic = server.topic(2).await;
    let client = server.builder().route_refresh(Duration::from_secs(1)).connect().await.unwrap();
    let mut watch = client.watch_queues(&topic);
    let patience = crate::server::PATIENCE;
    let first = tokio::time::timeout(patience, watch.next()).await.expect("known").expect("open");
    assert_eq!(first, client.queues(&topic).await.unwrap());
    let broker = server.master(&topic).await;
    broker.call(&CreateTopic::with_queues(&topic, 5), Duration::from_secs(10)).await.unwrap();
    let second = tokio::time::timeout(patience, watch.next()).await.expect("changed").expect("open");
    assert!(second.len() > first.len(), "{second:?}");
    assert!(first.iter().all(|queue| second.contains(queue)));
    client.shutdown().await.unwrap();
    assert_eq!(tokio::time::timeout(patience, watch.next()).await.expect("the end"), None);
}

/// Connections that nobody uses are closed, which is no fault, and come back with the next call.
#[tokio::test]
async fn an_idle_connection_is_closed_without_an_alarm_and_dialed_again_when_it_is_needed() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let client = server.builder().idle_timeout(Duration::from_millis(300)).connect().await.unwrap();
    let producer = producer(&client).await;
    send_numbered(&producer, &topic, 0, 1).await;
    let connected = || client.health().brokers.iter().any(|broker| broker.connected_since.is_some());
    eventually("the connection is closed", async || !connected()).await;
    let idle = client.metrics();
    assert_eq!(idle.connections_lost, 0);
    assert!(client.health().is_healthy(), "{:?}", client.health().problems());
    send_numbered(&producer, &topic, 1, 1).await;
    assert!(client.metrics().connections_opened > idle.connections_opened);
    client.shutdown().await.unwrap();
}
