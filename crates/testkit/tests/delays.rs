//! Delay levels, timer messages, and taking them back.

mod client;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Client, in_memory, send_request, soon};
use ferrocket_protocol::{
    ResponseCode,
    request::{RecallMessage, RecallTarget, SendAnswer},
};
use ferrocket_testkit::{Call, TestCluster};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

async fn send(client: &mut Client, body: &str, wishes: &[(&str, &str)]) -> SendAnswer {
    let mut properties = format!("UNIQ_KEY\u{1}KEY-{body}\u{2}");
    for (name, value) in wishes {
        properties += &format!("{name}\u{1}{value}\u{2}");
    }
    client.call(&send_request("Orders", 1, &properties, body)).await.unwrap()
}

async fn one_arrives(cluster: &TestCluster, began: Instant) -> Duration {
    // Longer than the longest delay; the clock is a paused one.
    let arrival = cluster.until(|cluster| !cluster.messages("Orders").is_empty());
    tokio::time::timeout(120 * SECOND, arrival).await.expect("it should have arrived by now");
    began.elapsed()
}

fn handle(answer: &SendAnswer) -> RecallTarget {
    RecallTarget::read(answer.recall_handle.as_deref().expect("a handle")).expect("a readable handle")
}

/// §7.7.
#[tokio::test(start_paused = true)]
async fn a_message_with_a_delay_level_arrives_after_it_and_still_tells_its_level() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let began = Instant::now();
    let wishes = [("DELAY", "3"), ("TIMER_DELAY_SEC", "1")];
    assert_eq!(send(&mut client, "one", &wishes).await.recall_handle, None, "a level is no timer");
    let waited = one_arrives(&cluster, began).await;
    assert!((10 * SECOND..11 * SECOND).contains(&waited), "{waited:?}");
    let message = &cluster.messages("Orders")[0];
    assert_eq!((message.property("DELAY"), message.property("REAL_TOPIC")), (Some("3"), Some("Orders")));
    assert_eq!((message.property("REAL_QID"), message.property("TIMER_DELAY_SEC")), (Some("1"), None));
    assert_eq!(message.queue().id(), 1);
    send(&mut client, "at once", &[("DELAY", "-1")]).await;
    assert_eq!(cluster.messages("Orders").len(), 2);
    send(&mut client, "beyond the last level", &[("DELAY", "99")]).await;
    cluster.advance(2 * 3600 * SECOND - SECOND);
    assert_eq!(cluster.messages("Orders").len(), 2);
    cluster.advance(SECOND);
    assert_eq!(cluster.messages("Orders").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn delays_can_be_divided_and_those_of_retries_set_apart_from_them() {
    let builder = TestCluster::builder().in_memory().topic("Orders", 2).delays_divided_by(10);
    let cluster = builder.retry_delay(3 * SECOND).start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    let began = Instant::now();
    send(&mut client, "one", &[("DELAY", "3")]).await;
    send(&mut client, "two", &[("TIMER_DELAY_SEC", "20")]).await;
    let waited = one_arrives(&cluster, began).await;
    assert!((SECOND..2 * SECOND).contains(&waited), "{waited:?}");
    soon(cluster.until(|cluster| cluster.messages("Orders").len() == 2)).await;
    assert!((2 * SECOND..3 * SECOND).contains(&began.elapsed()));
    client.join("c1", "shop", "Orders", "*").await;
    let began = Instant::now();
    client.call(&send_request("%RETRY%shop", 0, "DELAY\u{1}3\u{2}", "again")).await.unwrap();
    soon(cluster.until(|cluster| !cluster.messages("%RETRY%shop").is_empty())).await;
    assert!((3 * SECOND..4 * SECOND).contains(&began.elapsed()));
}

/// §7.8: seconds win over milliseconds, and those over a time; the handle names the due time plus one.
#[tokio::test(start_paused = true)]
async fn timer_messages_arrive_at_their_time_and_what_has_a_due_time_is_none() {
    let deliver = (now_ms() + 60_000).to_string();
    let cases: [(&[(&str, &str)], u32); 3] = [
        (&[("TIMER_DELIVER_MS", &deliver), ("TIMER_DELAY_MS", "40000"), ("TIMER_DELAY_SEC", "20")], 20),
        (&[("TIMER_DELIVER_MS", &deliver), ("TIMER_DELAY_MS", "40000")], 40),
        (&[("TIMER_DELIVER_MS", &deliver)], 60),
    ];
    for (wishes, seconds) in cases {
        let cluster = in_memory().await;
        let mut client = Client::to_broker(&cluster).await;
        let (began, now) = (Instant::now(), now_ms());
        let target = handle(&send(&mut client, "one", wishes).await);
        assert_eq!((target.topic.as_str(), target.broker.as_str()), ("Orders", "broker-0"));
        let out: i64 = target.timestamp.parse::<i64>().unwrap() - 1;
        assert!(out % 1000 == 0 && (out - now - i64::from(seconds) * 1000).abs() <= 2000, "{out} {now}");
        let waited = one_arrives(&cluster, began).await;
        // The wall clock of an absolute time goes on while the test runs.
        assert!(waited.abs_diff(seconds * SECOND) < 10 * SECOND, "{waited:?} of {seconds}");
        let message = &cluster.messages("Orders")[0];
        assert_eq!(message.property("TIMER_OUT_MS"), Some(out.to_string().as_str()));
        assert_eq!(message.property("TIMER_DELIVER_MS"), Some(deliver.as_str()));
        assert!(message.property("TIMER_ENQUEUE_MS").is_some() && message.property("TIMER_DEQUEUE_MS").is_some());
        let sent_on = send(&mut client, "two", &[("TIMER_OUT_MS", "1"), ("TIMER_DELAY_SEC", "20")]).await;
        assert_eq!((sent_on.recall_handle, cluster.messages("Orders").len()), (None, 2), "delivered at once");
        let late = send(&mut client, "three", &[("TIMER_DELIVER_MS", "1700000000000")]).await;
        assert_eq!((late.recall_handle, cluster.messages("Orders").len()), (None, 3));
    }
}

/// Measured on 5.5.0: the answer names the place among the waiting messages of a level, or of timers.
#[tokio::test]
async fn offsets_of_delayed_messages_are_those_of_where_they_wait() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let mut offsets = Vec::new();
    for (name, value) in [("DELAY", "18"), ("DELAY", "99"), ("DELAY", "1"), ("TIMER_DELAY_SEC", "9"), ("A", "b")] {
        offsets.push(send(&mut client, value, &[(name, value)]).await.queue_offset);
    }
    assert_eq!(offsets, [0, 1, 0, 0, 0]);
    assert_eq!(cluster.messages("Orders").len(), 1);
}

