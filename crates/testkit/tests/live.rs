//! Requests that a real 5.5.0 name server and broker answered are answered alike here.

mod client;

use std::{collections::BTreeSet, time::Duration};

use client::Client;
use ferrocket_testkit::TestCluster;
use serde_json::Value;

/// Requests that this crate does not know, servers that were set up in another way, and a queue chosen at random; by the
/// beginning of the name.
const NOT_HERE: [&str; 28] = [
    "topic list",
    "topics of the cluster",
    "KV ",
    "name server: length shorter than 12",
    "name server: empty JSON header",
    "earliest store time",
    "heartbeat with null sets",
    "query assignment",
    "pop",
    "ordered pop",
    "ack ",
    "change invisible time",
    "batch ack",
    "peek",
    "notification",
    "polling info",
    "consumer running info",
    "consumer connections",
    "producer connections",
    "topic configuration",
    "subscription group configuration",
    "topic statistics",
    "consume statistics",
    "reset offset",
    "send back to an unknown group",
    "route VecStatic",
    "route, zone mode",
    "send, negative queue id",
];
/// Ext fields that no client needs.
const NOT_WRITTEN: [&str; 2] = ["groupSysFlag", "topicSysFlag"];

#[tokio::test(start_paused = true)]
async fn requests_are_answered_in_kind_as_a_real_server_answered_them() {
    let live: Value = serde_json::from_str(include_str!("vectors/live.json")).unwrap();
    let builder = TestCluster::builder().in_memory().topic("VecPlain", 2).topic("VecOrder", 2).topic("VecBatch", 1);
    let cluster = builder.start().await.unwrap();
    let (mut replayed, mut wrong) = (0, Vec::new());
    for case in live["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let Some(frame) = case["in"]["frame"].as_str() else { continue };
        if NOT_HERE.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        let address = match case["to"].as_str().unwrap() {
            "name server" => cluster.name_servers(),
            _ => cluster.broker("broker-0").address(),
        };
        let mut client = Client::to(&cluster, &address).await;
        client.write_raw(&hex::decode(frame).unwrap()).await;
        let problem = check(&mut client, &case["out"]).await;
        wrong.extend(problem.map(|problem| format!("{name}: {problem}")));
        replayed += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(replayed >= 68, "only {replayed} cases");
}

async fn check(client: &mut Client, wanted: &Value) -> Option<String> {
    let answer = tokio::time::timeout(Duration::from_secs(1), answer(client)).await;
    match (wanted["connection"].as_str(), answer) {
        (Some("no answer"), Err(_)) | (Some("closed"), Ok(None)) => None,
        (Some(wanted), got) => Some(format!("{wanted} was wanted, not {got:?}")),
        (None, Ok(Some(got))) => {
            let fields: BTreeSet<_> = got.fields().map(|field| field.unwrap().0.into_owned()).collect();
            let lacks = wanted["extFields"].as_object().into_iter().flat_map(|fields| fields.keys());
            let lacks: Vec<_> = lacks.filter(|name| !fields.contains(*name)).collect();
            let lacks: Vec<_> = lacks.into_iter().filter(|name| !NOT_WRITTEN.contains(&name.as_str())).collect();
            let same = wanted["code"].as_i64() == Some(i64::from(got.code));
            (!same || !lacks.is_empty()).then(|| format!("{got:?} lacks {lacks:?}; wanted {}", wanted["code"]))
        }
        (None, got) => Some(format!("an answer was wanted, not {got:?}")),
    }
}

async fn answer(client: &mut Client) -> Option<ferrocket_protocol::Command> {
    loop {
        let command = client.read().await?;
        if command.is_response() {
            return Some(command);
        }
    }
}
