//! Batches: message by message, and whole.

mod client;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use client::{Client, bodies, in_memory, messages, pull_request, send_request};
use ferrocket_model::{MessageQueue, OffsetId};
use ferrocket_protocol::{
    ResponseCode,
    message::{BatchRecords, SysFlag, push_batch_record},
    request::{CreateTopic, GetMaxOffset, SearchOffset, SendForm, SendMessage},
};
use ferrocket_testkit::TestCluster;

fn batch<'a>(topic: &'a str, envelope: &'a str, body: Bytes) -> SendMessage<'a> {
    let SendMessage { mut header, .. } = send_request(topic, 0, envelope, "");
    header.batch = true;
    SendMessage { form: SendForm::Batch, header, body }
}

const ENVELOPE: &str = "UNIQ_KEY\u{1}WHOLE\u{2}";

fn records(bodies: &[&str]) -> Bytes {
    let mut out = BytesMut::new();
    for body in bodies {
        push_batch_record(7, body.as_bytes(), &format!("UNIQ_KEY\u{1}KEY-{body}\u{2}TAGS\u{1}t\u{2}"), &mut out);
    }
    out.freeze()
}

/// Vector `session-producer`: one offset id per message, the transaction id of the batch as a whole.
#[tokio::test]
async fn a_batch_becomes_messages_with_an_id_each_and_their_own_properties_alone() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    client.send("Orders", 0, "", "before").await.unwrap();
    let mut body = BytesMut::new();
    push_batch_record(7, b"one", "TAGS\u{1}a\u{2}", &mut body);
    push_batch_record(8, b"two", "TAGS\u{1}b\u{2}DELAY\u{1}1\u{2}", &mut body);
    let body = body.freeze();
    let sent = client.call(&batch("Orders", ENVELOPE, body.clone())).await.unwrap();
    assert_eq!((sent.queue_id, sent.queue_offset, sent.transaction_id.as_deref()), (0, 1, Some("WHOLE")));
    let stored = cluster.messages("Orders").split_off(1);
    let seen: Vec<_> = stored.iter().map(|message| (&message.body()[..], message.tag(), message.flag())).collect();
    assert_eq!(seen, [(&b"one"[..], Some("a"), 7), (&b"two"[..], Some("b"), 8)], "a delay in a batch means nothing");
    let ids: Vec<_> = stored.iter().filter_map(|message| message.broker_message_id()).collect();
    assert_eq!(sent.message_id.split(',').collect::<Vec<_>>(), ids);
    assert_eq!(stored[0].property("CLUSTER"), None);
    let cut = body.slice(..body.len() - 1);
    assert_eq!(client.call(&batch("Orders", ENVELOPE, cut)).await, Err(ResponseCode::SYSTEM_ERROR));
    client.join("c1", "shop", "Orders", "*").await;
    assert_eq!(client.call(&batch("%RETRY%shop", ENVELOPE, body)).await, Err(ResponseCode::MESSAGE_ILLEGAL));
    assert_eq!(cluster.messages("Orders").len(), 3, "all of a batch or nothing");
}

