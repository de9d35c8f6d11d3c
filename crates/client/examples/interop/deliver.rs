//! A member of a group that lives until its input ends, for tools that look at it from outside.

use std::io::Read;

use anyhow::{Context, Result, bail};
use ferrocket::{Client, ConsumeFrom, Outcome, ReceivedMessage};
use serde_json::json;
use tokio::sync::oneshot;

use crate::message::line_of_received;

/// Prints its client's id, and a line for every delivery.
pub(crate) async fn deliver(name_server: &str, topic: &str, group: &str, kind: &str) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let member = client.push_consumer(group).subscribe(topic, "*").consume_from(ConsumeFrom::Earliest);
    let topic = topic.to_owned();
    let listener = move |message: ReceivedMessage| std::future::ready(outcome(&topic, &message));
    let consumer = match kind {
        "concurrent" => member.concurrent(listener).build().await?,
        "orderly" => member.orderly(listener).build().await?,
        other => bail!("unknown kind {other:?}"),
    };
    println!("{}", json!({ "client": client.client_id() }));
    end_of_input().await?;
    consumer.shutdown().await?;
    client.shutdown().await?;
    Ok(())
}

/// Messages of another topic come only when a tool has them consumed directly.
fn outcome(topic: &str, message: &ReceivedMessage) -> Outcome {
    let mut line = line_of_received(message);
    line["topic"] = json!(message.topic().as_str());
    println!("{line}");
    let index = line["index"].as_u64().unwrap_or_default();
    match index % 3 {
        1 if message.topic().as_str() != topic => Outcome::retry("this one comes later"),
        2 if message.topic().as_str() != topic => panic!("this one panics"),
        _ => Outcome::consumed(),
    }
}

/// Tokio's own standard input would keep the program from ending.
pub(crate) async fn end_of_input() -> Result<()> {
    let (sender, ended) = oneshot::channel();
    std::thread::spawn(move || {
        // Whatever ends it.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    ended.await.context("the thread at the input panicked")
}
