//! What users and servers get wrong, and what they are told.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{SECOND, client_of, soon, start};
use ferrocket::{
    Applied, Client, ConsumeFrom, Credentials, ErrorKind, Message, ReceivedMessage, Secret, ServerCode,
    producer::Compression,
};
use ferrocket_testkit::{Call, Fault, TestCluster};
use parking_lot::Mutex;

#[tokio::test]
async fn nothing_listening_at_the_address_is_said_with_address_and_cause() {
    // Nobody listens there, while a port that was free a moment ago may be another process's by now.
    let address = "127.0.0.1:1";
    let error = Client::connect(address).await.expect_err("nobody listens");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::NameServerUnreachable, Applied::No));
    assert!(error.is_retryable());
    let refused = tokio::net::TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach a name server: {address}: connecting to {address} failed: {refused}; check the addresses, and that a \
             name server listens there"
        )
    );
}

#[tokio::test]
async fn a_malformed_address_is_said_with_the_part_that_is_wrong() {
    let told = |list: &str| {
        let error = Client::builder().name_servers(list).connect_lazy().expect_err("a malformed list");
        assert_eq!((error.kind(), error.option()), (ErrorKind::InvalidArgument, Some("name_servers")), "{list}");
        error.to_string()
    };
    let wrong = |part: &str, why: &str| {
        format!(
            "cannot set up a client: option `name_servers`: {part:?} is not an address: {why}; \
             write host:port, such as 10.0.0.1:9876"
        )
    };
    assert_eq!(told("localhost"), wrong("localhost", "the port is missing"));
    assert_eq!(told("a:1;localhost"), wrong("localhost", "the port is missing"));
    assert_eq!(told(":9876"), wrong(":9876", "the host is missing"));
    for list in ["host:0", "host:65536", "host:", "host:port", "host:-1"] {
        assert_eq!(told(list), wrong(list, "the port is not a number between 1 and 65535"));
    }
    for list in ["::1:9876", "my host:9876", "user@host:9876"] {
        let why = "the host has characters that no host name has (IPv6 addresses go in brackets)";
        assert_eq!(told(list), wrong(list, why));
    }
    assert_eq!(told("[nonsense]:9876"), wrong("[nonsense]:9876", "what stands in brackets is no IPv6 address"));
    for list in ["", " ", ";;", ", ;"] {
        assert_eq!(
            told(list),
            "cannot set up a client: option `name_servers`: there is no address in it; write host:port"
        );
    }
    let error = Client::builder().connect_lazy().expect_err("no list at all");
    assert_eq!(
        error.to_string(),
        "cannot set up a client: option `name_servers`: no name server was given; \
         say for instance `name_servers(\"127.0.0.1:9876\")`"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_said_when_brokers_make_none() {
    let (cluster, client) = start(TestCluster::builder().auto_create_topics(false)).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    let error = producer.send(Message::new("Nowhere", "x")).await.expect_err("there is no such topic");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::RouteNotFound, Applied::No));
    assert_eq!(error.code(), Some(ServerCode::Remoting(17)));
    assert_eq!(error.topic().map(|topic| topic.as_str()), Some("Nowhere"));
    let text = error.to_string();
    assert!(
        text.starts_with("cannot find topic Nowhere: no route to this topic; at mem-ns:9876; it answered 17 "),
        "{text}"
    );
    assert!(text.ends_with("; create the topic, or let brokers create it (autoCreateTopicEnable)"), "{text}");
    let [message] = &error.into_messages()[..] else { panic!("one message") };
    assert_eq!(message.body(), "x");
    let error = client.queues("Nowhere").await.expect_err("there is no such topic");
    assert_eq!(error.kind(), ErrorKind::RouteNotFound);
    assert_eq!(cluster.requests(Call::Send), 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_name_with_a_blank_is_refused_before_anybody_is_asked() {
    let (cluster, client) = start(TestCluster::builder()).await;
    let before = cluster.requests(Call::Heartbeat);
    let error = client.producer("my shop").build().await.expect_err("a blank");
    assert_eq!((error.kind(), error.option()), (ErrorKind::InvalidArgument, Some("group")));
    let text = error.to_string();
    assert!(text.starts_with("cannot build producer my shop: option `group`: \"my shop\" cannot be used: "), "{text}");
    let consumer = client.push_consumer("my shop").subscribe("Orders", "*").concurrent(async |_: ReceivedMessage| ());
    let error = consumer.build().await.expect_err("a blank");
    assert_eq!((error.kind(), error.option()), (ErrorKind::InvalidArgument, Some("group")));
    assert_eq!(cluster.requests(Call::Heartbeat), before);
}

#[tokio::test(start_paused = true)]
async fn a_topic_name_with_a_blank_is_refused_before_anybody_is_asked() {
    let (cluster, client) = start(TestCluster::builder()).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    let before = cluster.requests(Call::Route);
    let error = producer.send(Message::new("my orders", "x")).await.expect_err("a blank");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::InvalidArgument, Applied::No));
    assert!(!error.is_retryable());
    assert_eq!(cluster.requests(Call::Route), before);
}

