//! What our producers write, next to what the Java producer wrote for the same messages (recorded in
//! `crates/protocol/tests/vectors/session-*.json`): every field of the header, every property, every body.

mod common;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use common::{SECOND, client_of, soon};
use ferrocket::{Client, ConsumeFrom, Message, MessageQueue, ReceivedMessage, TransactionState, producer::Compression};
use ferrocket_protocol::{Command, Frame, RequestCode, limits, message::BatchRecords};
use ferrocket_testkit::{Action, TestCluster};
use parking_lot::Mutex;

type Map = BTreeMap<String, String>;

/// A request, taken apart.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    code: i32,
    is_one_way: bool,
    /// Without `i`.
    fields: Map,
    properties: Map,
    body: Bytes,
    /// Of a batch: flag, body and properties of each message.
    members: Vec<(i32, Bytes, Map)>,
}

impl Written {
    fn of(command: &Command) -> Self {
        let mut fields: Map = command
            .fields()
            .map(|field| field.map(|(name, value)| (name.into_owned(), value.into_owned())))
            .collect::<Result<_, _>>()
            .expect("readable fields");
        let properties = fields.remove("i").map(|text| parse(&text)).unwrap_or_default();
        let is_batch = fields.get("m").is_some_and(|batch| batch == "true");
        let (mut body, mut members) = (command.body().clone(), Vec::new());
        if is_batch {
            let records = BatchRecords::new(std::mem::take(&mut body)).map(|record| record.expect("a batch"));
            members.extend(records.map(|record| {
                let text = std::str::from_utf8(&record.properties).expect("text");
                (record.flag, record.body, parse(text))
            }));
        }
        let mut written =
            Self { code: command.code, is_one_way: command.is_one_way(), fields, properties, body, members };
        written.hide_what_differs_by_nature();
        written
    }

    /// Names, clocks and ids are of each producer's own; that they are there, and look as they should, is not.
    fn hide_what_differs_by_nature(&mut self) {
        for (name, check) in [
            ("a", is_group as fn(&str) -> bool),
            ("producerGroup", is_group),
            ("b", is_name),
            ("topic", is_name),
            ("e", is_number),
            ("g", is_number),
            ("n", is_name),
            ("bname", is_name),
            ("msgId", is_id),
            ("transactionId", is_id),
            ("commitLogOffset", is_number),
            ("tranStateTableOffset", is_number),
            ("recallHandle", is_name),
        ] {
            hide(&mut self.fields, name, check);
        }
        let properties = self.members.iter_mut().map(|member| &mut member.2).chain([&mut self.properties]);
        for properties in properties {
            hide(properties, "UNIQ_KEY", is_id);
            hide(properties, "PGROUP", is_group);
            hide(properties, "REPLY_TO_CLIENT", |value| value.contains('@'));
            hide(properties, "CORRELATION_ID", |value| value.len() == 36 && value.matches('-').count() == 4);
        }
    }
}

fn parse(text: &str) -> Map {
    // Java ends each property with the separator.
    let pairs = text.strip_suffix('\u{2}').unwrap_or(text).split('\u{2}').filter(|pair| !pair.is_empty());
    let mut map = Map::new();
    for pair in pairs {
        let (name, value) = pair.split_once('\u{1}').expect("a name and a value");
        assert!(map.insert(name.to_owned(), value.to_owned()).is_none(), "{name} is there twice");
    }
    map
}

fn hide(map: &mut Map, name: &str, check: fn(&str) -> bool) {
    if let Some(value) = map.get_mut(name) {
        assert!(check(value), "{name} is {value}");
        *value = "…".to_owned();
    }
}

