//! What a client's process does: it connects, warms up, and then measures as often as it is told.
//!
//! Standard input says how long (`MILLISECONDS` a line), standard output answers with a [`Sample`] as JSON. Between two
//! measurements nothing is in flight, so that another process can be measured.

use std::{
    io::{BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use ferrocket::{Client, HeaderFormat, Message, Producer, PushConsumer, ReceivedMessage, Topic};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    cpu, inputs,
    null_echo::{self, Shape},
};

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Messages.
    pub count: u64,
    /// CPU time of the process, user and system.
    pub cpu_ns: u64,
    /// Time on the clock.
    pub wall_ns: u64,
    /// Median latency; 0 when it was not measured.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    #[serde(skip)]
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    begun: Instant,
    cpu: Duration,
    latencies: Histogram<u64>,
}

impl Sample {
    /// From now on.
    pub fn begin() -> Self {
        let latencies = Histogram::new(3).expect("3 digits are possible");
        let open = Open { cpu: cpu::used().unwrap_or_default(), latencies, begun: Instant::now() };
        Self { count: 0, cpu_ns: 0, wall_ns: 0, p50_ns: 0, p99_ns: 0, open: Some(open) }
    }

    /// Something took this long.
    pub fn latency(&mut self, took: Duration) {
        if let Some(open) = &mut self.open {
            let _ = open.latencies.record(took.as_nanos() as u64);
        }
    }

    /// Until now.
    pub fn end(mut self) -> Self {
        if let Some(open) = self.open.take() {
            self.wall_ns = open.begun.elapsed().as_nanos() as u64;
            self.cpu_ns = cpu::used().unwrap_or_default().saturating_sub(open.cpu).as_nanos() as u64;
            self.p50_ns = open.latencies.value_at_quantile(0.5);
            self.p99_ns = open.latencies.value_at_quantile(0.99);
        }
        self
    }

    /// Microseconds of CPU per message.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.count.max(1) as f64
    }

    /// Messages per second.
    pub fn rate(&self) -> f64 {
        self.count as f64 * 1e9 / self.wall_ns.max(1) as f64
    }

    /// Median latency in microseconds.
    pub fn p50_us(&self) -> f64 {
        self.p50_ns as f64 / 1e3
    }
}

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The null echo with the frames of sends.
    Echo,
    /// The null echo with the frames of pulls; counts messages.
    EchoPull,
    /// Sends that wait for their answers.
    Send,
    /// Sends that nobody answers.
    OneWay,
    /// A push consumer with a handler for 32 messages.
    PushBatch,
    /// A push consumer with a handler for one message.
    Push,
}

/// How it is loaded.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What is loaded.
    #[arg(long)]
    pub kind: Kind,
    /// The server's address.
    #[arg(long)]
    pub address: String,
    /// Requests in flight.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    /// Worker threads of the runtime; 1 is a current-thread runtime.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Writes headers in the binary layout.
    #[arg(long)]
    pub binary: bool,
    /// Does this many messages and ends, instead of asking how long. For strace.
    #[arg(long)]
    pub messages: Option<u64>,
}

impl Options {
    fn runtime(&self) -> Result<tokio::runtime::Runtime> {
        let mut builder = match self.workers {
            0 | 1 => tokio::runtime::Builder::new_current_thread(),
            workers => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                builder.worker_threads(workers);
                builder
            }
        };
        builder.enable_all().build().context("a runtime")
    }

    fn format(&self) -> HeaderFormat {
        if self.binary { HeaderFormat::Binary } else { HeaderFormat::Json }
    }
}

/// A client that can be measured.
enum Load {
    Echo(null_echo::Client, u64),
    Sends { producer: Producer, in_flight: usize, one_way: bool, _client: Client },
    Push(Push),
}

