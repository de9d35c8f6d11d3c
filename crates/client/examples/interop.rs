//! Our side of `cargo xtask interop`: sends and receives the messages that xtask/interop/README.md describes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage, TransactionState, producer::Compression};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// For one send.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |index: usize| {
        arguments.get(index).map(String::as_str).context("too few arguments; see xtask/interop/README.md")
    };
    match text(0)? {
        "produce" => produce(text(1)?, text(2)?, text(3)?.parse()?, arguments.get(4..).unwrap_or_default()).await,
        "consume" => consume(text(1)?, text(2)?, text(3)?, text(4)?.parse()?, text(5)?.parse()?).await,
        "request" => request(text(1)?, text(2)?, text(3)?.parse()?).await,
        "reply" => reply(text(1)?, text(2)?, text(3)?, text(4)?.parse()?, text(5)?.parse()?).await,
        "transact" => transact(text(1)?, text(2)?, text(3)?.parse()?, text(4)?.parse()?).await,
        other => bail!("{other:?} is no command; see xtask/interop/README.md"),
    }
}

async fn produce(name_server: &str, topic: &str, count: usize, specs: &[String]) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let mut producers = BTreeMap::new();
    for spec in specs {
        let compression = match spec.as_str() {
            "none" | "batch" | "delay" | "timer" => Compression::off(),
            "zlib" => Compression::zlib(),
            "lz4" => Compression::lz4(),
            "zstd" => Compression::zstd(),
            other => bail!("unknown spec {other:?}"),
        };
        let producer = client.producer(format!("interop-{spec}")).compression(compression).build().await?;
        producers.insert(spec.as_str(), producer);
    }
    for first in (0..count).step_by(6) {
        let spec = specs.get(first / 6 % specs.len().max(1)).context("no spec")?;
        let (mut messages, mut lines) = (Vec::new(), Vec::new());
        for index in first..count.min(first + 6) {
            let message = message(topic, index);
            // A timer counts in whole seconds, and may be up to one early.
            let (message, least_wait_ms) = match spec.as_str() {
                "delay" => (message.with_delay_level(1), Some(1_000)),
                "timer" => (message.deliver_after(Duration::from_secs(3)), Some(2_000)),
                _ => (message, None),
            };
            let compressed =
                ["zlib", "lz4", "zstd"].contains(&spec.as_str()) && message.body().len() >= 4096 && index % 6 != 5;
            let mut line = line_of(&message);
            line["compression"] = json!(if compressed { spec } else { "none" });
            line["least_wait_ms"] = json!(least_wait_ms);
            messages.push(message);
            lines.push(line);
        }
        let producer = &producers[spec.as_str()];
        let mut receipts = Vec::new();
        if spec == "batch" {
            receipts = producer.send_batch(messages).timeout(LIMIT).await?;
        } else {
            for message in messages {
                receipts.push(producer.send(message).timeout(LIMIT).await?);
            }
        }
        for (mut line, receipt) in lines.into_iter().zip(receipts) {
            line["id"] = json!(receipt.message_id().as_str());
            println!("{line}");
        }
    }
    client.shutdown().await?;
    Ok(())
}

async fn request(name_server: &str, topic: &str, count: usize) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let producer = client.producer("interop-request").compression(Compression::off()).build().await?;
    for index in 0..count {
        let message = message(topic, index);
        let mut line = line_of(&message);
        let reply = producer.request(message).timeout(Duration::from_secs(30)).await?;
        put_reply(&mut line, reply.body());
        println!("{line}");
    }
    client.shutdown().await?;
    Ok(())
}

async fn reply(name_server: &str, topic: &str, group: &str, count: usize, seconds: u64) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let producer = client.producer("interop-reply").compression(Compression::off()).build().await?;
    let replying = async |message: &ReceivedMessage| -> Result<Value> {
        let body: Vec<u8> = message.body().iter().rev().copied().collect();
        let mut line = line_of_received(message);
        put_reply(&mut line, &body);
        producer.send(message.reply(body)?).timeout(LIMIT).await?;
        Ok(line)
    };
    let complete = receive(&client, topic, group, count, seconds, replying).await?;
    client.shutdown().await?;
    finish(complete)
}

/// Of six: two are committed at once, two rolled back, one committed and one rolled back when the broker asks. It asks about ended
/// ones too, within seconds of their end.
fn is_committed(index: usize) -> bool {
    index.is_multiple_of(3) || index % 6 == 2
}

async fn transact(name_server: &str, topic: &str, count: usize, seconds: u64) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let checker = {
        let asked = asked.clone();
        move |half: ReceivedMessage| {
            let index: usize = half.property("index").and_then(|index| index.parse().ok()).unwrap_or_default();
            if index % 3 == 2 {
                asked.lock().insert(index);
            }
            std::future::ready(if is_committed(index) { TransactionState::Commit } else { TransactionState::Rollback })
        }
    };
    let group = client.transaction_producer("interop-transact", checker);
    let producer = group.compression(Compression::off()).build().await?;
    for index in 0..count {
        let message = message(topic, index);
        let mut line = line_of(&message);
        let transaction = producer.begin(message).timeout(LIMIT).await?;
        line["id"] = json!(transaction.message_id().as_str());
        match index % 3 {
            0 => transaction.commit().await?,
            1 => transaction.rollback().await?,
            // The checker decides.
            _ => drop(transaction),
        }
        if is_committed(index) {
            println!("{line}");
        }
    }
    let complete = until(seconds, || asked.lock().len() >= count / 3).await;
    // The answers under way are given before the client ends.
    client.shutdown().await?;
    finish(complete)
}

