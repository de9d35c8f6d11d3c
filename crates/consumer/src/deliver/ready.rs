use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{Notify, futures::OwnedNotified};
use tokio_util::sync::CancellationToken;

use crate::queue::Queue;

/// The queues that have something to hand out. A queue stands in it once at most, so it is as long as the assignment.
#[derive(Default)]
pub(crate) struct Ready {
    queues: Mutex<VecDeque<Arc<Queue>>>,
    work: Arc<Notify>,
    idle: AtomicUsize,
}

impl Ready {
    /// A queue has something.
    pub(crate) fn offer(&self, queue: &Arc<Queue>) {
        if !queue.listed.swap(true, Ordering::AcqRel) {
            self.queues.lock().push_back(queue.clone());
        }
        if self.idle.load(Ordering::Acquire) > 0 {
            self.work.notify_one();
        }
    }

    /// A queue that was taken off the list may stand in it again; it does if it has something.
    pub(crate) fn release(&self, queue: &Arc<Queue>) {
        queue.listed.store(false, Ordering::Release);
        if queue.buffer.lock().has_ready() {
            self.offer(queue);
        }
    }

    /// The next queue in turn. It stays off the list until [`release`](Self::release).
    pub(super) fn pop(&self) -> Option<Arc<Queue>> {
        self.queues.lock().pop_front()
    }

    /// Whether no queue has anything to hand out.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.lock().is_empty()
    }

    /// Waits until there may be something, or the end.
    pub(super) async fn wait(&self, ending: &CancellationToken) {
        self.idle.fetch_add(1, Ordering::AcqRel);
        let woken = self.work.notified();
        // Between the look and the notice something may have come.
        if self.queues.lock().is_empty() && !ending.is_cancelled() {
            ending.run_until_cancelled(woken).await;
        }
        self.idle.fetch_sub(1, Ordering::AcqRel);
    }

    /// Somebody listens by [`bell`](Self::bell) from now on.
    pub(crate) fn listen(&self) {
        self.idle.fetch_add(1, Ordering::AcqRel);
    }

    /// Rings once there may be something, or at the end.
    pub(crate) fn bell(&self) -> OwnedNotified {
        self.work.clone().notified_owned()
    }

    /// Wakes everybody, for the end.
    pub(crate) fn wake_all(&self) {
        self.work.notify_waiters();
    }
}