#[tokio::test(start_paused = true)]
async fn a_body_at_the_limit_is_sent_and_one_byte_above_is_refused_without_sending() {
    let (cluster, client) = start(TestCluster::builder()).await;
    let producer = client.producer("shop").max_message_bytes(1000).build().await.expect("it builds");
    producer.send(Message::new("Orders", vec![7; 1000])).await.expect("it is at the limit");
    let error = producer.send(Message::new("Orders", vec![7; 1001])).await.expect_err("it is above");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::InvalidArgument, Applied::No));
    let text = error.to_string();
    assert!(
        text.starts_with("cannot send to topic Orders: ") && text.contains("1001") && text.contains("1000"),
        "{text}"
    );
    assert_eq!(error.into_messages()[0].body().len(), 1001);
    assert_eq!(cluster.requests(Call::Send), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_above_the_default_limit_of_4_mib_is_refused_and_at_it_is_stored() {
    let (cluster, client) = start(TestCluster::builder()).await;
    let producer =
        client.producer("shop").compression(ferrocket::producer::Compression::off()).build().await.expect("it builds");
    producer.send(Message::new("Orders", vec![7; 4 << 20])).await.expect("it is at the limit");
    producer.send(Message::new("Orders", vec![7; (4 << 20) + 1])).await.expect_err("it is above");
    assert_eq!(cluster.messages("Orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_above_the_limit_of_the_broker_is_an_invalid_argument_with_its_text() {
    let (cluster, client) = start(TestCluster::builder().max_message_bytes(100)).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    let error = producer.send(Message::new("Orders", vec![7; 101])).await.expect_err("the broker refuses");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::InvalidArgument, Applied::No));
    assert_eq!(error.code(), Some(ServerCode::Remoting(13)));
    assert_eq!(cluster.requests(Call::Send), 1, "trying again would not help");
}

async fn garbage(bytes: &'static [u8]) -> (ferrocket::SendError, TestCluster, Client) {
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 1)).await;
    let producer = client.producer("shop").max_attempts(1).build().await.expect("it builds");
    let _ = cluster.fault(Fault::on(Call::Send).times(1).garbage(bytes));
    let error = soon(producer.send(Message::new("Orders", "x"))).await.expect_err("garbage");
    // The next one goes over a new connection.
    soon(producer.send(Message::new("Orders", "y"))).await.expect("it recovers");
    (error, cluster, client)
}

