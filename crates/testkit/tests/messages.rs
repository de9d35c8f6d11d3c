//! Sends, pulls, long polls and offsets.

mod client;

use std::time::Duration;

use bytes::BytesMut;
use client::{Client, bodies, in_memory, long_pull, messages, pull_request, send_request, soon};
use ferrocket_model::{MessageQueue, OffsetId};
use ferrocket_protocol::{
    ResponseCode,
    request::{CommitOffset, CreateTopic, GetMaxOffset, GetMinOffset, GetRoute, PullFlags, QueryOffset, SearchOffset},
};
use ferrocket_testkit::{Call, TestCluster};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_sent_message_is_pulled_with_the_properties_that_brokers_add() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let sent = client.send("Orders", 0, "paid", "one").await.unwrap();
    assert_eq!((sent.queue_id, sent.queue_offset), (0, 0));
    assert_eq!(sent.transaction_id.as_deref(), Some("KEY-one"));
    client.join("c1", "shop", "Orders", "*").await;
    let answer = client.pull("shop", "Orders", 0).await.unwrap();
    assert_eq!((answer.next_offset, answer.min_offset, answer.max_offset), (1, 0, 1));
    let [message] = &messages(&answer)[..] else { panic!("one message") };
    assert!(message.is_intact);
    assert_eq!((message.topic, message.queue_offset, message.body), ("Orders", 0, &b"one"[..]));
    let id = OffsetId::parse(&sent.message_id).unwrap();
    assert_eq!(id.commit_log_offset, message.commit_log_offset);
    let stored = &cluster.messages("Orders")[0];
    assert_eq!(stored.tag(), Some("paid"));
    for (name, value) in [("MSG_REGION", "DefaultRegion"), ("TRACE_ON", "true"), ("CLUSTER", "TestCluster")] {
        assert_eq!(stored.property(name), Some(value));
    }
    assert_eq!(stored.broker_message_id(), Some(&*sent.message_id));
}

#[tokio::test]
async fn a_message_without_a_unique_key_gets_one() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let sent = client.call(&send_request("Orders", -1, "", "body")).await.unwrap();
    assert_eq!(sent.transaction_id.as_deref(), Some(cluster.messages("Orders")[0].id().as_str()));
    assert!(sent.queue_id < 2);
}

#[tokio::test]
async fn the_first_send_makes_the_topic_from_the_template() {
    let cluster = TestCluster::builder().in_memory().start().await.unwrap();
    let mut names = Client::to(&cluster, &cluster.name_servers()).await;
    let mut client = Client::to_broker(&cluster).await;
    assert_eq!(names.call(&GetRoute::new("New")).await, Err(ResponseCode::TOPIC_NOT_EXIST));
    assert_eq!(names.call(&GetRoute::new("TBW102")).await.unwrap().queue_data[0].write_queue_nums, 8);
    client.send("New", 3, "a", "one").await.unwrap();
    let route = names.call(&GetRoute::new("New")).await.unwrap();
    assert_eq!((route.queue_data[0].write_queue_nums, route.queue_data[0].perm), (4, 6));
    assert_eq!(route.brokers[0].master, Some(cluster.broker("broker-0").address()));
}