/// Vector `session-producer`, §5.7: the queue's offsets count messages, and a pull inside a batch gets all of it.
#[tokio::test]
async fn a_batch_topic_keeps_a_batch_as_one_record() {
    let cluster = TestCluster::builder().in_memory().batch_topic("Whole").start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    let body = records(&["one", "two", "three"]);
    let sent = client.call(&batch("Whole", ENVELOPE, body.clone())).await.unwrap();
    assert_eq!(
        (sent.queue_offset, sent.batch_id.as_deref(), sent.transaction_id.as_deref()),
        (0, Some("WHOLE"), Some("WHOLE"))
    );
    let place = OffsetId::parse(&sent.message_id).expect("one id").commit_log_offset;
    let next = client.call(&batch("Whole", ENVELOPE, records(&["four", "five"]))).await.unwrap();
    assert_eq!(next.queue_offset, 3);
    let queue = MessageQueue::new("Whole", "broker-0", 0);
    assert_eq!(client.call(&GetMaxOffset::new(queue)).await.unwrap(), 5);
    let later = client.call(&SearchOffset::new(0u32, 4_000_000_000_000i64, "Whole")).await.unwrap();
    assert_eq!(later, 5);
    client.join("c1", "shop", "Whole", "*").await;
    let mut pull = pull_request("shop", "Whole", 1);
    pull.0.max_messages = 1;
    let answer = client.call(&pull).await.unwrap();
    let [stored] = &messages(&answer)[..] else { panic!("one record") };
    assert_eq!((stored.queue_offset, stored.commit_log_offset, answer.next_offset), (0, place, 3));
    assert_eq!((stored.body, stored.sys_flag.0), (&body[..], SysFlag::NEED_UNWRAP | SysFlag::INNER_BATCH));
    let text = std::str::from_utf8(stored.properties).unwrap();
    let property = |name| ferrocket_model::properties::find(text, name);
    assert_eq!(
        (property("INNER_NUM"), property("INNER_BASE"), property("CLUSTER")),
        (Some("3"), Some("0"), Some("TestCluster"))
    );
    assert_eq!(BatchRecords::new(Bytes::copy_from_slice(stored.body)).count(), 3);
    assert_eq!(client.pull("shop", "Whole", 5).await.unwrap().code, ResponseCode::PULL_NOT_FOUND);
    let seen = cluster.messages("Whole");
    let seen: Vec<_> = seen.iter().map(|message| (message.offset(), message.id().as_str(), message.flag())).collect();
    let wanted = [(0, "KEY-one", 7), (1, "KEY-two", 7), (2, "KEY-three", 7), (3, "KEY-four", 7), (4, "KEY-five", 7)];
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn a_topic_becomes_a_batch_topic_by_its_attribute_and_plain_messages_stay_plain_there() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let mut create = CreateTopic::with_queues("Made", 1);
    create.attributes = "+queue.type=BatchCQ".to_owned();
    client.call(&create).await.unwrap();
    client.send("Made", 0, "", "plain").await.unwrap();
    let sent = client.call(&batch("Made", ENVELOPE, records(&["one", "two"]))).await.unwrap();
    assert_eq!((sent.queue_offset, sent.batch_id.is_some()), (1, true));
    let nameless = client.call(&batch("Made", "", records(&["three", "four"]))).await.unwrap();
    assert_eq!((nameless.queue_offset, nameless.batch_id, nameless.message_id.split(',').count()), (3, None, 2));
    client.join("c1", "shop", "Made", "*").await;
    let answer = client.pull("shop", "Made", 0).await.unwrap();
    assert_eq!((messages(&answer).len(), answer.next_offset), (4, 5));
    assert_eq!(bodies(&answer)[2..], ["three", "four"]);
}

/// Measured on 5.5.0.
#[tokio::test]
async fn the_header_makes_a_batch_and_not_the_code() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let body = records(&["one", "two"]);
    client.call(&SendMessage { form: SendForm::Message, ..batch("Orders", ENVELOPE, body.clone()) }).await.unwrap();
    assert_eq!(cluster.messages("Orders").len(), 2);
    let mut unmarked = batch("Orders", ENVELOPE, body.clone());
    unmarked.header.batch = false;
    client.call(&unmarked).await.unwrap();
    let stored = cluster.messages("Orders").split_off(2);
    assert_eq!(stored.iter().map(|message| message.body().clone()).collect::<Vec<_>>(), [body]);
}

/// Measured on 5.5.0.
#[tokio::test]
async fn a_batch_with_a_level_is_refused_and_one_with_a_timer_is_acknowledged_and_lost() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let body = records(&["one", "two"]);
    let level = client.call(&batch("Orders", "DELAY\u{1}1\u{2}", body.clone())).await;
    assert_eq!(level, Err(ResponseCode::MESSAGE_ILLEGAL));
    let sent = client.call(&batch("Orders", "TIMER_DELAY_SEC\u{1}1\u{2}", body)).await.unwrap();
    assert_eq!((sent.message_id.split(',').count(), sent.transaction_id), (2, None));
    cluster.advance(Duration::from_secs(60));
    assert!(cluster.messages("Orders").is_empty());
}
