//! Our side of `cargo xtask interop`: sends and receives the messages that xtask/interop/README.md describes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage, producer::Compression};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |index: usize| {
        arguments.get(index).map(String::as_str).context("too few arguments; see xtask/interop/README.md")
    };
    match text(0)? {
        "produce" => produce(text(1)?, text(2)?, text(3)?.parse()?, arguments.get(4..).unwrap_or_default()).await,
        "consume" => consume(text(1)?, text(2)?, text(3)?, text(4)?.parse()?, text(5)?.parse()?).await,
        other => bail!("{other:?} is neither produce nor consume"),
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
    for index in 0..count {
        let spec = specs.get(index / 6 % specs.len().max(1)).context("no spec")?;
        let (message, body) = message(topic, index);
        // A timer counts in whole seconds, and may be up to one early.
        let (message, least_wait_ms) = match spec.as_str() {
            "delay" => (message.with_delay_level(1), Some(1_000)),
            "timer" => (message.deliver_after(Duration::from_secs(3)), Some(2_000)),
            _ => (message, None),
        };
        let compressed = ["zlib", "lz4", "zstd"].contains(&spec.as_str()) && body.len() >= 4096 && index % 6 != 5;
        let line_message = message.clone();
        let receipt = producers[spec.as_str()].send(message).timeout(Duration::from_secs(10)).await?;
        let kind = if compressed { spec.as_str() } else { "none" };
        let mut line = line(
            receipt.message_id().as_str(),
            line_message.tag(),
            line_message.keys(),
            line_message.properties(),
            &body,
        );
        line["compression"] = json!(kind);
        line["least_wait_ms"] = json!(least_wait_ms);
        println!("{line}");
    }
    client.shutdown().await?;
    Ok(())
}

fn message(topic: &str, index: usize) -> (Message, Vec<u8>) {
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
    let mut message = Message::new(topic, body.clone()).with_property("index", index);
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
    (message, body)
}

async fn consume(name_server: &str, topic: &str, group: &str, count: usize, seconds: u64) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let consumer = client
        .push_consumer(group)
        .subscribe(topic, "*")
        .consume_from(ConsumeFrom::Earliest)
        .concurrent({
            let seen = seen.clone();
            move |message: ReceivedMessage| {
                let mut line =
                    line(message.id().as_str(), message.tag(), message.keys(), message.properties(), message.body());
                let waited = message.stored_at().duration_since(message.born_at()).unwrap_or_default();
                line["waited_ms"] = json!(waited.as_millis() as u64);
                let new = seen.lock().insert(message.id().to_string(), ()).is_none();
                if new {
                    println!("{line}");
                }
                std::future::ready(())
            }
        })
        .build()
        .await?;
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while seen.lock().len() < count {
            tick.tick().await;
        }
    };
    let complete = tokio::time::timeout(Duration::from_secs(seconds), waiting).await.is_ok();
    consumer.shutdown().await?;
    client.shutdown().await?;
    if !complete {
        std::process::exit(3);
    }
    Ok(())
}

fn line<'a>(
    id: &str,
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