#[tokio::test]
async fn mistakes_of_senders_are_answered_with_the_codes_of_a_real_broker() {
    let cluster = TestCluster::builder().in_memory().auto_create_topics(false).max_message_bytes(100).topic("T", 1);
    let cluster = cluster.start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    let long = "x".repeat(101);
    let properties = format!("a\u{1}{}\u{2}", "y".repeat(32_700));
    for (topic, queue, properties, body, code) in [
        ("Unknown", 0, "", "b", ResponseCode::TOPIC_NOT_EXIST),
        ("T", 1, "", "b", ResponseCode::INVALID_PARAMETER),
        ("T", 0, "", "", ResponseCode::SYSTEM_ERROR),
        ("T", 0, "", &long, ResponseCode::MESSAGE_ILLEGAL),
        ("T", 0, &properties, "b", ResponseCode::MESSAGE_ILLEGAL),
        ("T", 0, "DELAY\u{1}soon\u{2}", "b", ResponseCode::SYSTEM_ERROR),
        ("T", 0, "TIMER_DELAY_SEC\u{1}999999999\u{2}", "b", ResponseCode::MESSAGE_ILLEGAL),
        ("bad name", 0, "", "b", ResponseCode::INVALID_PARAMETER),
        ("SCHEDULE_TOPIC_XXXX", 0, "", "b", ResponseCode::NO_PERMISSION),
        ("%RETRY%nobody", 0, "", "b", ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST),
    ] {
        let answer = client.answer(&send_request(topic, queue, properties, body)).await.unwrap();
        assert_eq!(answer.response_code(), code, "{topic} {queue}");
        assert_eq!(answer.fields().find("MSG_REGION").unwrap().as_deref(), Some("DefaultRegion"));
    }
    assert!(cluster.messages("T").is_empty());
}

#[tokio::test]
async fn tags_are_filtered_by_hash_and_the_offset_moves_past_what_does_not_match() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    for (tag, body) in [("paid", "1"), ("open", "2"), ("paid", "3"), ("open", "4")] {
        client.send("Orders", 0, tag, body).await.unwrap();
    }
    client.join("c1", "shop", "Orders", "paid || refunded").await;
    let answer = client.pull("shop", "Orders", 0).await.unwrap();
    assert_eq!((bodies(&answer), answer.next_offset), (vec!["1".to_owned(), "3".to_owned()], 4));
    let rest = client.pull("shop", "Orders", 3).await.unwrap();
    assert_eq!((rest.code, rest.next_offset), (ResponseCode::PULL_RETRY_IMMEDIATELY, 4));
    let mut header = pull_request("other", "Orders", 0);
    header.0.sys_flag = PullFlags::SUBSCRIPTION;
    header.0.subscription = Some("open".to_owned());
    assert_eq!(bodies(&client.call(&header).await.unwrap()), ["2", "4"]);
}

#[tokio::test]
async fn pulls_at_odd_offsets_and_without_subscription_are_answered_as_by_a_real_broker() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let refused = client.pull("shop", "Orders", 0).await;
    assert_eq!(refused, Err(ResponseCode::SUBSCRIPTION_NOT_EXIST));
    client.join("c1", "shop", "Orders", "*").await;
    assert_eq!(client.pull("shop", "Nope", 0).await, Err(ResponseCode::TOPIC_NOT_EXIST));
    let mut newer = pull_request("shop", "Orders", 0);
    newer.0.subscription_version = 2;
    assert_eq!(client.call(&newer).await, Err(ResponseCode::SUBSCRIPTION_NOT_LATEST));
    let mut elsewhere = pull_request("shop", "Orders", 0);
    elsewhere.0.queue_id = 9;
    assert_eq!(client.call(&elsewhere).await, Err(ResponseCode::INVALID_PARAMETER));
    let mut look = async |offset| {
        let answer = client.pull("shop", "Orders", offset).await.unwrap();
        (answer.code, answer.next_offset, answer.max_offset)
    };
    assert_eq!(look(0).await, (ResponseCode::PULL_NOT_FOUND, 0, 0));
    assert_eq!(look(5).await, (ResponseCode::PULL_OFFSET_MOVED, 0, 0));
    let mut sender = Client::to_broker(&cluster).await;
    sender.send("Orders", 0, "a", "1").await.unwrap();
    assert_eq!(look(1).await, (ResponseCode::PULL_NOT_FOUND, 1, 1));
    assert_eq!(look(2).await, (ResponseCode::PULL_OFFSET_MOVED, 1, 1));
}