/// Runs the process of a client: until its input ends, or for a number of messages.
///
/// # Errors
///
/// When the server cannot be reached.
pub fn run(options: &Options) -> Result<()> {
    let runtime = options.runtime()?;
    let mut load = runtime.block_on(Load::start(options))?;
    if let Some(messages) = options.messages {
        return runtime.block_on(load.exactly(messages));
    }
    // Routes, buffers and the branch predictor.
    runtime.block_on(load.measure(Duration::from_millis(300)))?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "ready")?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        let length = Duration::from_millis(line?.trim().parse().context("milliseconds")?);
        let sample = runtime.block_on(load.measure(length))?;
        writeln!(output, "{}", serde_json::to_string(&sample)?)?;
        output.flush()?;
    }
    Ok(())
}

/// A client of the broker at this address.
///
/// # Errors
///
/// When it does not answer.
pub async fn client(address: &str, format: HeaderFormat) -> Result<Client> {
    Ok(Client::builder().name_servers(address).header_format(format).connect().await?)
}

/// A producer with a window that is never full.
///
/// # Errors
///
/// When it cannot be built.
pub async fn producer(client: &Client) -> Result<Producer> {
    Ok(client.producer("bench-group").max_in_flight(4096).build().await?)
}

/// The message that is sent: 1 KiB, one key, one tag. Cheap to clone.
pub fn message() -> Message {
    Message::new(Topic::from_static(inputs::TOPIC), Bytes::from_static(&[b'x'; 1024]))
        .with_tag("paid")
        .with_key("order-4711")
}

impl Load {
    async fn start(options: &Options) -> Result<Self> {
        let Options { address, in_flight, .. } = options;
        Ok(match options.kind {
            Kind::Echo => Self::Echo(null_echo::Client::connect(address, Shape::SEND, *in_flight).await?, 1),
            Kind::EchoPull => {
                Self::Echo(null_echo::Client::connect(address, Shape::PULL, *in_flight).await?, inputs::BATCH as u64)
            }
            Kind::Send | Kind::OneWay => {
                let client = client(address, options.format()).await?;
                let producer = producer(&client).await?;
                Self::Sends { producer, in_flight: *in_flight, one_way: options.kind == Kind::OneWay, _client: client }
            }
            Kind::Push | Kind::PushBatch => {
                Self::Push(Push::start(address, options.format(), options.kind == Kind::PushBatch).await?)
            }
        })
    }

    async fn measure(&mut self, length: Duration) -> Result<Sample> {
        match self {
            Self::Echo(client, times) => {
                let mut sample = client.run(length).await?;
                sample.count *= *times;
                Ok(sample)
            }
            Self::Sends { producer, in_flight, one_way, .. } => {
                let end = Instant::now() + length;
                senders(producer, *in_flight, *one_way, move |_| Instant::now() < end).await
            }
            Self::Push(push) => push.measure(length).await,
        }
    }

    async fn exactly(&mut self, messages: u64) -> Result<()> {
        match self {
            Self::Sends { producer, in_flight, one_way, .. } => {
                senders(producer, *in_flight, *one_way, move |done| done < messages).await.map(drop)
            }
            _ => bail!("only sends can be counted"),
        }
    }
}

