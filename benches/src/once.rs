//! What a process does once: starts, hand-overs and shutdowns. It prints how long that took, and ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use ferrocket::{Client, HeaderFormat, PushConsumer, ReceivedMessage};

use crate::{
    inputs,
    load::{client, message, producer},
    push::GROUP,
};

/// Messages in handlers when a busy consumer is shut down.
const IN_HANDLERS: usize = 1_000;
/// How long each handler of a busy consumer takes.
pub const HANDLER: Duration = Duration::from_millis(500);
/// How long handlers take while a queue is handed over.
const QUICK: Duration = Duration::from_millis(1);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A queue that brought no message for so long is somebody else's.
const SILENCE: Duration = Duration::from_millis(300);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Once {
    /// From before the runtime is made to the first receipt.
    Ack,
    /// From before the runtime is made to the first message in a handler.
    Message,
    /// From before the runtime is made until the consumer owns all queues.
    Owned,
    /// The same, where an order is kept: queues are locked first.
    OwnedOrderly,
    /// From before a second member joins until it has messages of all queues of its share, and the first one has none of them.
    Join,
    /// The same, where an order is kept.
    JoinOrderly,
    /// From before one of two members is shut down until the other has messages of all queues.
    Leave,
    /// The same, where an order is kept.
    LeaveOrderly,
    /// The shutdown of a client with a producer and a consumer that have nothing to do.
    ShutdownIdle,
    /// The shutdown of a client whose consumer has 1,000 messages in handlers, which have just begun and take [`HANDLER`].
    ShutdownBusy,
}

/// Does it, on one thread.
///
/// # Errors
///
/// When it does not come to its end.
pub fn run(once: Once, address: &str) -> Result<Duration> {
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let doing = async {
        match once {
            Once::Ack => first_receipt(address).await.map(|()| begun.elapsed()),
            Once::Message => first_message(address).await.map(|()| begun.elapsed()),
            Once::Owned => all_owned(address, false).await.map(|()| begun.elapsed()),
            Once::OwnedOrderly => all_owned(address, true).await.map(|()| begun.elapsed()),
            Once::Join => hand_over(address, false, false).await,
            Once::JoinOrderly => hand_over(address, true, false).await,
            Once::Leave => hand_over(address, false, true).await,
            Once::LeaveOrderly => hand_over(address, true, true).await,
            Once::ShutdownIdle => shutdown_idle(address).await,
            Once::ShutdownBusy => shutdown_busy(address).await,
        }
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, doing).await.context("it took too long")? })
}

async fn first_receipt(address: &str) -> Result<()> {
    let client = client(address, HeaderFormat::Json).await?;
    client.producer("bench-group").build().await?.send(message()).await?;
    Ok(())
}

async fn first_message(address: &str) -> Result<()> {
    let client = client(address, HeaderFormat::Json).await?;
    let (seen, mut came) = tokio::sync::mpsc::channel(1);
    let consumer = client.push_consumer(GROUP).subscribe(inputs::TOPIC, "*");
    let consumer = consumer.concurrent(move |_: ReceivedMessage| {
        let seen = seen.clone();
        async move {
            let _ = seen.try_send(());
        }
    });
    let _consumer = consumer.build().await?;
    came.recv().await.context("no message")
}

