//! Namespaces, units, zones: what a client adds to names and requests.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferrocket::{Client, ConsumeFrom, ErrorKind, Message, Outcome, ReceivedMessage, Topic};
use ferrocket_protocol::{Command, RequestCode};
use ferrocket_testkit::Action;
use parking_lot::Mutex;
use tokio::net::TcpStream;

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

/// Looks at every request from now on: how many of each code there were, and of those that lacked what each must carry. The embedded
/// servers alone show their requests.
fn watch(server: &Server, carries: impl Fn(&Command) -> bool + Send + Sync + 'static) -> Seen {
    let seen = Seen::default();
    if let Some(cluster) = &server.cluster {
        let seen = seen.clone();
        cluster.intercept(move |request| {
            let mut seen = seen.lock();
            let counts = seen.entry(request.code()).or_default();
            counts.0 += 1;
            counts.1 += usize::from(!carries(request.command()));
            Action::Pass
        });
    }
    seen
}

/// By code: how many requests there were, and how many of them lacked something.
type Seen = Arc<Mutex<BTreeMap<RequestCode, (usize, usize)>>>;

/// Every one carried it, and there were some of each of these codes.
fn check(server: &Server, seen: &Seen, expected: &[RequestCode]) {
    if server.cluster.is_some() {
        let seen = seen.lock();
        assert!(expected.iter().all(|code| seen.contains_key(code)), "{seen:?}");
        assert!(
            seen.values().all(|(_, lacking)| *lacking == 0),
            "requests of a code, and those that lacked it: {seen:?}"
        );
    }
}

fn has(command: &Command, name: &str, value: &str) -> bool {
    command.fields().find(name).unwrap().is_some_and(|found| found == value)
}

async fn round_trip(server: &Server, client: &Client, topic: &Topic) {
    let inbox = Inbox::default();
    producer(client).await.send(Message::new(topic, "x")).await.unwrap();
    let consumer = client.push_consumer(server.group()).subscribe(topic, "*").consume_from(ConsumeFrom::Earliest);
    // Once more where requests are seen; real brokers take 10 s for it.
    let times = if server.cluster.is_some() { 2 } else { 1 };
    let (failures, put) = (AtomicUsize::new(1), inbox.clone());
    let consumer = consumer.concurrent(move |message: ReceivedMessage| {
        put.put(message);
        let is_first = failures.fetch_add(1, Ordering::Relaxed) < times;
        async move { if is_first { Outcome::retry("once") } else { Outcome::consumed() } }
    });
    let _consumer = consumer.build().await.unwrap();
    eventually("it comes", async || inbox.messages().len() == times).await;
}

/// All that a producer and a consumer ask, from the route to the goodbye.
const ALL_KINDS: [RequestCode; 8] = [
    RequestCode::GET_ROUTEINFO_BY_TOPIC,
    RequestCode::HEART_BEAT,
    RequestCode::SEND_MESSAGE_V2,
    RequestCode::PULL_MESSAGE,
    RequestCode::QUERY_CONSUMER_OFFSET,
    RequestCode::UPDATE_CONSUMER_OFFSET,
    RequestCode::CONSUMER_SEND_MSG_BACK,
    RequestCode::UNREGISTER_CLIENT,
];

/// CFG-51. Seen to fail with a `namespace` that sets `ns` alone.
#[tokio::test]
async fn a_namespace_travels_with_every_request() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let seen = watch(&server, |command| has(command, "ns", "NS") && has(command, "nsd", "true"));
    let client = server.builder().namespace("NS").connect().await.unwrap();
    round_trip(&server, &client, &topic).await;
    client.shutdown().await.unwrap();
    check(&server, &seen, &ALL_KINDS);
}

/// CFG-41: the last part of the client id, and a mark on sends, on what comes again and in heartbeats. Seen to fail with a backend that
/// is told of no unit.
#[tokio::test]
async fn a_unit_is_in_the_client_id_and_marks_sends_and_groups() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let seen = watch(&server, |command| match RequestCode(command.code) {
        RequestCode::SEND_MESSAGE_V2 => has(command, "k", "true"),
        RequestCode::CONSUMER_SEND_MSG_BACK => has(command, "unitMode", "true"),
        RequestCode::HEART_BEAT => {
            let body = String::from_utf8_lossy(command.body());
            // That of a client that has nothing but producers names no group that could be marked.
            !body.contains("unitMode") || (body.contains("\"unitMode\":true") && !body.contains("\"unitMode\":false"))
        }
        _ => true,
    });
    let client = server.builder().unit("u1").connect().await.unwrap();
    assert!(client.client_id().ends_with("@u1"), "{}", client.client_id());
    round_trip(&server, &client, &topic).await;
    client.shutdown().await.unwrap();
    check(&server, &seen, &ALL_KINDS);
}

/// HK-04: real name servers leave out brokers of other zones, and of none; the embedded one knows no zones, and 4.9 neither. Seen to
/// fail with a `zone` that sets no `__ZONE_MODE`.
#[tokio::test]
async fn a_zone_is_told_to_servers() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let seen = watch(&server, |command| has(command, "__ZONE_NAME", "z1") && has(command, "__ZONE_MODE", "true"));
    let client = server.builder().zone("z1").connect().await.unwrap();
    let sent = producer(&client).await.send(Message::new(&topic, "x")).await;
    if server.cluster.is_some() || server.is_4() {
        sent.unwrap();
    } else {
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::RouteNotFound);
    }
    client.shutdown().await.unwrap();
    check(&server, &seen, &[RequestCode::GET_ROUTEINFO_BY_TOPIC, RequestCode::SEND_MESSAGE_V2]);
}

/// CFG-48: real brokers listen two ports below their own, too; the embedded one has one port, at which the second one is answered
/// here. Seen to fail with a client that does not tell its backend of the option.
#[tokio::test]
async fn the_vip_channel_sends_to_the_second_port() {
    let server = Server::start().await;
    let topic = server.topic(1).await;
    let own = server.master_address(&topic).await;
    let (host, port) = own.rsplit_once(':').unwrap();
    let second = format!("{host}:{}", port.parse::<u16>().unwrap() - 2);
    let dialed = Arc::new(Mutex::new(Vec::new()));
    let dialer = {
        let (dialed, second, one_port) = (dialed.clone(), second.clone(), server.cluster.is_some().then_some(own));
        move |address: String| {
            dialed.lock().push(address.clone());
            let to = one_port.clone().filter(|_| address == second).unwrap_or(address);
            async move { TcpStream::connect(to).await }
        }
    };
    let client = server.builder().vip_channel(true).dialer(dialer).connect().await.unwrap();
    producer(&client).await.send(Message::new(&topic, "x")).max_attempts(1).await.unwrap();
    assert!(dialed.lock().contains(&second), "{:?}", dialed.lock());
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
