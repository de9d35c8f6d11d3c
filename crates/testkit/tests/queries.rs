//! Messages by key and by id.

mod client;

use client::{Client, in_memory, send_request};
use ferrocket_model::OffsetId;
use ferrocket_protocol::{
    ResponseCode,
    message::StoredMessages,
    request::{FoundMessages, QueryMessage, ViewMessage},
};
use ferrocket_testkit::Call;

fn bodies(found: &FoundMessages) -> Vec<String> {
    let messages = StoredMessages::new(&found.messages).map(|message| message.expect("a readable record"));
    messages.map(|message| String::from_utf8_lossy(message.body).into_owned()).collect()
}

fn by(key: &str, unique: bool) -> QueryMessage {
    let mut query = QueryMessage::new(0, i64::MAX, key, 2, "Orders");
    query.unique = Some(unique);
    query
}

/// Vector `session-producer`.
#[tokio::test]
async fn messages_are_found_by_each_of_their_keys_and_by_their_unique_key() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    for (queue, body, keys) in [(0, "one", "red round"), (1, "two", "red"), (0, "three", "red"), (1, "four", "redder")]
    {
        let properties = format!("KEYS\u{1}{keys}\u{2}UNIQ_KEY\u{1}KEY-{body}\u{2}");
        client.call(&send_request("Orders", queue, &properties, body)).await.unwrap();
    }
    let mut find = async |query: &QueryMessage| bodies(&client.call(query).await.unwrap());
    assert_eq!(find(&by("round", false)).await, ["one"]);
    assert_eq!(find(&by("red", false)).await, ["one", "two"], "the oldest first, and no more than asked for");
    assert_eq!(find(&by("red", true)).await, ["one", "two", "three"], "as many as brokers hand out");
    assert_eq!(find(&by("KEY-three", true)).await, ["three"]);
    assert_eq!(find(&by("KEY-three", false)).await, ["three"], "one index for both");
    let (mut early, mut elsewhere) = (by("red", false), by("red", false));
    early.end_ms = 1;
    elsewhere.topic = "Nope".into();
    for nothing in [by("blue", false), by("", false), early, elsewhere] {
        assert!(find(&nothing).await.is_empty(), "{nothing:?}");
    }
    let answer = client.answer(&by("blue", false)).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::QUERY_NOT_FOUND);
    assert_eq!(answer.fields().find("indexLastUpdatePhyoffset").unwrap().as_deref(), Some("0"));
    assert_eq!(cluster.requests(Call::Query), 10);
}

#[tokio::test]
async fn a_message_is_viewed_by_the_place_that_its_id_names() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    client.send("Orders", 0, "", "other").await.unwrap();
    let sent = client.send("Orders", 1, "", "one").await.unwrap();
    let place = OffsetId::parse(&sent.message_id).unwrap().commit_log_offset;
    let found = client.call(&ViewMessage::new(place)).await.unwrap();
    let [Ok(message)] = &StoredMessages::new(&found.0).collect::<Vec<_>>()[..] else { panic!("one message") };
    assert_eq!((message.body, message.queue_id, message.commit_log_offset), (&b"one"[..], 1, place));
    for nowhere in [place + 1, 99_999, -1] {
        let answer = client.answer(&ViewMessage::new(nowhere)).await.unwrap();
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark().unwrap().starts_with("can not find message by the offset"), "{answer:?}");
    }
    assert_eq!(cluster.requests(Call::View), 4);
}
