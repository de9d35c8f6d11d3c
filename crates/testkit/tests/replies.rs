//! Replies to requests.

mod client;

use bytes::{Bytes, BytesMut};
use client::{Client, in_memory, send_request, soon};
use ferrocket_protocol::{
    Command, HeaderFormat, NoFields, ReadRequest, RequestCode, ResponseCode, encode_response,
    request::{GetRoute, PushReply, SendForm, SendMessage, Unregister},
};
use ferrocket_testkit::{Call, TestCluster};

const REPLY_TOPIC: &str = "TestCluster_REPLY_TOPIC";

fn reply(properties: &str) -> SendMessage<'_> {
    let SendMessage { header, body, .. } = send_request(REPLY_TOPIC, 0, properties, "yes");
    SendMessage { form: SendForm::Reply, header, body }
}

fn properties_for(client_id: &str) -> String {
    format!("CORRELATION_ID\u{1}17\u{2}REPLY_TO_CLIENT\u{1}{client_id}\u{2}MSG_TYPE\u{1}reply\u{2}UNIQ_KEY\u{1}K\u{2}")
}

/// A client that asks, one that replies, and a reply that was pushed but not yet acknowledged.
async fn pushed(cluster: &TestCluster) -> (Client, Client, i32, Command) {
    let (mut asking, mut answering) = (Client::to_broker(cluster).await, Client::to_broker(cluster).await);
    asking.announce("asker", "askers").await;
    // The last separator may be missing.
    let opaque = answering.write(&reply(properties_for("asker").trim_end_matches('\u{2}'))).await;
    let push = asking.read().await.expect("the reply");
    assert!(push.code == RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT.0 && !push.is_one_way(), "{push:?}");
    (asking, answering, opaque, push)
}

/// The broker knows no way to the asker; not the same as an asker that stays silent.
async fn assert_nowhere(answering: &mut Client, properties: &str) {
    let answer = answering.answer(&reply(properties)).await.expect("an answer");
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark().is_some_and(|remark| remark.ends_with("not found.")), "{answer:?}");
}

async fn acknowledge(client: &mut Client, push: &Command, code: ResponseCode) {
    let mut out = BytesMut::new();
    let format = HeaderFormat::Json;
    let encoded = encode_response(push.opaque, code, None, &NoFields, Bytes::new(), format, &mut out).unwrap();
    assert_eq!(encoded.body, None);
    client.write_raw(&out).await;
}

/// Vector `session-request-reply`.
#[tokio::test]
async fn a_reply_is_pushed_to_who_asked_and_the_replier_is_answered_afterwards() {
    let cluster = in_memory().await;
    let mut names = Client::to(&cluster, &cluster.name_servers()).await;
    assert_eq!(names.call(&GetRoute::new(REPLY_TOPIC)).await.unwrap().queue_data[0].write_queue_nums, 1);
    let (mut asking, mut answering, opaque, push) = pushed(&cluster).await;
    assert!(cluster.messages(REPLY_TOPIC).is_empty(), "not before the asker has it");
    let PushReply { header, body } = PushReply::read_request(&push).unwrap();
    assert_eq!((&body[..], header.topic.as_str(), header.queue_id), (&b"yes"[..], REPLY_TOPIC, 0));
    let property = |name| ferrocket_model::properties::find(header.properties.as_deref().unwrap(), name);
    assert_eq!((property("CORRELATION_ID"), property("MSG_TYPE")), (Some("17"), Some("reply")));
    assert_eq!(property("UNIQ_KEY"), Some("K"));
    assert_eq!((property("TRACE_ON"), property("MSG_REGION")), (Some("true"), Some("DefaultRegion")));
    assert!(property("PUSH_REPLY_TIME").is_some() && property("CLUSTER").is_none() && header.broker.is_none());
    acknowledge(&mut asking, &push, ResponseCode::SUCCESS).await;
    let answer = answering.read().await.unwrap();
    assert_eq!((answer.opaque, answer.response_code()), (opaque, ResponseCode::SUCCESS));
    let stored = cluster.messages(REPLY_TOPIC);
    assert_eq!(answer.fields().find("msgId").unwrap().as_deref(), stored[0].broker_message_id());
    assert_eq!(cluster.requests(Call::Reply), 1);
}

