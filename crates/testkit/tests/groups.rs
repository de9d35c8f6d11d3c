//! Members of groups, retries and dead letters.

mod client;

use std::time::Duration;

use client::{Client, in_memory, messages, send_request, soon};
use ferrocket_protocol::{
    Command, RequestCode, ResponseCode,
    request::{GetConsumerList, GetRoute, SendBack, Unregister},
};
use ferrocket_testkit::TestCluster;

fn is_members_changed(command: &Command) -> bool {
    let group = command.fields().find("consumerGroup").unwrap();
    command.code == RequestCode::NOTIFY_CONSUMER_IDS_CHANGED.0
        && command.is_one_way()
        && group.as_deref() == Some("shop")
}

/// The next frame is a notification.
async fn notified(client: &mut Client) {
    let command = client.read().await.expect("a notification");
    assert!(!command.is_response() && is_members_changed(&command), "{command:?}");
}

#[tokio::test]
async fn every_member_is_told_when_one_joins_or_leaves_or_loses_its_connection() {
    let cluster = in_memory().await;
    let (mut one, mut two) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    let mut asker = Client::to_broker(&cluster).await;
    let nobody = asker.call(&GetConsumerList::new("shop")).await;
    assert_eq!(nobody, Err(ResponseCode::SYSTEM_ERROR));
    one.join("c1", "shop", "Orders", "*").await; // its own notification came before the answer
    two.join("c2", "shop", "Orders", "*").await;
    notified(&mut one).await;
    let list = asker.call(&GetConsumerList::new("shop")).await.unwrap();
    assert_eq!(list.consumer_id_list, ["c1", "c2"]);
    let mut leave = Unregister::new("c1");
    leave.consumer_group = Some("shop".into());
    one.call(&leave).await.unwrap();
    notified(&mut two).await;
    assert_eq!(cluster.members("shop"), ["c2"]);
    one.join("c1", "shop", "Orders", "*").await;
    notified(&mut two).await;
    drop(two);
    notified(&mut one).await;
    assert_eq!(cluster.members("shop"), ["c1"]);
}

#[tokio::test]
async fn an_unchanged_heartbeat_tells_nobody_and_a_new_topic_tells_all() {
    let cluster = in_memory().await;
    let mut one = Client::to_broker(&cluster).await;
    one.write(&beat("Orders", "*")).await;
    notified(&mut one).await;
    assert!(one.read().await.unwrap().is_response());
    for (topic, tags) in [("Orders", "*"), ("Orders", "paid")] {
        one.write(&beat(topic, tags)).await;
        assert!(one.read().await.unwrap().is_response());
    }
    one.write(&beat("Invoices", "*")).await;
    notified(&mut one).await;
}

fn beat(topic: &str, tags: &str) -> ferrocket_protocol::request::Heartbeat {
    use ferrocket_protocol::body::{ConsumerData, HeartbeatData, SubscriptionData};
    let subscription_data_set = vec![SubscriptionData::new(topic, &tags.into(), 1)];
    let consumer = ConsumerData { group_name: "shop".into(), subscription_data_set, ..Default::default() };
    let data = HeartbeatData { client_id: "c1".into(), consumer_data_set: vec![consumer], ..Default::default() };
    ferrocket_protocol::request::Heartbeat::new(&data)
}

async fn one_message(cluster: &TestCluster) -> (Client, i64) {
    let mut client = Client::to_broker(cluster).await;
    client.send("Orders", 0, "paid", "one").await.unwrap();
    client.join("c1", "shop", "Orders", "*").await;
    let offset = messages(&client.pull("shop", "Orders", 0).await.unwrap())[0].commit_log_offset;
    (client, offset)
}

