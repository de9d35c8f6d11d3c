//! One queue that this consumer owns: its buffer, its pull loop, its lock, and why it stands still if it does.

pub(crate) mod begin;
mod buffer;
mod carry;
mod lease;
pub(crate) mod puller;
mod room;

use std::{
    iter,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::TopicRates;
use ferrocket_model::{MessageQueue, ReceivedMessage, Source};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::QueueState;
pub(crate) use buffer::QueueBuffer;
use buffer::Taken;
pub(crate) use lease::Lease;

/// A queue whose first message has been in a listener for this long without any progress is called stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// No offset at all.
const NEVER: u64 = u64::MAX;

/// A queue during one ownership. A new ownership makes a new one, so late results of an old one do nothing.
pub(crate) struct Queue {
    pub(crate) source: Arc<Source>,
    /// The lock, where an order is kept.
    pub(crate) lease: Option<Arc<Lease>>,
    /// How fast its topic is.
    pub(crate) rates: Arc<TopicRates>,
    pub(crate) buffer: Mutex<QueueBuffer>,
    /// Woken when messages were settled.
    pub(crate) room: Notify,
    /// Ends the pull under way: what is wanted has changed.
    pub(crate) interrupt: Notify,
    /// Cancelled when the queue is given up: nothing is pulled or handed out any more.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the lock must be given back: a listener that still runs is dropped.
    pub(crate) fence: CancellationToken,
    /// Whether the pull under way carries progress.
    carries: AtomicBool,
    /// What was carried last.
    carried: AtomicU64,
    /// Messages in listeners.
    pub(crate) running: AtomicUsize,
    /// Whether it stands in the list of queues that have something to hand out, or may not stand there for now.
    pub(crate) listed: AtomicBool,
    pub(crate) status: Mutex<Status>,
}

/// What health says of a queue.
pub(crate) struct Status {
    state: QueueState,
    pub(crate) max_offset: Option<u64>,
    pub(crate) last_progress: Option<Instant>,
    pub(crate) last_pull: Option<Instant>,
    /// Since when it is owned.
    pub(crate) began: Instant,
    /// Since when there is something to settle.
    pub(crate) busy_since: Option<Instant>,
}

impl Queue {
    pub(crate) fn new(
        source: Arc<Source>,
        lease: Option<Arc<Lease>>,
        rates: Arc<TopicRates>,
        offset: u64,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            lease,
            rates,
            buffer: Mutex::new(QueueBuffer::new(offset)),
            room: Notify::new(),
            interrupt: Notify::new(),
            stop,
            fence: CancellationToken::new(),
            carries: AtomicBool::new(false),
            carried: AtomicU64::new(NEVER),
            running: AtomicUsize::new(0),
            listed: AtomicBool::new(false),
            status: Mutex::new(Status {
                state: QueueState::Running,
                max_offset: None,
                last_progress: None,
                last_pull: None,
                began: Instant::now(),
                busy_since: None,
            }),
        })
    }

    pub(crate) fn id(&self) -> &MessageQueue {
        &self.source.queue
    }

    /// Whether progress is on its way with a pull.
    pub(crate) fn carries(&self) -> bool {
        self.carries.load(Ordering::Acquire)
    }

    /// Takes an interruption away that no pull has seen. Returns whether there was one.
    pub(crate) fn take_interrupt(&self) -> bool {
        pin!(self.interrupt.notified()).enable()
    }

    /// The last offset that went with a pull.
    pub(crate) fn carried_last(&self) -> Option<u64> {
        Some(self.carried.load(Ordering::Acquire)).filter(|offset| *offset != NEVER)
    }

    /// Whether results still count.
    pub(crate) fn is_owned(&self) -> bool {
        !self.source.revocation.is_revoked()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
    }

    /// Whether its messages may be handed out: nobody else can have it, as far as that must be sure.
    pub(crate) fn is_safe(&self) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.holds(Instant::now()))
    }

    /// The next message. It is made without the lock, so that others may take theirs meanwhile.
    pub(crate) fn take_one(&self) -> Option<ReceivedMessage> {
        let taken = self.buffer.lock().take_one();
        taken?.into_message()
    }

    /// The next messages, in offset order.
    pub(crate) fn take(&self, max: usize) -> Vec<ReceivedMessage> {
        let taken: Vec<_> = {
            let mut buffer = self.buffer.lock();
            iter::from_fn(|| buffer.take_one()).take(max).collect()
        };
        taken.into_iter().filter_map(Taken::into_message).collect()
    }

    pub(crate) fn set_state(&self, state: QueueState) {
        let mut status = self.status.lock();
        if status.state != state {
            if !matches!(state, QueueState::Running | QueueState::FlowControlled { .. } | QueueState::Paused) {
                tracing::warn!(queue = %self.id(), ?state, "a queue stands still");
            }
            status.state = state;
        }
    }

    /// Since when the broker is away, if it is.
    pub(crate) fn away_since(&self) -> Option<Instant> {
        match self.status.lock().state {
            QueueState::BrokerUnreachable { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Since when a record cannot be read, if so.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        match self.status.lock().state {
            QueueState::StuckAt { since, .. } => Some(since),
            _ => None,
        }
    }

    /// What it does, or why it stands still.
    pub(crate) fn state(&self, now: Instant) -> QueueState {
        let front = {
            let buffer = self.buffer.lock();
            (buffer.len() > 0).then(|| buffer.committable())
        };
        let status = self.status.lock();
        let still_since = status.busy_since.max(status.last_progress);
        match (&status.state, front, still_since) {
            (QueueState::Running | QueueState::FlowControlled { .. }, Some(offset), Some(since))
                if now.saturating_duration_since(since) >= STUCK_AFTER =>
            {
                QueueState::StuckAt { offset, since }
            }
            (state, _, _) => state.clone(),
        }
    }
}
