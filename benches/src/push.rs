//! A push consumer that is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use ferrocket::{Client, Producer, PushConsumer, ReceivedMessage};

use crate::{
    inputs,
    load::{Kind, Options, client, message, producer},
    sample::Sample,
};

/// The group of all measured consumers.
pub(crate) const GROUP: &str = "bench-consumers";
/// How long a consumer may take until it is as it should be.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than anybody buffers.
const PLENTY: usize = 16 << 30;

/// A push consumer whose handlers count. Between measurements they wait, so that buffers fill and pulling stops.
pub(crate) struct Push {
    kind: Kind,
    counted: Arc<AtomicU64>,
    open: tokio::sync::watch::Sender<bool>,
    consumer: PushConsumer,
    _producer: Option<Producer>,
    _client: Client,
}

impl Push {
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let kind = options.kind;
        let client = match kind {
            Kind::Cached => {
                Client::builder().name_servers(&*options.address).max_buffer_bytes(PLENTY).connect().await?
            }
            _ => client(&options.address, options.format()).await?,
        };
        let counted = Arc::new(AtomicU64::new(0));
        let (open, gate) = tokio::sync::watch::channel(kind != Kind::Cached);
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
        let builder = client.push_consumer(GROUP).subscribe(inputs::TOPIC, "*");
        let one = {
            let count = count.clone();
            move |_: ReceivedMessage| count(1)
        };
        let consumer = match kind {
            Kind::PushBatch => {
                let count = move |messages: Vec<ReceivedMessage>| count(messages.len() as u64);
                builder.concurrent_batch(inputs::BATCH, count).build().await?
            }
            Kind::PushOrderly => builder.orderly(one).build().await?,
            Kind::Cached => {
                let builder = builder.buffer(options.buffered).queue_buffer(options.buffered);
                let builder = builder.buffer_bytes(PLENTY).queue_buffer_bytes(PLENTY);
                builder.concurrent(one).max_offset_span(options.buffered as u64).build().await?
            }
            _ => builder.concurrent(one).build().await?,
        };
        let mut push = Self { kind, counted, open, consumer, _producer: None, _client: client };
        if kind == Kind::Idle {
            let producer = producer(&push._client).await?;
            producer.send(message()).await?;
            push._producer = Some(producer);
        }
        push.until_settled(options).await?;
        Ok(push)
    }

    /// Until it owns its queues, and has what it should have.
    async fn until_settled(&self, options: &Options) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let owned = self.consumer.assignment();
            let owned = owned.iter().filter(|queue| queue.topic().as_str() == inputs::TOPIC).count();
            let has_begun = match self.kind {
                Kind::Idle => true,
                Kind::Cached => self.consumer.health().buffered >= options.buffered,
                _ => self.counted.load(Ordering::Relaxed) > 0,
            };
            if owned >= options.queues && has_begun {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let health = self.consumer.health();
        let (queues, buffered) = (health.queues.len(), health.buffered);
        bail!("within {PATIENCE:?} the consumer has {queues} queues and {buffered} messages")
    }

    pub(crate) async fn measure(&self, length: Duration) -> Result<Sample> {
        if matches!(self.kind, Kind::Idle | Kind::Cached) {
            return Ok(self.watch(length).await);
        }
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

    /// What it costs while nothing is handled. Counts what is buffered.
    async fn watch(&self, length: Duration) -> Sample {
        let mut sample = Sample::begin();
        tokio::time::sleep(length).await;
        sample.count = self.consumer.health().buffered as u64;
        sample.end()
    }
}
