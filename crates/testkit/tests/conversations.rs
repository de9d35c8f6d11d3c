//! Requests in order, each answered as a real 5.5.0 broker answered it at that point.

mod client;

use std::collections::{HashMap, hash_map::Entry};

use client::{Client, send_request};
use ferrocket_model::MessageQueue;
use ferrocket_protocol::{Command, message::StoredMessages};
use ferrocket_testkit::TestCluster;
use serde_json::Value;

/// Topics of three messages, as the recording's.
async fn filled(topics: &Value, sql: bool) -> TestCluster {
    let cluster = TestCluster::builder().in_memory().property_filter(sql).start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    for topic in topics.as_array().unwrap().iter().map(|topic| topic.as_str().unwrap()) {
        cluster.create_topic(topic, 1);
        for (number, tag) in ["TagA", "TagB", "TagA"].iter().enumerate() {
            let properties = format!("a\u{1}{number}\u{2}TAGS\u{1}{tag}\u{2}");
            client.call(&send_request(topic, 0, &properties, &format!("{topic}{number}"))).await.unwrap();
        }
    }
    cluster
}

/// What differs from the recorded answer.
fn difference(wanted: &Value, got: Command) -> Option<String> {
    if wanted["code"].as_i64() != Some(i64::from(got.code)) {
        return Some(format!("{} was wanted, not {got:?}", wanted["code"]));
    }
    if let Some(remark) = wanted["remark"].as_str() {
        let said = got.remark().unwrap_or_default();
        if said.lines().next() != Some(remark) {
            return Some(format!("{remark:?} was wanted, not {said:?}"));
        }
    }
    for (name, value) in wanted["fields"].as_object().into_iter().flatten() {
        let field = got.fields().find(name).unwrap();
        if field.as_deref() != value.as_str() {
            return Some(format!("{name}: {value} was wanted, not {field:?}"));
        }
    }
    if let Some(offsets) = wanted["offsets"].as_array() {
        let body = got.into_body();
        let got = StoredMessages::new(&body).map(|message| message.unwrap().queue_offset);
        let got: Vec<_> = got.map(Value::from).collect();
        return (got != *offsets).then(|| format!("the messages {offsets:?} were wanted, not {got:?}"));
    }
    None
}

/// §12.5, §12.6, CON-SUB-10, CON-PULL-23.
#[tokio::test(start_paused = true)]
async fn conversations_go_as_they_went_with_a_real_broker() {
    let recording: Value = serde_json::from_str(include_str!("vectors/conversations.json")).unwrap();
    let (mut wrong, mut steps) = (Vec::new(), 0);
    for scene in recording["scenes"].as_array().unwrap() {
        let (name, topics) = (scene["name"].as_str().unwrap(), &scene["topics"]);
        let cluster = filled(topics, name != "no property filter").await;
        let mut clients = HashMap::new();
        for step in scene["steps"].as_array().unwrap() {
            if let Some(offset) = step["reset"].as_u64() {
                let queue = MessageQueue::new(topics[0].as_str().unwrap(), "broker-0", 0);
                cluster.reset_offset("ResetGroup", &queue, offset);
                continue;
            }
            let client = match clients.entry(step["connection"].as_u64()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Client::to_broker(&cluster).await),
            };
            let got =
                client.ask_by_hand(&step["code"], &step["fields"], step["body"].as_str().unwrap_or_default()).await;
            let problem = difference(&step["answer"], got);
            wrong.extend(problem.map(|problem| format!("{name}, {}: {problem}", step["name"])));
            steps += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(steps > 90, "only {steps} steps");
}
