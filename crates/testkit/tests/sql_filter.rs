//! Filters by SQL pass what a real 5.5.0 broker passed.

mod client;

use client::{Client, bodies, pull_request, send_request};
use ferrocket_model::Filter;
use ferrocket_protocol::{
    ResponseCode,
    body::{CheckClientData, SubscriptionData},
    request::{CheckClient, Pull, PullFlags},
};
use ferrocket_testkit::TestCluster;
use serde_json::Value;

fn recording() -> Value {
    serde_json::from_str(include_str!("vectors/sql.json")).expect("JSON")
}

/// A topic with the messages of the recording; the body of each is its number.
async fn filled(recording: &Value) -> (TestCluster, Client) {
    let cluster = TestCluster::builder().in_memory().topic("Orders", 1).start().await.unwrap();
    let mut client = Client::to_broker(&cluster).await;
    for (number, message) in recording["messages"].as_array().unwrap().iter().enumerate() {
        let pairs = message.as_object().unwrap();
        let properties = pairs.iter().map(|(name, value)| format!("{name}\u{1}{}\u{2}", value.as_str().unwrap()));
        let properties: String = properties.collect();
        client.call(&send_request("Orders", 0, &properties, &number.to_string())).await.unwrap();
    }
    (cluster, client)
}

fn check(expression: &str) -> CheckClient {
    let subscription_data = SubscriptionData::new("Orders", &Filter::sql(expression), 1);
    CheckClient::new(&CheckClientData { subscription_data, ..Default::default() })
}

/// With the expression in the pull itself.
fn sql_pull(expression: &str, offset: u64) -> Pull {
    let Pull(mut header) = pull_request("shop", "Orders", offset);
    header.sys_flag |= PullFlags::SUBSCRIPTION;
    header.expression_type = Some("SQL92".to_owned());
    header.subscription = Some(expression.to_owned());
    Pull(header)
}

async fn passed(client: &mut Client, expression: &str, end: u64) -> Vec<u64> {
    let (mut passed, mut offset) = (Vec::new(), 0);
    while offset < end {
        let answer = client.call(&sql_pull(expression, offset)).await.unwrap();
        assert!(answer.next_offset > offset, "{expression:?} stands still at {offset}");
        assert_eq!(answer.code == ResponseCode::PULL_RETRY_IMMEDIATELY, answer.messages.is_empty());
        offset = answer.next_offset;
        passed.extend(bodies(&answer).iter().map(|body| body.parse::<u64>().unwrap()));
    }
    passed
}

/// CON-SUB-03. What does not compile passes everything when it comes with the pull (§3.8).
#[tokio::test]
async fn expressions_pass_the_messages_that_a_real_broker_passed() {
    let recording = recording();
    let (_cluster, mut client) = filled(&recording).await;
    let end = recording["messages"].as_array().unwrap().len() as u64;
    let (mut wrong, mut compiled) = (Vec::new(), 0);
    for case in recording["cases"].as_array().unwrap() {
        let expression = case["expression"].as_str().unwrap();
        let wanted: Vec<u64> = match case["code"].as_i64() {
            Some(0) => case["passes"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect(),
            _ => (0..end).collect(),
        };
        let verdict = client.answer(&check(expression)).await.unwrap();
        if case["code"] != verdict.code {
            wrong.push(format!("{expression:?} was answered {verdict:?}, not {}", case["code"]));
        }
        assert_eq!(verdict.code == 0, verdict.remark().is_none(), "{expression:?}: {verdict:?}");
        compiled += usize::from(verdict.code == 0);
        // Such a pull is refused; see the conversations.
        if expression.is_empty() {
            continue;
        }
        let got = passed(&mut client, expression, end).await;
        if got != wanted {
            wrong.push(format!("{expression:?} passed {got:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compiled > 230, "only {compiled} compiled");
}