#[tokio::test]
async fn a_long_poll_is_released_by_a_message_and_holds_up_nothing_on_its_connection() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    client.join("c1", "shop", "Orders", "*").await;
    let waiting = client.write(&long_pull("shop", "Orders", 0, Duration::from_secs(3600))).await;
    let max = client.call(&GetMaxOffset::new(MessageQueue::new("Orders", "broker-0", 0))).await.unwrap();
    assert_eq!(max, 0);
    let mut sender = Client::to_broker(&cluster).await;
    sender.send("Orders", 1, "a", "another queue").await.unwrap();
    sender.send("Orders", 0, "a", "released").await.unwrap();
    let answer = client.read().await.unwrap();
    assert_eq!((answer.opaque, answer.code), (waiting, 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_after_its_time_under_a_paused_clock() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    client.join("c1", "shop", "Orders", "*").await;
    let before = tokio::time::Instant::now();
    let answer = client.call(&long_pull("shop", "Orders", 0, Duration::from_secs(15))).await.unwrap();
    assert_eq!(answer.code, ResponseCode::PULL_NOT_FOUND);
    assert_eq!(before.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn offsets_are_read_as_they_were_stored_and_missing_ones_are_told_apart() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let mut query = QueryOffset::new("shop", 0u32, "Orders");
    assert_eq!(client.call(&query).await.unwrap().0, None); // an empty queue
    client.send("Orders", 0, "a", "1").await.unwrap();
    assert_eq!(client.call(&query).await.unwrap().0, Some(0));
    query.zero_if_not_found = Some(false);
    assert_eq!(client.call(&query).await.unwrap().0, None);
    assert_eq!(client.call(&QueryOffset::new("shop", 0u32, "Nope")).await.unwrap().0, None);
    client.call(&CommitOffset::new(7u64, "shop", 0u32, "Orders")).await.unwrap();
    assert_eq!(client.call(&query).await.unwrap().0, Some(7));
    assert_eq!(cluster.committed("shop", "Orders"), 7);
    let unknown = client.call(&CommitOffset::new(7u64, "shop", 0u32, "Nope")).await;
    assert_eq!(unknown, Err(ResponseCode::TOPIC_NOT_EXIST));
    let mut pull = pull_request("shop", "Orders", 0);
    pull.0.sys_flag = PullFlags::SUBSCRIPTION | PullFlags::COMMIT_OFFSET;
    pull.0.queue_id = 1;
    pull.0.commit_offset = 3;
    client.call(&pull).await.unwrap();
    assert_eq!(cluster.committed("shop", "Orders"), 10);
    assert_eq!(cluster.committed_offset("shop", &MessageQueue::new("Orders", "broker-0", 1)), Some(3));
}

#[tokio::test]
async fn the_ends_of_a_queue_and_times_in_it_are_found() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    for body in ["1", "2", "3"] {
        client.send("Orders", 0, "a", body).await.unwrap();
    }
    let queue = MessageQueue::new("Orders", "broker-0", 0);
    assert_eq!(client.call(&GetMaxOffset::new(queue.clone())).await, Ok(3));
    assert_eq!(client.call(&GetMinOffset::new(queue)).await, Ok(0));
    assert_eq!(client.call(&SearchOffset::new(0u32, 0i64, "Orders")).await, Ok(0));
    assert_eq!(client.call(&SearchOffset::new(0u32, i64::MAX, "Orders")).await, Ok(3));
    assert_eq!(client.call(&SearchOffset::new(9u32, 0i64, "Orders")).await, Ok(0));
}

#[tokio::test]
async fn topics_are_created_on_request_and_deleted_by_the_test() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let mut names = Client::to(&cluster, &cluster.name_servers()).await;
    client.call(&CreateTopic::with_queues("Made", 3)).await.unwrap();
    assert_eq!(names.call(&GetRoute::new("Made")).await.unwrap().queue_data[0].read_queue_nums, 3);
    let refused = client.call(&CreateTopic::with_queues("TBW102", 3)).await;
    assert_eq!(refused, Err(ResponseCode::INVALID_PARAMETER));
    cluster.delete_topic("Made");
    assert_eq!(names.call(&GetRoute::new("Made")).await, Err(ResponseCode::TOPIC_NOT_EXIST));
    assert_eq!(cluster.requests(Call::CreateTopic), 2);
}