fn is_group(text: &str) -> bool {
    text.ends_with("Group")
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

/// With an IPv4 address, or with an IPv6 one.
fn is_id(text: &str) -> bool {
    (text.len() == 32 || text.len() == 56)
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// The requests of a recording, by the number of their step.
fn java(session: &str) -> HashMap<String, Written> {
    let path = format!("{}/../protocol/tests/vectors/session-{session}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: serde_json::Value = serde_json::from_str(&text).expect("vectors are JSON");
    let mut requests = HashMap::new();
    for step in file["cases"].as_array().expect("cases") {
        let Some(bytes) = step["bytes"].as_str() else { continue };
        let mut buffer = BytesMut::from(&*hex::decode(bytes).expect("hex"));
        let frame = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES).expect("a frame").expect("a whole one");
        let command = Command::read(frame).expect("a command");
        if !command.is_response() && is_of_a_producer(command.code) {
            requests.insert(step["name"].as_str().expect("a name").to_owned(), Written::of(&command));
        }
    }
    requests
}

fn is_of_a_producer(code: i32) -> bool {
    let sends = [
        RequestCode::SEND_MESSAGE_V2,
        RequestCode::SEND_BATCH_MESSAGE,
        RequestCode::SEND_REPLY_MESSAGE_V2,
        RequestCode::END_TRANSACTION,
        RequestCode::RECALL_MESSAGE,
    ];
    sends.contains(&RequestCode(code))
}

/// A client, and all that its producers write.
struct Ours {
    cluster: TestCluster,
    client: Client,
    written: Arc<Mutex<Vec<Written>>>,
}

impl Ours {
    async fn start() -> Self {
        let builder = TestCluster::builder().in_memory().topic("Vec", 1).recall_messages(true);
        let cluster = builder.start().await.expect("it starts");
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = written.clone();
        cluster.intercept(move |request| {
            if is_of_a_producer(request.command().code) {
                log.lock().push(Written::of(request.command()));
            }
            Action::Pass
        });
        let client = client_of(&cluster).connect().await.expect("it connects");
        Self { cluster, client, written }
    }

    /// The one request that was written since the last look.
    fn one(&self) -> Written {
        let mut written = std::mem::take(&mut *self.written.lock());
        assert_eq!(written.len(), 1, "{written:#?}");
        written.remove(0)
    }
}

/// Seen to fail without `WAIT`.
#[tokio::test(start_paused = true)]
async fn what_is_sent_has_the_fields_properties_and_bodies_that_the_java_producer_writes() {
    let (java, ours) = (java("producer"), Ours::start().await);
    let producer = ours.client.producer("SendGroup").build().await.expect("it builds");
    let body = |step: &str| java[step].body.clone();

    for step in ["007", "026", "028", "038"] {
        let message = Message::new("Vec", body(step));
        match step {
            "026" => drop(soon(producer.send(message).select_queue(|_, _| 0)).await.expect("it is stored")),
            "028" => {
                let queue = MessageQueue::new("Vec", "broker-0", 0);
                soon(producer.send(message).to_queue(&queue)).await.expect("it is stored");
            }
            "038" => drop(soon(producer.send(Message::new("New", body(step)))).await.expect("it is stored")),
            _ => drop(soon(producer.send(message)).await.expect("it is stored")),
        }
        assert_eq!(ours.one(), java[step], "{step}");
    }

    let message = Message::new("Vec", body("011")).with_tag("TagA").with_key("k1").with_key("k2");
    soon(producer.send(message.with_property("a", 1).with_delay_level(1))).await.expect("it is stored");
    assert_eq!(ours.one(), java["011"]);

    soon(producer.send_oneway(Message::new("Vec", body("025")))).await.expect("it left");
    ours.cluster.until(|_| !ours.written.lock().is_empty()).await;
    assert_eq!(ours.one(), java["025"]);
}

#[tokio::test(start_paused = true)]
async fn compressed_bodies_are_flagged_as_the_java_producer_flags_them() {
    let (java, ours) = (java("producer"), Ours::start().await);
    let codecs = [
        ("019", "LZ4", Compression::lz4()),
        ("021", "ZSTD", Compression::zstd()),
        ("023", "ZLIB", Compression::zlib()),
    ];
    for (step, key, compression) in codecs {
        let builder = ours.client.producer(format!("{key}Group")).compression(compression.over_bytes(100));
        let producer = builder.build().await.expect("it builds");
        soon(producer.send(Message::new("Vec", vec![b'c'; 8_192]).with_key(key))).await.expect("it is stored");
        let (mut ours, mut java) = (ours.one(), java[step].clone());
        // The same format, by another library: the bytes differ, what they unpack to does not.
        let (one, other) = (std::mem::take(&mut ours.body), std::mem::take(&mut java.body));
        assert!(one.len() < 100 && other.len() < 100, "{} and {} bytes", one.len(), other.len());
        assert_eq!(ours, java, "{step}");
    }
}

/// Our envelope has no id: 4.9 brokers would append it to each message (see `docs/flows.md`).
#[tokio::test(start_paused = true)]
async fn each_message_of_a_batch_is_what_the_java_producer_writes_and_the_envelope_differs_in_its_id_only() {
    let (java, ours) = (java("producer"), Ours::start().await);
    let producer = ours.client.producer("SendGroup").build().await.expect("it builds");
    let of = |step: &str| {
        let mut written = java[step].clone();
        assert!(written.properties.remove("UNIQ_KEY").is_some(), "Java gives it one");
        written
    };
    let tagged = [("one", "b1", "TagA"), ("two", "b2", "TagB")];
    let tagged = tagged.map(|(body, key, tag)| Message::new("Vec", body).with_key(key).with_tag(tag));
    soon(producer.send_batch(tagged)).await.expect("it is stored");
    assert_eq!(ours.one(), of("013"));
    let plain = ["one", "two"].map(|body| Message::new("Vec", body));
    soon(producer.send_batch(plain)).await.expect("it is stored");
    assert_eq!(ours.one(), of("017"));
}

/// Java writes seconds where the user gave seconds; we always write milliseconds.
#[tokio::test(start_paused = true)]
async fn a_timer_says_milliseconds_where_java_says_seconds_and_is_recalled_alike() {
    let (java, ours) = (java("producer"), Ours::start().await);
    let producer = ours.client.producer("SendGroup").build().await.expect("it builds");
    let message = Message::new("Vec", java["030"].body.clone()).deliver_after(60 * SECOND);
    let receipt = soon(producer.send(message)).await.expect("it is stored");
    let mut timer = java["030"].clone();
    assert_eq!(timer.properties.remove("TIMER_DELAY_SEC").as_deref(), Some("60"));
    timer.properties.insert("TIMER_DELAY_MS".to_owned(), "60000".to_owned());
    assert_eq!(ours.one(), timer);
    let handle = receipt.recall_handle().expect("a handle");
    soon(producer.recall("Vec", handle)).await.expect("it is taken back");
    assert_eq!(ours.one(), java["032"]);
}

/// Java ends a transaction by a request that nobody answers; ours is answered, and otherwise the same.
#[tokio::test(start_paused = true)]
async fn half_messages_and_their_ends_are_what_the_java_producer_writes() {
    let (java, ours) = (java("transaction"), Ours::start().await);
    let checker = async |_: ReceivedMessage| Ok::<_, std::io::Error>(TransactionState::Commit);
    let producer = ours.client.transaction_producer("TxGroup", checker).build().await.expect("it builds");
    let half = |step: &str| {
        let key = java[step].properties["KEYS"].clone();
        soon(producer.begin(Message::new("Vec", java[step].body.clone()).with_tag("TagA").with_key(key)))
    };
    let end = |step: &str| {
        assert!(java[step].is_one_way, "as Java does");
        Written { is_one_way: false, ..java[step].clone() }
    };

    let transaction = half("007").await.expect("it is kept");
    assert_eq!(ours.one(), java["007"]);
    soon(transaction.commit()).await.expect("it is confirmed");
    assert_eq!(ours.one(), end("011"));

    let transaction = half("012").await.expect("it is kept");
    assert_eq!(ours.one(), java["012"]);
    soon(transaction.rollback()).await.expect("it is confirmed");
    assert_eq!(ours.one(), end("014"));

    // The broker asks what became of this one.
    drop(half("015").await.expect("it is kept"));
    assert_eq!(ours.one(), java["015"]);
    assert_eq!(ours.cluster.broker("broker-0").check_transactions_now(), 1);
    soon(ours.cluster.until(|_| !ours.written.lock().is_empty())).await;
    assert_eq!(ours.one(), end("021"));
}

/// Seen to fail with a reply that says `WAIT`.
#[tokio::test(start_paused = true)]
async fn requests_and_replies_are_what_the_java_client_writes() {
    let (java, ours) = (java("request-reply"), Ours::start().await);
    let replies = ours.client.producer("ReplyGroup").build().await.expect("it builds");
    let answer = java["039"].body.clone();
    let serving = move |request: ReceivedMessage| {
        let (replies, answer) = (replies.clone(), answer.clone());
        async move {
            let reply = request.reply(answer)?;
            replies.send(reply).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        }
    };
    let consumer = ours.client.push_consumer("ServerGroup").subscribe("Vec", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(serving).build().await.expect("it builds");
    let asking = ours.client.producer("RequestGroup").build().await.expect("it builds");
    let question = Message::new("Vec", java["031"].body.clone());
    soon(asking.request(question).timeout(Duration::from_secs(10))).await.expect("a reply");
    let written = std::mem::take(&mut *ours.written.lock());
    assert_eq!(written, [java["031"].clone(), java["039"].clone()]);
}
