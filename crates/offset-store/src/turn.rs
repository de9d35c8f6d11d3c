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
    turns: Arc<Turns>,
    queue: MessageQueue,
}

impl Turns {
    /// `None`: a write is under way.
    pub(crate) fn take(self: &Arc<Self>, queue: &MessageQueue) -> Option<Turn> {
        let is_free = self.taken.lock().insert(queue.clone());
        is_free.then(|| Turn { turns: self.clone(), queue: queue.clone() })
    }

    /// Waits for the write under way. `None`: it took longer.
    pub(crate) async fn wait(self: &Arc<Self>, queue: &MessageQueue, deadline: Instant) -> Option<Turn> {
        loop {
            let ended = self.ended.notified();
            if let Some(turn) = self.take(queue) {
                return Some(turn);
            }
            tokio::time::timeout_at(deadline, ended).await.ok()?;
        }
    }

    pub(crate) fn is_taken(&self, queue: &MessageQueue) -> bool {
        self.taken.lock().contains(queue)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.taken.lock().remove(&self.queue);
        self.turns.ended.notify_waiters();
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Turn").field(&self.queue).finish()
    }
}
