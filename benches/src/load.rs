//! What a client's process does: it connects, warms up, and then measures as often as it is told.
//!
//! Standard input says how long (`MILLISECONDS` a line), standard output answers with a [`Sample`] as JSON. Between two
//! measurements nothing is in flight, so that another process can be measured.

use std::{
    io::{BufRead, Write},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use ferrocket::{Client, HeaderFormat, Message, Producer, Topic};

use crate::{
    inputs,
    null_echo::{self, Shape},
    push::Push,
    sample::Sample,
    sends::{Sends, Way},
};

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The null echo with the frames of sends.
    Echo,
    /// The null echo with the frames of pulls; counts messages.
    EchoPull,
    /// Sends that wait for their answers.
    Send,
    /// The same, with an interceptor that does nothing.
    Intercepted,
    /// The same, gathered into batches by the producer.
    Gathered,
    /// The same, with one sharding key per task.
    Keyed,
    /// Batches of 32 messages; counts messages.
    Batch,
    /// Sends that nobody answers.
    OneWay,
    /// A push consumer with a handler for 32 messages.
    PushBatch,
    /// A push consumer with a handler for one message.
    Push,
    /// The same, in the order of each queue.
    PushOrderly,
    /// A producer and a push consumer that have nothing to do.
    Idle,
    /// A push consumer whose handlers stand still, with as many messages buffered as `--buffered` says; counts those.
    Cached,
}

impl Kind {
    fn way(self) -> Option<Way> {
        match self {
            Self::Send => Some(Way::Single),
            Self::Intercepted => Some(Way::Intercepted),
            Self::Gathered => Some(Way::Gathered),
            Self::Keyed => Some(Way::Keyed),
            Self::Batch => Some(Way::Batch),
            Self::OneWay => Some(Way::OneWay),
            Self::Echo | Self::EchoPull => None,
            Self::PushBatch | Self::Push | Self::PushOrderly | Self::Idle | Self::Cached => None,
        }
    }
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
    /// Half of each measurement finds the rate that is possible, the other half sends at half of it. Latencies count from when
    /// messages were due. For `send` and `echo`.
    #[arg(long)]
    pub open: bool,
    /// How many queues of the topic a consumer must own before it is measured.
    #[arg(long, default_value_t = 1)]
    pub queues: usize,
    /// How many messages a consumer must have buffered before it is measured. For `cached`.
    #[arg(long, default_value_t = 0)]
    pub buffered: usize,
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

    pub(crate) fn format(&self) -> HeaderFormat {
        if self.binary { HeaderFormat::Binary } else { HeaderFormat::Json }
    }
}

/// A client that can be measured.
enum Load {
    Echo(null_echo::Client, u64),
    Sends(Sends),
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
    runtime.block_on(load.closed(Duration::from_millis(300)))?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "ready")?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        let length = Duration::from_millis(line?.trim().parse().context("milliseconds")?);
        let sample = runtime.block_on(load.measure(length, options.open))?;
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
        if let Some(way) = options.kind.way() {
            return Ok(Self::Sends(Sends::start(address, options.format(), *in_flight, way).await?));
        }
        Ok(match options.kind {
            Kind::Echo => Self::Echo(null_echo::Client::connect(address, Shape::SEND, *in_flight).await?, 1),
            Kind::EchoPull => {
                Self::Echo(null_echo::Client::connect(address, Shape::PULL, *in_flight).await?, inputs::BATCH as u64)
            }
            _ => Self::Push(Push::start(options).await?),
        })
    }

    async fn measure(&mut self, length: Duration, open: bool) -> Result<Sample> {
        if !open {
            return self.closed(length).await;
        }
        let rate = self.closed(length / 2).await?.rate() / 2.0;
        match self {
            Self::Echo(client, _) => Ok(client.open(rate, length / 2).await?),
            Self::Sends(sends) => sends.open(rate, length / 2).await,
            Self::Push(_) => bail!("consumers have no open loop"),
        }
    }

    async fn closed(&mut self, length: Duration) -> Result<Sample> {
        match self {
            Self::Echo(client, times) => {
                let mut sample = client.run(length).await?;
                sample.count *= *times;
                Ok(sample)
            }
            Self::Sends(sends) => sends.closed(length).await,
            Self::Push(push) => push.measure(length).await,
        }
    }

    async fn exactly(&mut self, messages: u64) -> Result<()> {
        match self {
            Self::Sends(sends) => sends.exactly(messages).await.map(drop),
            _ => bail!("only sends can be counted"),
        }
    }
}
