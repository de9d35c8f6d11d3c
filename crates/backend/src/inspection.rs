use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use ferrocket_model::{ConsumeFrom, MessageQueue, ReceivedMessage, Topic};

use crate::{Pace, Subscription};

/// A consumer as administrators see it.
#[derive(Clone, Debug)]
#[doc(alias = "ConsumerRunningInfo")]
pub struct ConsumerPicture {
    /// Whether it keeps the order of each queue.
    pub is_orderly: bool,
    /// Where a new group begins.
    pub consume_from: ConsumeFrom,
    /// How many listeners may run at once.
    pub concurrency: usize,
    /// When it was built.
    pub started: SystemTime,
    /// Its options, by their Java names.
    pub options: Vec<(&'static str, String)>,
    /// What it wants.
    pub subscriptions: Vec<Subscription>,
    /// The queues that it owns.
    pub queues: Vec<QueuePicture>,
    /// How fast each topic is.
    pub paces: BTreeMap<Topic, Pace>,
}

/// One queue of a [`ConsumerPicture`].
#[derive(Clone, Debug)]
#[doc(alias = "ProcessQueueInfo")]
pub struct QueuePicture {
    /// Which one.
    pub queue: MessageQueue,
    /// The next offset to consume.
    pub position: u64,
    /// The first and the last message that wait or are being consumed.
    pub buffered: Option<(u64, u64)>,
    /// How many there are.
    pub messages: usize,
    /// What they keep in memory.
    pub bytes: usize,
    /// How many of them are in listeners.
    pub running: usize,
    /// Since when its lock is held, where an order is kept.
    pub locked: Option<SystemTime>,
    /// When it was pulled last.
    pub pulled: Option<SystemTime>,
    /// When a message of it was settled last.
    pub consumed: Option<SystemTime>,
}

/// Hands a picture to who asked.
pub type PictureAnswer = Box<dyn FnOnce(ConsumerPicture) + Send>;

/// An administrator lets a consumer handle one message, apart from its queues: nothing is settled by it.
pub struct DirectConsumption {
    /// The message.
    pub message: ReceivedMessage,
    /// Takes what became of it back to who asked.
    pub answer: Box<dyn FnOnce(DirectVerdict) + Send>,
}

/// What became of a message that was consumed directly.
#[derive(Clone, Debug)]
pub struct DirectVerdict {
    /// Whether the consumer keeps an order.
    pub is_orderly: bool,
    /// How the listener ended.
    pub ending: DirectEnding,
    /// How long it took.
    pub took: Duration,
}

/// How a listener ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectEnding {
    /// The message was consumed.
    Consumed,
    /// It was not, with the reason.
    Failed(String),
    /// The listener panicked.
    Panicked(String),
}

impl fmt::Debug for DirectConsumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectConsumption").field("message", self.message.id()).finish_non_exhaustive()
    }
}
