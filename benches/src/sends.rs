//! A producer that is measured: closed loops in every way of sending, and an open loop.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use ferrocket::{Client, HeaderFormat, Message, Producer, producer::AutoBatch};

use crate::{
    inputs,
    load::{client, message},
    pace::Pace,
    sample::Sample,
};

/// How messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One by one, each with its answer.
    Single,
    /// One by one, with an interceptor that does nothing.
    Intercepted,
    /// One by one; the producer gathers them into batches.
    Gathered,
    /// One by one; every task has a sharding key of its own.
    Keyed,
    /// Batches of [`inputs::BATCH`]; each takes one place in flight.
    Batch,
    /// One by one, without answers.
    OneWay,
}

/// The most sends of an open loop that may wait: whoever falls so far behind does not keep the rate.
const MAX_BEHIND: u64 = 100_000;

/// A producer with its way of sending.
pub struct Sends {
    producer: Producer,
    in_flight: usize,
    way: Way,
    _client: Client,
}

impl Sends {
    /// Connects, with a window that is never full.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn start(address: &str, format: HeaderFormat, in_flight: usize, way: Way) -> Result<Self> {
        let client = client(address, format).await?;
        let builder = client.producer("bench-group").max_in_flight(4096);
        let builder = match way {
            Way::Intercepted => builder.interceptor(|_: &mut Message| {}),
            Way::Gathered => builder.auto_batch(AutoBatch::default()),
            Way::Single | Way::Keyed | Way::Batch | Way::OneWay => builder,
        };
        Ok(Self { producer: builder.build().await?, in_flight, way, _client: client })
    }

    /// Sends for this long, and ends with nothing in flight.
    ///
    /// # Errors
    ///
    /// When a send fails.
    pub async fn closed(&self, length: Duration) -> Result<Sample> {
        // A thread looks at the clock for all: the null echo does so once in many messages.
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = is_over.clone();
        std::thread::spawn(move || {
            std::thread::sleep(length);
            ends.store(true, Ordering::Relaxed);
        });
        self.until(move |_| !is_over.load(Ordering::Relaxed)).await
    }

    /// Sends this many messages; whole batches, if it sends batches.
    ///
    /// # Errors
    ///
    /// When a send fails.
    pub async fn exactly(&self, messages: u64) -> Result<Sample> {
        self.until(move |begun| begun < messages).await
    }

    /// Every task sends one message (or batch) after the other, as long as `more` says of the number that was begun.
    async fn until(&self, more: impl Fn(u64) -> bool + Clone + Send + 'static) -> Result<Sample> {
        let mut sample = Sample::begin();
        let (begun, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let step = if self.way == Way::Batch { inputs::BATCH } else { 1 };
        let tasks: Vec<_> = (0..self.in_flight)
            .map(|task| {
                let (producer, way) = (self.producer.clone(), self.way);
                let (more, begun, failed) = (more.clone(), begun.clone(), failed.clone());
                tokio::spawn(async move {
                    let message = match way {
                        Way::Keyed => message().with_sharding_key(format_args!("key-{task}")),
                        _ => message(),
                    };
                    // One task looks at the clock for all: it is a sample, and costs little.
                    let mut latencies = Vec::new();
                    let mut ok = 0;
                    while more(begun.fetch_add(step as u64, Ordering::Relaxed)) {
                        let sent = (task == 0).then(Instant::now);
                        let outcome = match way {
                            Way::OneWay => producer.send_oneway(message.clone()).await,
                            Way::Batch => producer.send_batch((0..step).map(|_| message.clone())).await.map(drop),
                            _ => producer.send(message.clone()).await.map(drop),
                        };
                        if let Err(error) = outcome {
                            if !failed.swap(true, Ordering::Relaxed) {
                                eprintln!("a send failed: {error}");
                            }
                            break;
                        }
                        ok += step;
                        if let Some(sent) = sent {
                            latencies.push(sent.elapsed());
                        }
                        // One-way sends rarely wait for anything: let the connection's task run.
                        if way == Way::OneWay && ok.is_multiple_of(16) {
                            tokio::task::yield_now().await;
                        }
                    }
                    (ok, latencies)
                })
            })
            .collect();
        for task in tasks {
            let (ok, latencies) = task.await?;
            sample.count += ok as u64;
            latencies.into_iter().for_each(|latency| sample.latency(latency));
        }
        if failed.load(Ordering::Relaxed) {
            bail!("a send failed");
        }
        Ok(sample.end())
    }

    /// Sends at this rate for this long, whether answers come or not. A latency counts from when a message was due, not from
    /// when its turn came: a stall is counted with every message that it delayed.
    ///
    /// # Errors
    ///
    /// When a send fails, or the rate cannot be kept.
    pub async fn open(&self, rate: f64, length: Duration) -> Result<Sample> {
        let shared = Arc::new((Mutex::new(Sample::begin()), AtomicU64::new(0), AtomicBool::new(false)));
        let mut pace = Pace::begin(rate, length);
        let message = message();
        let mut begun = 0;
        while !pace.is_over() || shared.1.load(Ordering::Relaxed) < begun {
            while let Some(due) = pace.next() {
                begun += 1;
                let sending = self.producer.send(message.clone());
                let shared = shared.clone();
                tokio::spawn(async move {
                    let outcome = sending.await;
                    let (sample, done, failed) = &*shared;
                    match outcome {
                        Ok(_) => {
                            let mut sample = sample.lock().unwrap_or_else(PoisonError::into_inner);
                            sample.count += 1;
                            sample.latency(due.elapsed());
                        }
                        Err(_) => failed.store(true, Ordering::Relaxed),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            if begun - shared.1.load(Ordering::Relaxed) > MAX_BEHIND {
                bail!("{rate:.0} sends per second cannot be kept");
            }
            // Busy on purpose: timers are too coarse for such a rate, and the same is done for the null echo.
            tokio::task::yield_now().await;
        }
        if shared.2.load(Ordering::Relaxed) {
            bail!("a send failed");
        }
        let sample = shared.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(sample.end())
    }
}
