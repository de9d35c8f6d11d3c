//! Produces and consumes N messages, and says how it went: on the embedded broker, or on a real one.
//!
//! `cargo run --release --example quickstart -- [--messages N] [--name-server HOST:PORT]`

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use comfy_table::Table;
use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage};
use ferrocket_testkit::TestCluster;
use futures::{StreamExt, stream};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

#[derive(Parser)]
#[command(about = "Produces and consumes messages through Apache RocketMQ, or through the embedded broker")]
struct Arguments {
    /// How many messages.
    #[arg(long, default_value_t = 10_000)]
    messages: usize,
    /// A name server; without one, and without FERROCKET_NAME_SERVER, the embedded broker is used.
    #[arg(long, env = "FERROCKET_NAME_SERVER")]
    name_server: Option<String>,
    /// How many sends are in flight.
    #[arg(long, default_value_t = 256)]
    window: usize,
    /// How many bytes a body has.
    #[arg(long, default_value_t = 1024)]
    body: usize,
}

#[derive(Default)]
struct Received {
    counts: HashMap<usize, u32>,
    last: Option<Instant>,
}

#[tokio::main]
#[allow(clippy::disallowed_methods, reason = "this measures the real time")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let cluster = match &arguments.name_server {
        Some(_) => None,
        None => Some(TestCluster::builder().topic("Quickstart", 4).start().await?),
    };
    let embedded = cluster.as_ref().map(TestCluster::name_servers);
    let address = arguments.name_server.clone().or(embedded).unwrap_or_default();
    let place = if cluster.is_some() { "the embedded broker" } else { "a real name server" };
    println!("{} messages of {} bytes through {place} at {address}", arguments.messages, arguments.body);

    let client = Client::connect(address.as_str()).await?;
    let producer = client.producer("quickstart-producer").max_in_flight(arguments.window.max(1)).build().await?;
    // A topic and a group of our own, so that runs on one broker do not meet.
    let run = format!("{:x}", std::process::id());
    let topic = if cluster.is_some() { "Quickstart".to_owned() } else { format!("Quickstart-{run}") };
    // The first message creates the topic, where brokers do that; it is not counted.
    producer.send(Message::new(topic.as_str(), "warm-up").with_tag("warm-up")).timeout(Duration::from_secs(10)).await?;

    let received = Arc::new(Mutex::new(Received::default()));
    let progress = ProgressBar::new(arguments.messages as u64 * 2);
    progress.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} sent + received, {per_sec}, {elapsed}")?);
    let consumer = client
        .push_consumer(format!("quickstart-{run}"))
        .subscribe(topic.as_str(), "counted")
        .consume_from(ConsumeFrom::Earliest)
        .concurrent_batch(32, {
            let (received, progress) = (received.clone(), progress.clone());
            move |batch: Vec<ReceivedMessage>| {
                let mut received = received.lock();
                for message in &batch {
                    let number = message.keys().next().and_then(|key| key.parse().ok()).unwrap_or(usize::MAX);
                    *received.counts.entry(number).or_default() += 1;
                }
                received.last = Some(Instant::now());
                progress.inc(batch.len() as u64);
                std::future::ready(())
            }
        })
        .build()
        .await?;

    let mut latencies = Histogram::<u64>::new(3)?;
    let body = bytes::Bytes::from(vec![b'x'; arguments.body.max(1)]);
    let began = Instant::now();
    let (producer, topic) = (&producer, topic.as_str());
    let sends = stream::iter(0..arguments.messages).map(|number| {
        let message = Message::new(topic, body.clone()).with_tag("counted").with_key(number);
        async move {
            let sent = Instant::now();
            (producer.send(message).timeout(Duration::from_secs(10)).await, sent.elapsed())
        }
    });
    let mut sends = sends.buffer_unordered(arguments.window.max(1));
    let (mut sent, mut failed) = (0usize, 0usize);
    while let Some((result, took)) = sends.next().await {
        match result {
            Ok(_) => sent += 1,
            Err(error) => {
                failed += 1;
                progress.println(error.to_string());
            }
        }
        latencies.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)).ok();
        progress.inc(1);
    }
    let sending = began.elapsed();

    // Until all is here, or nothing has come for ten seconds.
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        let (distinct, last) = {
            let received = received.lock();
            (received.counts.len(), received.last)
        };
        if distinct >= sent || last.unwrap_or(began).max(began + sending).elapsed() > Duration::from_secs(10) {
            break;
        }
    }
    progress.finish_and_clear();
    consumer.shutdown().await?;
    client.shutdown().await?;

    let received = received.lock();
    let distinct = received.counts.len();
    let duplicates: u32 = received.counts.values().map(|count| count - 1).sum();
    let receiving = received.last.map_or(Duration::ZERO, |last| last - began);
    let lost = sent.saturating_sub(distinct);
    let rate = |count: usize, time: Duration| format!("{:.0}/s", count as f64 / time.as_secs_f64().max(1e-9));
    let micros = |quantile: f64| format!("{:.3} ms", latencies.value_at_quantile(quantile) as f64 / 1000.0);
    let mut table = Table::new();
    table.set_header(["", "count", "rate"]);
    table.add_row(["sent".to_owned(), sent.to_string(), rate(sent, sending)]);
    table.add_row(["received".to_owned(), distinct.to_string(), rate(distinct, receiving)]);
    table.add_row(["send p50".to_owned(), micros(0.5), String::new()]);
    table.add_row(["send p99".to_owned(), micros(0.99), String::new()]);
    table.add_row(["send p99.9".to_owned(), micros(0.999), String::new()]);
    table.add_row(["not sent".to_owned(), failed.to_string(), String::new()]);
    table.add_row(["lost".to_owned(), lost.to_string(), String::new()]);
    table.add_row(["duplicates".to_owned(), duplicates.to_string(), String::new()]);
    println!("{table}");
    if lost > 0 || failed > 0 { Err("messages were lost or not sent".into()) } else { Ok(()) }
}