/// This many tasks send one message after the other, as long as `more` says of the count so far.
async fn senders(
    producer: &Producer,
    in_flight: usize,
    one_way: bool,
    more: impl Fn(u64) -> bool + Clone + Send + 'static,
) -> Result<Sample> {
    let mut sample = Sample::begin();
    let (begun, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let tasks: Vec<_> = (0..in_flight)
        .map(|task| {
            let (producer, more, begun, failed) = (producer.clone(), more.clone(), begun.clone(), failed.clone());
            tokio::spawn(async move {
                let message = message();
                // One task looks at the clock for all: it is a sample, and costs little.
                let mut latencies = Vec::new();
                let mut ok = 0_u64;
                while more(begun.fetch_add(1, Ordering::Relaxed)) {
                    let sent = (task == 0).then(Instant::now);
                    let outcome = if one_way {
                        producer.send_oneway(message.clone()).await.map(drop)
                    } else {
                        producer.send(message.clone()).await.map(drop)
                    };
                    if let Err(error) = outcome {
                        if !failed.swap(true, Ordering::Relaxed) {
                            eprintln!("a send failed: {error}");
                        }
                        break;
                    }
                    ok += 1;
                    if let Some(sent) = sent {
                        latencies.push(sent.elapsed());
                    }
                    // One-way sends rarely wait for anything: let the connection's task run.
                    if one_way && ok.is_multiple_of(16) {
                        tokio::task::yield_now().await;
                    }
                }
                (ok, latencies)
            })
        })
        .collect();
    for task in tasks {
        let (ok, latencies) = task.await?;
        sample.count += ok;
        latencies.into_iter().for_each(|latency| sample.latency(latency));
    }
    if failed.load(Ordering::Relaxed) {
        bail!("a send failed");
    }
    Ok(sample.end())
}

/// A push consumer whose handlers count. Between measurements they wait, so that buffers fill and pulling stops.
struct Push {
    counted: Arc<AtomicU64>,
    open: tokio::sync::watch::Sender<bool>,
    _consumer: PushConsumer,
    _client: Client,
}

impl Push {
    async fn start(address: &str, format: HeaderFormat, batches: bool) -> Result<Self> {
        let client = client(address, format).await?;
        let counted = Arc::new(AtomicU64::new(0));
        let (open, gate) = tokio::sync::watch::channel(true);
        let count = {
            let counted = counted.clone();
            move |messages: u64| {
                let (counted, mut gate) = (counted.clone(), gate.clone());
                async move {
                    if !*gate.borrow() {
                        let _ = gate.wait_for(|open| *open).await;
                    }
                    counted.fetch_add(messages, Ordering::Relaxed);
                }
            }
        };
        let consumer = client.push_consumer("bench-consumers").subscribe(inputs::TOPIC, "*");
        let consumer = if batches {
            consumer.concurrent_batch(inputs::BATCH, move |messages: Vec<ReceivedMessage>| count(messages.len() as u64))
        } else {
            consumer.concurrent(move |_: ReceivedMessage| count(1))
        };
        let _consumer = consumer.build().await?;
        let push = Self { counted, open, _consumer, _client: client };
        // The first messages come after the first rebalance.
        for _ in 0..500 {
            if push.counted.load(Ordering::Relaxed) > 0 {
                return Ok(push);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("no message came within 5 s")
    }

    async fn measure(&self, length: Duration) -> Result<Sample> {
        let _ = self.open.send(true);
        // What had been waiting is not what is measured.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut sample = Sample::begin();
        let before = self.counted.load(Ordering::Relaxed);
        tokio::time::sleep(length).await;
        sample.count = self.counted.load(Ordering::Relaxed) - before;
        let sample = sample.end();
        let _ = self.open.send(false);
        // Until everything has come to rest.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(sample)
    }
}

/// What a start is measured to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum First {
    /// The first receipt.
    Ack,
    /// The first message in a handler.
    Message,
}

/// Time from before the runtime is made to the first receipt or message.
///
/// # Errors
///
/// When it does not come.
pub fn first(first: First, address: &str) -> Result<Duration> {
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client(address, HeaderFormat::Json).await?;
        match first {
            First::Ack => {
                let producer = client.producer("bench-group").build().await?;
                producer.send(message()).await?;
            }
            First::Message => {
                let (seen, mut came) = tokio::sync::mpsc::channel(1);
                let consumer = client.push_consumer("bench-consumers").subscribe(inputs::TOPIC, "*");
                let consumer = consumer.concurrent(move |_: ReceivedMessage| {
                    let seen = seen.clone();
                    async move {
                        let _ = seen.try_send(());
                    }
                });
                let _consumer = consumer.build().await?;
                tokio::time::timeout(Duration::from_secs(30), came.recv()).await.context("no message within 30 s")?;
            }
        }
        anyhow::Ok(())
    })?;
    Ok(begun.elapsed())
}
