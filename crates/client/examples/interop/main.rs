//! Our side of `cargo xtask interop`: sends and receives the messages that xtask/interop/README.md describes.

mod deliver;
mod message;
mod sharing;
mod trace;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ferrocket::{Client, ConsumeFrom, ReceivedMessage, TransactionState, producer::Compression};
use message::{line_of, line_of_received, message, put_reply};
use parking_lot::Mutex;
use serde_json::{Value, json};

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
        "deliver" => deliver::deliver(text(1)?, text(2)?, text(3)?, text(4)?).await,
        "flow" => sharing::flow(text(1)?, text(2)?, text(3)?.parse()?).await,
        "share" => sharing::share(text(1)?, text(2)?, text(3)?, text(4)?, text(5)?.parse()?).await,
        "trace" => {
            let specs = arguments.get(6..).unwrap_or_default();
            trace::write(text(1)?, text(2)?, text(3)?, text(4)?.parse()?, text(5)?.parse()?, specs).await
        }
        "read-trace" => trace::read(text(1)?, text(2)?, text(3)?, text(4)?, text(5)?.parse()?, text(6)?.parse()?).await,
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
    let replying = async |message: &ReceivedMessage| -> Result<Lines> {
        let body: Vec<u8> = message.body().iter().rev().copied().collect();
        let mut line = line_of_received(message);
        put_reply(&mut line, &body);
        producer.send(message.reply(body)?).timeout(LIMIT).await?;
        Ok(vec![(message.id().to_string(), line)])
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

/// Brokers ask any producer of a group, also about messages of one that is gone: every topic has a group of its own.
fn own_group(topic: &str) -> String {
    format!("{topic}-producer")
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
    let group = client.transaction_producer(own_group(topic), checker);
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

async fn consume(name_server: &str, topic: &str, group: &str, count: usize, seconds: u64) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let describing = async |message: &ReceivedMessage| -> Result<Lines> {
        let mut line = line_of_received(message);
        let waited = message.stored_at().duration_since(message.born_at()).unwrap_or_default();
        line["waited_ms"] = json!(waited.as_millis() as u64);
        Ok(vec![(message.id().to_string(), line)])
    };
    let complete = receive(&client, topic, group, count, seconds, describing).await?;
    client.shutdown().await?;
    finish(complete)
}

/// Lines, each with what makes it distinct.
type Lines = Vec<(String, Value)>;

/// Takes one message after the other and prints its lines, each distinct one once, until there are enough. Says whether they came
/// in time.
async fn receive(
    client: &Client,
    topic: &str,
    group: &str,
    count: usize,
    seconds: u64,
    mut describe: impl AsyncFnMut(&ReceivedMessage) -> Result<Lines>,
) -> Result<bool> {
    let (sender, mut inbox) = tokio::sync::mpsc::channel(1);
    let consumer = client
        .push_consumer(group)
        .subscribe(topic, "*")
        .consume_from(ConsumeFrom::Earliest)
        // In the order of a topic with one queue, as the trace topic is.
        .concurrency(1)
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
            for (distinct, line) in describe(&message).await? {
                if seen.insert(distinct) {
                    println!("{line}");
                }
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