/// Measured on 5.5.0: the reply is stored whatever became of it, and the answer says where; only an asker that refuses makes the
/// refusal quick.
#[tokio::test(start_paused = true)]
async fn a_replier_learns_that_the_asker_refused_or_left_or_was_never_there() {
    let cluster = in_memory().await;
    let (mut asking, mut answering, _, push) = pushed(&cluster).await;
    acknowledge(&mut asking, &push, ResponseCode::SYSTEM_ERROR).await;
    assert_eq!(answering.read().await.unwrap().response_code(), ResponseCode::SYSTEM_ERROR);
    drop(asking);
    soon(cluster.until(|cluster| cluster.producers("askers").is_empty())).await;
    let (asking, mut answering, _, _) = pushed(&cluster).await;
    let began = tokio::time::Instant::now();
    drop(asking);
    assert_eq!(answering.read().await.unwrap().response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(began.elapsed().as_secs(), 10, "a broker does not notice");
    let answer = answering.answer(&reply(&properties_for("nobody"))).await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(answer.remark().as_deref(), Some("push reply message fail, channel of <nobody> not found."));
    assert_eq!(answer.fields().find("queueOffset").unwrap().as_deref(), Some("2"));
    assert_eq!(answering.call(&reply("")).await, Err(ResponseCode::SYSTEM_ERROR));
    assert_eq!(cluster.messages(REPLY_TOPIC).len(), 4);
    let properties = properties_for("asker");
    let empty = SendMessage { body: Bytes::new(), ..reply(&properties) };
    assert_eq!(answering.call(&empty).await, Err(ResponseCode::SYSTEM_ERROR));
    assert_eq!(cluster.messages(REPLY_TOPIC).len(), 4, "but an empty one is not stored");
}

/// A broker does not stop in the middle of a reply because the replier left.
#[tokio::test]
async fn a_reply_is_stored_also_when_the_replier_is_gone_by_then() {
    let cluster = in_memory().await;
    let (mut asking, answering, _, push) = pushed(&cluster).await;
    drop(answering);
    soon(cluster.until(|cluster| cluster.connections() == 1)).await;
    acknowledge(&mut asking, &push, ResponseCode::SUCCESS).await;
    soon(cluster.until(|cluster| cluster.messages(REPLY_TOPIC).len() == 1)).await;
}

/// Measured on 5.5.0: one connection per client id, the last that joined a group; lost when any connection of that id leaves one.
#[tokio::test]
async fn replies_go_to_the_connection_that_joined_a_group_last_until_another_one_leaves() {
    let cluster = in_memory().await;
    let (mut old, mut new) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    let mut answering = Client::to_broker(&cluster).await;
    old.announce("asker", "askers").await;
    new.announce("asker", "others").await;
    old.announce("asker", "askers").await; // nothing new
    answering.write(&reply(&properties_for("asker"))).await;
    let push = new.read().await.unwrap();
    assert_eq!(push.code, RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT.0);
    acknowledge(&mut new, &push, ResponseCode::SUCCESS).await;
    assert_eq!(answering.read().await.unwrap().response_code(), ResponseCode::SUCCESS);
    let mut leave = Unregister::new("asker");
    leave.producer_group = Some("askers".into());
    old.call(&leave).await.unwrap();
    assert_eq!(cluster.producers("others"), ["asker"]);
    assert_nowhere(&mut answering, &properties_for("asker")).await;
}

/// A broker keeps one connection per client id, and forgets it with any group that the client leaves.
#[tokio::test]
async fn an_asker_that_left_a_group_gets_no_reply_until_it_joins_one_anew() {
    let cluster = in_memory().await;
    let (mut asking, mut answering) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    asking.announce("asker", "askers").await;
    asking.announce("asker", "others").await;
    let mut leave = Unregister::new("asker");
    leave.producer_group = Some("others".into());
    asking.call(&leave).await.unwrap();
    asking.announce("asker", "askers").await;
    let properties = properties_for("asker");
    assert_nowhere(&mut answering, &properties).await;
    asking.announce("asker", "others").await;
    answering.write(&reply(&properties)).await;
    let push = asking.read().await.expect("the reply");
    acknowledge(&mut asking, &push, ResponseCode::SUCCESS).await;
    assert_eq!(answering.read().await.unwrap().response_code(), ResponseCode::SUCCESS);
}

/// Measured on 5.5.0: a connection that ends takes the way of replies with it, also when the client has a newer one by then.
#[tokio::test]
async fn an_asker_that_reconnected_gets_no_reply_once_its_old_connection_ends() {
    let cluster = in_memory().await;
    let (mut old, mut new) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    let mut answering = Client::to_broker(&cluster).await;
    old.announce("asker", "askers").await;
    new.announce("asker", "askers").await;
    drop(old);
    soon(cluster.until(|cluster| cluster.connections() == 2)).await;
    new.announce("asker", "askers").await;
    assert_eq!(cluster.producers("askers"), ["asker"]);
    let properties = properties_for("asker");
    assert_nowhere(&mut answering, &properties).await;
    let mut leave = Unregister::new("asker");
    leave.producer_group = Some("askers".into());
    new.call(&leave).await.unwrap();
    new.announce("asker", "askers").await;
    answering.write(&reply(&properties)).await;
    assert_eq!(
        new.read().await.unwrap().code,
        RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT.0,
        "leaving and joining helps"
    );
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_never_acknowledges_is_given_up_after_ten_seconds() {
    let cluster = in_memory().await;
    let (asking, mut answering, _, _) = pushed(&cluster).await;
    let began = tokio::time::Instant::now();
    assert_eq!(answering.read().await.unwrap().response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(began.elapsed().as_secs(), 10);
    drop(asking);
}