#[tokio::test(start_paused = true)]
async fn a_message_given_back_comes_again_after_the_delay_of_its_level() {
    let cluster = in_memory().await;
    let (mut client, offset) = one_message(&cluster).await;
    let mut names = Client::to(&cluster, &cluster.name_servers()).await;
    assert_eq!(names.call(&GetRoute::new("%RETRY%shop")).await.unwrap().queue_data[0].read_queue_nums, 1);
    let before = tokio::time::Instant::now();
    client.call(&SendBack::new(0, "shop", offset, false)).await.unwrap();
    assert!(cluster.messages("%RETRY%shop").is_empty());
    soon(cluster.until(|cluster| cluster.messages("%RETRY%shop").len() == 1)).await;
    assert_eq!(before.elapsed().as_secs(), 10); // level 3 + 0
    let again = client.pull("shop", "%RETRY%shop", 0).await.unwrap();
    let [message] = &messages(&again)[..] else { panic!("one message") };
    assert_eq!((message.reconsume_times, message.body), (1, &b"one"[..]));
    let stored = &cluster.messages("%RETRY%shop")[0];
    assert_eq!(stored.property("RETRY_TOPIC"), Some("Orders"));
    assert_eq!(stored.property("ORIGIN_MESSAGE_ID"), cluster.messages("Orders")[0].broker_message_id());
    assert_eq!((stored.attempt(), stored.property("DELAY")), (2, Some("3")));
    assert_eq!((stored.property("REAL_TOPIC"), stored.property("REAL_QID")), (Some("%RETRY%shop"), Some("0")));
}

#[tokio::test]
async fn time_can_be_skipped_and_delays_can_be_shortened() {
    let cluster = in_memory().await;
    let (mut client, offset) = one_message(&cluster).await;
    client.call(&SendBack::new(18, "shop", offset, false)).await.unwrap();
    cluster.advance(Duration::from_secs(7199));
    assert!(cluster.messages("%RETRY%shop").is_empty());
    cluster.advance(Duration::from_secs(1));
    assert_eq!(cluster.messages("%RETRY%shop").len(), 1);
    let short = TestCluster::builder().in_memory().retry_delay(Duration::from_millis(1)).topic("Orders", 1);
    let cluster = short.start().await.unwrap();
    let (mut client, offset) = one_message(&cluster).await;
    client.call(&SendBack::new(18, "shop", offset, false)).await.unwrap();
    soon(cluster.until(|cluster| cluster.messages("%RETRY%shop").len() == 1)).await;
}

#[tokio::test]
async fn a_message_is_given_up_on_request_or_after_the_last_retry() {
    let cluster = in_memory().await;
    let (mut client, offset) = one_message(&cluster).await;
    let mut given_up = SendBack::new(-1, "shop", offset, false);
    assert_eq!(client.call(&given_up).await, Err(ResponseCode::SYSTEM_ERROR), "without the origin's topic");
    given_up.origin_topic = Some("Orders".to_owned());
    client.call(&given_up).await.unwrap();
    let mut last = given_up;
    last.delay_level = 0;
    last.max_reconsume_times = Some(0);
    client.call(&last).await.unwrap();
    let dead = cluster.messages("%DLQ%shop");
    assert_eq!(dead.len(), 2);
    assert_eq!((dead[0].property("RETRY_TOPIC"), dead[0].attempt()), (Some("Orders"), 2));
    assert_eq!(dead[0].property("ORIGIN_MESSAGE_ID"), cluster.messages("Orders")[0].broker_message_id());
    let mut names = Client::to(&cluster, &cluster.name_servers()).await;
    assert!(names.call(&GetRoute::new("%DLQ%shop")).await.is_ok());
    let unknown = client.call(&SendBack::new(0, "nobody", offset, false)).await;
    assert_eq!(unknown, Err(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST));
    let nowhere = client.call(&SendBack::new(0, "shop", 999_999, false)).await;
    assert_eq!(nowhere, Err(ResponseCode::SYSTEM_ERROR));
}

#[tokio::test]
async fn a_consumer_may_send_a_message_again_itself() {
    let cluster = in_memory().await;
    let (mut client, _) = one_message(&cluster).await;
    let mut again = send_request("%RETRY%shop", 0, "DELAY\u{1}1\u{2}RETRY_TOPIC\u{1}Orders\u{2}", "one");
    again.header.reconsume_times = 1;
    client.call(&again).await.unwrap();
    assert!(cluster.messages("%RETRY%shop").is_empty());
    cluster.advance(Duration::from_secs(1));
    let stored = cluster.messages("%RETRY%shop");
    assert_eq!((stored[0].attempt(), stored[0].property("DELAY")), (2, Some("1")));
    again.header.reconsume_times = 17;
    client.call(&again).await.unwrap();
    let dead = cluster.messages("%DLQ%shop");
    assert_eq!(dead.iter().map(|message| message.property("DELAY")).collect::<Vec<_>>(), [Some("-1")], "at once");
}