#[tokio::test]
async fn everything_works_over_tcp() {
    let cluster = TestCluster::builder().brokers(2).topic("Orders", 2).start().await.unwrap();
    let mut names = Client::over(TcpStream::connect(cluster.name_servers()).await.unwrap());
    let route = names.call(&GetRoute::new("Orders")).await.unwrap();
    assert_eq!(route.publish_queues(&"Orders".into()).len(), 4);
    for broker in &route.brokers {
        let address = broker.master.clone().unwrap();
        let mut client = Client::over(TcpStream::connect(&address).await.unwrap());
        client.send("Orders", 0, "a", &broker.name).await.unwrap();
        client.join("c1", "shop", "Orders", "*").await;
        let answer = client.pull("shop", "Orders", 0).await.unwrap();
        assert_eq!(bodies(&answer).concat(), broker.name);
    }
    assert_eq!(cluster.messages("Orders").len(), 2);
    soon(cluster.until(|cluster| cluster.connections() == 1)).await;
    let address = cluster.name_servers();
    drop(cluster);
    assert!(names.read().await.is_none());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pipelined_sends_are_all_answered_though_nobody_reads_at_first() {
    const SENDS: usize = 20_000;
    let cluster = TestCluster::builder().in_memory().topic("Orders", 1).start().await.unwrap();
    let stream = cluster.connector().connect(&cluster.broker("broker-0").address()).await.unwrap();
    let (reader, writer) = tokio::io::split(stream);
    let (mut reader, mut writer) = (Client::over(tokio::io::join(reader, tokio::io::sink())), {
        Client::over(tokio::io::join(tokio::io::empty(), writer))
    });
    let writing = tokio::spawn(async move {
        for _ in 0..SENDS {
            writer.write(&send_request("Orders", 0, "", "1")).await;
        }
        writer // dropping its half would not close, but keep it anyway
    });
    soon(cluster.until_requests(Call::Send, 1_000)).await;
    for _ in 0..SENDS {
        assert_eq!(reader.read().await.unwrap().code, 0);
    }
    writing.await.unwrap();
    assert_eq!(cluster.messages("Orders").len(), SENDS);
}

#[tokio::test]
async fn numbers_below_zero_are_answered_as_by_a_real_broker() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    client.send("Orders", 0, "a", "1").await.unwrap();
    let mut ask = async |code: i32, fields: &str| {
        let header = format!(
            r#"{{"code":{code},"flag":0,"opaque":1,"extFields":{{"topic":"Orders","consumerGroup":"shop",{fields}}}}}"#
        );
        let mut frame = BytesMut::new();
        frame.extend_from_slice(&(header.len() as u32 + 4).to_be_bytes());
        frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
        frame.extend_from_slice(header.as_bytes());
        client.write_raw(&frame).await;
        client.read().await.unwrap()
    };
    let pull = r#""maxMsgNums":"32","sysFlag":"4","commitOffset":"0","suspendTimeoutMillis":"0","subVersion":"0""#;
    let early = ask(11, &format!(r#"{pull},"queueId":"0","queueOffset":"-1""#)).await;
    assert_eq!(early.response_code(), ResponseCode::PULL_OFFSET_MOVED);
    assert_eq!(early.fields().find("nextBeginOffset").unwrap().as_deref(), Some("0"));
    let nowhere = ask(11, &format!(r#"{pull},"queueId":"-1","queueOffset":"0""#)).await;
    assert_eq!(nowhere.response_code(), ResponseCode::INVALID_PARAMETER);
    assert_eq!(ask(15, r#""queueId":"0","commitOffset":"5""#).await.code, 0);
    assert_eq!(cluster.committed("shop", "Orders"), 5);
    assert_eq!(ask(15, r#""queueId":"0","commitOffset":"-1""#).await.code, 0);
    let queue = MessageQueue::new("Orders", "broker-0", 0);
    assert_eq!(cluster.committed_offset("shop", &queue), None);
}