/// PRO-RCL-01, §12.1.
#[tokio::test]
async fn a_timer_message_that_is_taken_back_never_arrives() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    let sent = send(&mut client, "never", &[("TIMER_DELAY_SEC", "60")]).await;
    send(&mut client, "later", &[("TIMER_DELAY_SEC", "60")]).await;
    let recall = |handle: &str| RecallMessage::new(handle, "Orders");
    let right = sent.recall_handle.as_deref().unwrap().to_owned();
    assert_eq!(client.call(&recall(&right)).await.unwrap().message_id, "KEY-never");
    assert_eq!(client.call(&recall(&right)).await.unwrap().message_id, "KEY-never", "also when it is not there");
    cluster.advance(61 * SECOND);
    let arrived = cluster.messages("Orders");
    assert_eq!(arrived.iter().map(|message| &message.body()[..]).collect::<Vec<_>>(), [b"later"]);
    assert_eq!(cluster.requests(Call::Recall), 2);
}

/// §12.1.
#[tokio::test]
async fn recalls_that_make_no_sense_are_refused_as_by_a_real_broker() {
    let cluster = TestCluster::builder().in_memory().topic("Orders", 2).topic("Others", 1).start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    let right = handle(&send(&mut client, "one", &[("TIMER_DELAY_SEC", "60")]).await);
    let past = RecallTarget { timestamp: "1700000000000".to_owned(), ..right.clone() };
    let text = RecallTarget { timestamp: "soon".to_owned(), ..right.clone() };
    let elsewhere = RecallTarget { broker: "broker-9".into(), ..right.clone() };
    for (topic, handle, code, why) in [
        ("Orders", "bm9uZQ".to_owned(), ResponseCode::ILLEGAL_OPERATION, "recall handle is invalid"),
        ("Others", right.write(), ResponseCode::ILLEGAL_OPERATION, "topic not match"),
        ("Orders", elsewhere.write(), ResponseCode::ILLEGAL_OPERATION, "broker service not available"),
        ("Orders", past.write(), ResponseCode::ILLEGAL_OPERATION, "timestamp invalid"),
        ("Orders", text.write(), ResponseCode::ILLEGAL_OPERATION, "timestamp invalid"),
        ("Nope", right.write(), ResponseCode::TOPIC_NOT_EXIST, "not exist"),
    ] {
        let answer = client.answer(&RecallMessage::new(handle, topic)).await.unwrap();
        assert_eq!(answer.response_code(), code, "{why}");
        assert!(answer.remark().unwrap_or_default().contains(why), "{answer:?}");
        assert_eq!(answer.fields().find("MSG_REGION").unwrap().as_deref(), Some("DefaultRegion"));
    }
    let strict = TestCluster::builder().in_memory().topic("Orders", 2).recall_messages(false).start().await.unwrap();
    let mut client = Client::to_broker(&strict).await;
    let forbidden = client.call(&RecallMessage::new(right.write(), "Orders")).await;
    assert_eq!(forbidden, Err(ResponseCode::NO_PERMISSION));
}