fn message(topic: &str, index: usize) -> Message {
    let body: Vec<u8> = match index % 6 {
        0 => format!("message {index}").into_bytes(),
        1 => format!("größer 世界 🚀 {index}").into_bytes(),
        2 => vec![index as u8],
        3 => (0..256).map(|n| (n + index) as u8).collect(),
        4 => format!("line {index} of a text that compresses well\n").repeat(400).into_bytes(),
        _ => {
            let mut state = index as u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..8192).map(|_| next()).collect()
        }
    };
    let mut message = Message::new(topic, body).with_property("index", index);
    message = match index % 3 {
        1 => message.with_tag("tag-a"),
        2 => message.with_tag("标签"),
        _ => message,
    };
    message = match index % 4 {
        1 => message.with_key(format!("key-{index}")),
        2 => message.with_key(format!("key-{index}-a")).with_key(format!("key-{index}-b")),
        3 => message.with_key(format!("schlüssel-{index}")),
        _ => message,
    };
    if index % 2 == 1 {
        message = message
            .with_property("unicode-名", "naïve ✓ 🚀")
            .with_property("json", "{\"a\":\"b\\\"c\",\"d\":[1,2]}\n\t=;&");
    }
    if index.is_multiple_of(5) {
        message = message.with_property("long", "x".repeat(1000));
    }
    message
}

async fn consume(name_server: &str, topic: &str, group: &str, count: usize, seconds: u64) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let describing = async |message: &ReceivedMessage| -> Result<Value> {
        let mut line = line_of_received(message);
        let waited = message.stored_at().duration_since(message.born_at()).unwrap_or_default();
        line["waited_ms"] = json!(waited.as_millis() as u64);
        Ok(line)
    };
    let complete = receive(&client, topic, group, count, seconds, describing).await?;
    client.shutdown().await?;
    finish(complete)
}

/// Prints a line for each distinct message, until there are enough. Says whether they came in time.
async fn receive(
    client: &Client,
    topic: &str,
    group: &str,
    count: usize,
    seconds: u64,
    mut describe: impl AsyncFnMut(&ReceivedMessage) -> Result<Value>,
) -> Result<bool> {
    let (sender, mut inbox) = tokio::sync::mpsc::channel(1);
    let consumer = client
        .push_consumer(group)
        .subscribe(topic, "*")
        .consume_from(ConsumeFrom::Earliest)
        .concurrent(move |message: ReceivedMessage| {
            let sender = sender.clone();
            async move {
                let (done, handled) = tokio::sync::oneshot::channel();
                // Settled when its line is printed.
                let _ = sender.send((message, done)).await;
                let _ = handled.await;
            }
        })
        .build()
        .await?;
    let mut seen = BTreeSet::new();
    let receiving = async {
        while seen.len() < count {
            let (message, done) = inbox.recv().await.context("the consumer ended")?;
            if seen.insert(message.id().to_string()) {
                println!("{}", describe(&message).await?);
            }
            let _ = done.send(());
        }
        anyhow::Ok(())
    };
    let complete = match tokio::time::timeout(Duration::from_secs(seconds), receiving).await {
        Ok(received) => received.map(|()| true)?,
        Err(_) => false,
    };
    drop(inbox);
    consumer.shutdown().await?;
    Ok(complete)
}

/// Waits for a condition, and says whether it came in time.
async fn until(seconds: u64, holds: impl Fn() -> bool) -> bool {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !holds() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(seconds), waiting).await.is_ok()
}

fn finish(complete: bool) -> Result<()> {
    if !complete {
        std::process::exit(3);
    }
    Ok(())
}

fn line_of(message: &Message) -> Value {
    line(None, message.tag(), message.keys(), message.properties(), message.body())
}

fn line_of_received(message: &ReceivedMessage) -> Value {
    let id = Some(message.id().as_str());
    line(id, message.tag(), message.keys(), message.properties(), message.body())
}

fn put_reply(line: &mut Value, body: &[u8]) {
    line["reply_length"] = json!(body.len());
    line["reply_sha256"] = json!(hex::encode(Sha256::digest(body)));
}

fn line<'a>(
    id: Option<&str>,
    tag: Option<&str>,
    keys: impl Iterator<Item = &'a str>,
    properties: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
) -> Value {
    const USERS: [&str; 4] = ["index", "unicode-名", "json", "long"];
    let properties: BTreeMap<_, _> = properties.filter(|(name, _)| USERS.contains(name)).collect();
    let index: usize = properties.get("index").and_then(|index| index.parse().ok()).unwrap_or(usize::MAX);
    json!({
        "index": index,
        "id": id,
        "tag": tag,
        "keys": keys.collect::<Vec<_>>(),
        "properties": properties,
        "length": body.len(),
        "sha256": hex::encode(Sha256::digest(body)),
    })
}
