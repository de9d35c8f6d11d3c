//! One queue that this consumer owns: its buffer, its pull loop, and why it stands still if it does.

pub(crate) mod begin;
mod buffer;
pub(crate) mod puller;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use ferrocket_backend::Subscription;
use ferrocket_model::{MessageQueue, Source};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::QueueState;
pub(crate) use buffer::QueueBuffer;

/// A queue during one ownership. A new ownership makes a new one, so late results of an old one do nothing.
pub(crate) struct Queue {
    pub(crate) source: Arc<Source>,
    pub(crate) subscription: Subscription,
    pub(crate) buffer: Mutex<QueueBuffer>,
    /// Woken when messages were settled.
    pub(crate) room: Notify,
    /// Cancelled when the queue is given up: nothing is pulled or handed out any more.
    pub(crate) stop: CancellationToken,
    /// Messages in listeners.
    pub(crate) running: AtomicUsize,
    /// Whether it stands in the list of queues that have something to hand out.
    pub(crate) listed: AtomicBool,
    pub(crate) status: Mutex<Status>,
}

/// What health says of a queue.
pub(crate) struct Status {
    pub(crate) state: QueueState,
    pub(crate) max_offset: Option<u64>,
    pub(crate) last_progress: Option<Instant>,
}

impl Queue {
    pub(crate) fn new(
        source: Arc<Source>,
        subscription: Subscription,
        offset: u64,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            subscription,
            buffer: Mutex::new(QueueBuffer::new(offset)),
            room: Notify::new(),
            stop,
            running: AtomicUsize::new(0),
            listed: AtomicBool::new(false),
            status: Mutex::new(Status { state: QueueState::Running, max_offset: None, last_progress: None }),
        })
    }

    pub(crate) fn id(&self) -> &MessageQueue {
        &self.source.queue
    }

    /// Whether results still count.
    pub(crate) fn is_owned(&self) -> bool {
        !self.source.revocation.is_revoked()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
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
}
