use std::{collections::BTreeSet, sync::Arc};

use ferrocket_model::MessageQueue;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Whose turn it is to write which queue.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<BTreeSet<MessageQueue>>,
    ended: Notify,
}

/// The turn to write one queue, until it is dropped. Brokers do what they are asked in any order: of two writes that are under way, the
/// older one may land last, and the offset goes back (R-I4).
pub struct Turn {
    queue: MessageQueue,
    /// `None` when it was not waited for any longer: it is still somebody else's.
    turns: Option<Arc<Turns>>,
}

impl Turns {
    /// `None`: a write is under way.
    pub(crate) fn take(self: &Arc<Self>, queue: &MessageQueue) -> Option<Turn> {
        let is_free = self.taken.lock().insert(queue.clone());
        is_free.then(|| Turn { queue: queue.clone(), turns: Some(self.clone()) })
    }

    /// Waits for the write under way until then.
    pub(crate) async fn wait(self: &Arc<Self>, queue: &MessageQueue, until: Instant) -> Turn {
        loop {
            let ended = self.ended.notified();
            if let Some(turn) = self.take(queue) {
                return turn;
            }
            if tokio::time::timeout_at(until, ended).await.is_err() {
                return Turn { queue: queue.clone(), turns: None };
            }
        }
    }
}

impl Turn {
    /// Which one.
    pub fn queue(&self) -> &MessageQueue {
        &self.queue
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = &self.turns {
            turns.taken.lock().remove(&self.queue);
            turns.ended.notify_waiters();
        }
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Turn").field(&self.queue).finish()
    }
}
