//! Message trace: written by our producers, and read from where others wrote it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use ferrocket::{Client, Message, MessageTrace, ReceivedMessage, TransactionState, producer::Compression};
use ferrocket_trace::{TraceKind, TraceRecord};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{LIMIT, finish, is_committed, message::message, own_group, receive, until};

const GROUP: &str = "interop-trace";

/// Sends with message trace on, and prints the records that are to be found afterwards.
pub(crate) async fn write(
    name_server: &str,
    topic: &str,
    trace_topic: &str,
    count: usize,
    seconds: u64,
    specs: &[String],
) -> Result<()> {
    let trace = MessageTrace::default().topic(trace_topic);
    let client = Client::builder().name_servers(name_server).message_trace(trace).connect().await?;
    let producer = client.producer(GROUP).compression(Compression::off()).build().await?;
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let checker = {
        let asked = asked.clone();
        move |half: ReceivedMessage| {
            let index: usize = half.property("index").and_then(|index| index.parse().ok()).unwrap_or_default();
            asked.lock().insert(index);
            std::future::ready(decided(index))
        }
    };
    let group = client.transaction_producer(own_group(topic), checker);
    let transactions = group.compression(Compression::off()).build().await?;
    let mut open = BTreeSet::new();
    for first in (0..count).step_by(6) {
        let spec = specs.get(first / 6 % specs.len().max(1)).context("no spec")?;
        let indexes = first..count.min(first + 6);
        let mut messages: Vec<_> = indexes.clone().map(|index| message(topic, index)).collect();
        if spec == "batch" {
            let receipts = producer.send_batch(messages.clone()).timeout(LIMIT).await?;
            for (message, receipt) in messages.iter().zip(receipts) {
                println!("{}", sent(message, topic, GROUP, receipt.message_id().as_str(), "normal"));
            }
            continue;
        }
        for (index, message) in indexes.zip(messages.drain(..)) {
            match spec.as_str() {
                "none" => {
                    let receipt = producer.send(message.clone()).timeout(LIMIT).await?;
                    println!("{}", sent(&message, topic, GROUP, receipt.message_id().as_str(), "normal"));
                }
                "delay" => {
                    let receipt = producer.send(message.clone().with_delay_level(1)).timeout(LIMIT).await?;
                    println!("{}", sent(&message, topic, GROUP, receipt.message_id().as_str(), "delay"));
                }
                "transaction" => {
                    let transaction = transactions.begin(message.clone()).timeout(LIMIT).await?;
                    let id = transaction.message_id().to_string();
                    println!("{}", sent(&message, topic, &own_group(topic), &id, "half"));
                    let ended = |state, from_check| ended(&message, topic, &own_group(topic), &id, state, from_check);
                    // As in the other transactions; of those that are left open one says so, and one just goes.
                    match index % 6 {
                        2 => {
                            println!("{}", ended(TransactionState::Unknown, false));
                            transaction.end(TransactionState::Unknown).await?;
                        }
                        5 => drop(transaction),
                        _ => transaction.end(decided(index)).await?,
                    }
                    let is_open = index % 3 == 2;
                    println!("{}", ended(decided(index), is_open));
                    if is_open {
                        open.insert(index);
                    }
                }
                other => bail!("unknown spec {other:?}"),
            }
        }
    }
    let complete = until(seconds, || asked.lock().is_superset(&open)).await;
    // Records on their way are stored before the client ends.
    client.shutdown().await?;
    finish(complete)
}

/// What becomes of the transaction of this index, whoever decides it.
fn decided(index: usize) -> TransactionState {
    if is_committed(index) { TransactionState::Commit } else { TransactionState::Rollback }
}

fn sent(message: &Message, topic: &str, group: &str, id: &str, kind: &str) -> Value {
    let mut line = line("Pub", id, topic, group, kind);
    put_marks(&mut line, message.tag(), message.keys());
    line["length"] = json!(message.body().len());
    line["success"] = json!(true);
    line
}

fn ended(message: &Message, topic: &str, group: &str, id: &str, state: TransactionState, from_check: bool) -> Value {
    let mut line = line("EndTransaction", id, topic, group, "commit");
    put_marks(&mut line, message.tag(), message.keys());
    put_end(&mut line, state, from_check, Some(id));
    line
}

/// Prints the records about messages of `topic`, in the order of the trace topic: of two records of one end the first.
pub(crate) async fn read(
    name_server: &str,
    topic: &str,
    trace_topic: &str,
    group: &str,
    count: usize,
    seconds: u64,
) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let describing = async |message: &ReceivedMessage| -> Result<Vec<(String, Value)>> {
        let text = std::str::from_utf8(message.body()).context("records are text")?;
        let described = TraceRecord::read_all(text).into_iter().filter_map(|record| described(&record, topic, message));
        Ok(described.map(|line| (format!("{} {} {}", line["record"], line["id"], line["state"]), line)).collect())
    };
    let complete = receive(&client, trace_topic, group, count, seconds, describing).await?;
    client.shutdown().await?;
    finish(complete)
}

fn described(record: &TraceRecord, of: &str, carrier: &ReceivedMessage) -> Option<Value> {
    let (mut line, time_ms, region, store_host) = match record {
        TraceRecord::Pub(record) if record.topic == of => {
            let mut line = line("Pub", &record.message_id, of, &record.group, kind(record.kind));
            put_marks(&mut line, record.tag.as_deref(), words(record.keys.as_deref()));
            line["length"] = json!(record.body_bytes);
            line["success"] = json!(record.success);
            (line, record.time_ms, &record.region, &record.store_host)
        }
        TraceRecord::EndTransaction(record) if record.topic == of => {
            // The record has its kind by what it is.
            let mut line = line("EndTransaction", &record.message_id, of, &record.group, "commit");
            put_marks(&mut line, record.tag.as_deref(), words(record.keys.as_deref()));
            put_end(&mut line, record.state, record.from_check, record.transaction_id.as_deref());
            (line, record.time_ms, &record.region, &record.store_host)
        }
        _ => return None,
    };
    let id = line["id"].as_str().unwrap_or_default();
    let is_keyed = carrier.keys().any(|key| key == id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let recent = Duration::from_secs(600).as_millis() as u64;
    line["keyed"] = json!(is_keyed);
    line["recent"] = json!(time_ms.abs_diff(now.as_millis() as i64) < recent);
    line["region"] = json!(region);
    line["store_host"] = json!(store_host);
    Some(line)
}

fn line(record: &str, id: &str, topic: &str, group: &str, kind: &str) -> Value {
    json!({"record": record, "id": id, "topic": topic, "group": group, "kind": kind, "region": "DefaultRegion",
        "keyed": true, "recent": true})
}

fn put_marks<'a>(line: &mut Value, tag: Option<&str>, keys: impl Iterator<Item = &'a str>) {
    line["tag"] = json!(tag);
    line["keys"] = json!(keys.collect::<Vec<_>>());
}

fn put_end(line: &mut Value, state: TransactionState, from_check: bool, transaction: Option<&str>) {
    line["state"] = json!(match state {
        TransactionState::Commit => "commit",
        TransactionState::Rollback => "rollback",
        TransactionState::Unknown => "unknown",
    });
    line["from_check"] = json!(from_check);
    line["transaction"] = json!(transaction);
}

fn words(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(str::split_whitespace)
}

fn kind(kind: TraceKind) -> &'static str {
    match kind {
        TraceKind::Normal => "normal",
        TraceKind::Half => "half",
        TraceKind::Commit => "commit",
        TraceKind::Delay => "delay",
        TraceKind::Order => "order",
    }
}