async fn all_owned(address: &str, orderly: bool) -> Result<()> {
    let client = client(address, HeaderFormat::Json).await?;
    let queues = client.queues(inputs::TOPIC).await?.len();
    let consumer = client.push_consumer(GROUP).subscribe(inputs::TOPIC, "*");
    let listener = |_: ReceivedMessage| async {};
    let consumer = match orderly {
        true => consumer.orderly(listener).build().await?,
        false => consumer.concurrent(listener).build().await?,
    };
    while consumer.assignment().len() < queues {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// When each queue brought a message first and last, since it was asked to forget.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<u32, (Instant, Instant)>>>);

impl Seen {
    fn with<T>(&self, with: impl FnOnce(&mut BTreeMap<u32, (Instant, Instant)>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn saw(&self, message: &ReceivedMessage) {
        let now = Instant::now();
        self.with(|seen| seen.entry(message.queue().id()).or_insert((now, now)).1 = now);
    }

    /// Waits until it has seen so many queues.
    async fn queues(&self, count: usize) {
        while self.with(|seen| seen.len()) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A member of the group, with a client of its own.
struct Member {
    seen: Seen,
    consumer: PushConsumer,
    client: Client,
}

impl Member {
    async fn join(address: &str, name: &str, orderly: bool) -> Result<Self> {
        let client = Client::builder().name_servers(address).instance_name(name).connect().await?;
        let seen = Seen::default();
        let builder = client.push_consumer(GROUP).subscribe(inputs::TOPIC, "*");
        let saw = seen.clone();
        let listener = move |message: ReceivedMessage| {
            let saw = saw.clone();
            async move {
                saw.saw(&message);
                tokio::time::sleep(QUICK).await;
            }
        };
        let consumer = match orderly {
            true => builder.orderly(listener).build().await?,
            false => builder.concurrent(listener).build().await?,
        };
        Ok(Self { seen, consumer, client })
    }

    fn owned(&self) -> BTreeSet<u32> {
        let queues = self.consumer.assignment();
        queues.iter().filter(|queue| queue.topic().as_str() == inputs::TOPIC).map(|queue| queue.id()).collect()
    }
}

/// How long queues take from one member to another, when the second one joins, or then leaves.
async fn hand_over(address: &str, orderly: bool, leaves: bool) -> Result<Duration> {
    let one = Member::join(address, "one", orderly).await?;
    let all = Client::queues(&one.client, inputs::TOPIC).await?.len();
    one.seen.queues(all).await;
    let begun = Instant::now();
    let other = Member::join(address, "other", orderly).await?;
    other.seen.queues(all / 2).await;
    let lasts = |seen: &Seen, queues: &BTreeSet<u32>| {
        seen.with(|seen| seen.iter().filter(|(id, _)| queues.contains(id)).map(|(_, (_, last))| *last).max())
    };
    let share = other.owned();
    // The first member may still have some of them.
    while lasts(&one.seen, &share).is_some_and(|last| last.elapsed() < SILENCE) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if !leaves {
        let last_of_one = lasts(&one.seen, &share).context("the first member had none of them")?;
        let began = other.seen.with(|seen| seen.values().map(|(first, _)| *first).max()).context("no queue")?;
        return Ok(last_of_one.max(began) - begun);
    }
    one.seen.with(BTreeMap::clear);
    let begun = Instant::now();
    other.client.shutdown().await?;
    one.seen.queues(all).await;
    Ok(begun.elapsed())
}

async fn shutdown_idle(address: &str) -> Result<Duration> {
    let client = client(address, HeaderFormat::Json).await?;
    let producer = producer(&client).await?;
    producer.send(message()).await?;
    let queues = client.queues(inputs::TOPIC).await?.len();
    let consumer = client.push_consumer(GROUP).subscribe(inputs::TOPIC, "*");
    let consumer = consumer.concurrent(|_: ReceivedMessage| async {}).build().await?;
    while consumer.assignment().len() < queues {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Until the pulls are out.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    client.shutdown().await?;
    Ok(begun.elapsed())
}

async fn shutdown_busy(address: &str) -> Result<Duration> {
    let client = client(address, HeaderFormat::Json).await?;
    let consumer = client.push_consumer(GROUP).subscribe(inputs::TOPIC, "*").concurrency(IN_HANDLERS);
    let consumer = consumer.concurrent(|_: ReceivedMessage| tokio::time::sleep(HANDLER)).build().await?;
    while consumer.health().running_handlers < IN_HANDLERS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begun = Instant::now();
    client.shutdown().await?;
    Ok(begun.elapsed())
}