fn assert_unreadable(error: &ferrocket::SendError) {
    assert_eq!((error.kind(), error.applied()), (ErrorKind::BrokerUnreachable, Applied::Unknown));
    let text = error.to_string();
    assert!(
        text.starts_with(
            "cannot send to topic Orders: the connection ended before the answer came: the peer sent an unreadable frame; \
             broker broker-0 at "
        ),
        "{text}"
    );
    assert!(text.contains("; 1 attempt in "), "{text}");
    assert!(text.ends_with("; outcome unknown: it may have been applied"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn r14_a_garbage_answer_ends_the_connection_and_the_outcome_is_unknown() {
    let (error, cluster, _client) = garbage(b"HTTP/1.1 200 OK\r\n\r\n").await;
    assert_unreadable(&error);
    assert_eq!(cluster.messages("Orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn r14_a_frame_that_claims_2_gib_ends_the_connection_and_the_outcome_is_unknown() {
    let (error, _cluster, client) = garbage(&[0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 16]).await;
    assert_unreadable(&error);
    assert_eq!(client.metrics().connections_lost, 1);
}

#[tokio::test(start_paused = true)]
async fn r14_a_garbage_answer_of_a_name_server_is_an_error_and_the_client_recovers() {
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 1)).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    // Once is made up for by asking again.
    let _ = cluster.fault(Fault::on(Call::Route).times(2).garbage(&b"\xFF\xFF\xFF\xFFnonsense"[..]));
    let error = soon(producer.send(Message::new("Orders", "x"))).await.expect_err("garbage");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::NameServerUnreachable, Applied::No));
    // A failed look-up is remembered for a moment.
    soon(async {
        while producer.send(Message::new("Orders", "x")).await.is_err() {
            tokio::time::advance(SECOND / 10).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_gets_its_message_again_and_the_consumer_lives() {
    let retry_delay = Duration::from_millis(20);
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 1).retry_delay(retry_delay)).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let panics = Arc::new(AtomicUsize::new(0));
    let (log, counter) = (seen.clone(), panics.clone());
    let consumer = client
        .push_consumer("billing")
        .subscribe("Orders", "*")
        .consume_from(ConsumeFrom::Earliest)
        .concurrent(move |message: ReceivedMessage| {
            let (log, counter) = (log.clone(), counter.clone());
            async move {
                let body = String::from_utf8_lossy(message.body()).into_owned();
                if body == "bad" && message.attempt() < 3 {
                    counter.fetch_add(1, Ordering::SeqCst);
                    panic!("on purpose");
                }
                log.lock().push((body, message.attempt()));
            }
        })
        .build()
        .await
        .expect("it builds");
    let producer = client.producer("shop").build().await.expect("it builds");
    producer.send(Message::new("Orders", "bad")).await.expect("it is stored");
    producer.send(Message::new("Orders", "good")).await.expect("it is stored");
    soon(cluster.until(|_| seen.lock().len() == 2)).await;
    let mut seen = seen.lock().clone();
    seen.sort();
    assert_eq!(seen, [("bad".to_owned(), 3), ("good".to_owned(), 1)]);
    assert_eq!(panics.load(Ordering::SeqCst), 2);
    soon(consumer.shutdown()).await.expect("it ends");
}

/// R15, R-I6: bodies that blow up, or are none of what they say, cost themselves only: they are tried again, then dead letters, and
/// no listener sees them. Seen to fail with a decoder that handed the packed body out without a word.
#[tokio::test(start_paused = true)]
async fn r15_a_body_that_cannot_be_unpacked_is_a_dead_letter_and_harms_no_other() {
    let builder = TestCluster::builder().topic("Orders", 1).retry_delay(Duration::from_millis(10));
    let cluster = builder.in_memory().start().await.expect("it starts");
    let client = client_of(&cluster).max_body_bytes(64 << 10).connect().await.expect("it connects");
    for compression in [Compression::zlib(), Compression::lz4(), Compression::zstd()] {
        let producer = client.producer("bombs").compression(compression).build().await.expect("it builds");
        soon(producer.send(Message::new("Orders", vec![0; 4 << 20]))).await.expect("packed it is small");
        soon(producer.send(Message::new("Orders", "good"))).await.expect("it is stored");
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let listener = move |message: ReceivedMessage| {
        log.lock().push((message.body().len(), message.attempt()));
        async {}
    };
    let consumer = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.max_attempts(3).concurrent(listener).build().await.expect("it builds");
    soon(cluster.until(|cluster| cluster.messages("%DLQ%billing").len() == 3)).await;
    soon(cluster.until(|cluster| cluster.committed("billing", "Orders") == 6)).await;
    assert_eq!(*seen.lock(), [(4, 1); 3], "the good ones, once each");
    for dead in cluster.messages("%DLQ%billing") {
        assert!(dead.body().len() < 64 << 10, "given back as it came: {} bytes", dead.body().len());
    }
}

#[test]
fn s2_the_debug_text_of_credentials_and_secrets_never_shows_a_secret() {
    let credentials = Credentials::new("AK-public", "sk-hidden").with_security_token("token-hidden");
    for text in [
        format!("{credentials:?}"),
        format!("{credentials:#?}"),
        format!("{:?}", credentials.secret_key()),
        format!("{:?}", Some(Secret::new("hidden"))),
        format!("{:?}", vec![Secret::from("hidden"), Secret::from(String::from("hidden"))]),
    ] {
        assert!(!text.contains("hidden"), "{text}");
        assert!(text.contains("<redacted>"), "{text}");
    }
    assert!(format!("{credentials:?}").contains("AK-public"));
    assert_eq!(credentials.secret_key().expose(), "sk-hidden");
}

#[tokio::test]
async fn a_send_without_an_attempt_or_without_time_is_refused_with_the_option_named() {
    let (cluster, client) = start(TestCluster::builder().topic("T", 1)).await;
    let producer = client.producer("shop").build().await.expect("it builds");
    let none = producer.send(Message::new("T", "x")).max_attempts(0).await.expect_err("it would never send");
    let hasty = producer.send(Message::new("T", "x")).timeout(Duration::ZERO).await.expect_err("no time");
    for (error, option) in [(none, "`max_attempts`"), (hasty, "`timeout`")] {
        assert_eq!((error.kind(), error.applied()), (ErrorKind::InvalidArgument, Applied::No));
        assert!(error.to_string().contains(option), "{error}");
        assert_eq!(error.into_messages().len(), 1);
    }
    assert_eq!(cluster.requests(Call::Send), 0);
}
