//! Messages that go back to the broker. What the broker does not confirm stays here and is tried again.

use std::{sync::Arc, time::Duration};

use ferrocket_backend::{Redelivery, SendBackRequest};
use ferrocket_model::ReceivedMessage;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{core::Core, queue::Queue};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A message on its way back.
pub(crate) struct Returned {
    pub(crate) queue: Arc<Queue>,
    pub(crate) message: ReceivedMessage,
    pub(crate) redelivery: Redelivery,
}

impl Returned {
    /// Gives it back. Settled when the broker has confirmed; else it is handed back to the caller.
    pub(crate) async fn give_back(self, core: &Core) -> Result<(), Self> {
        if !self.queue.is_owned() {
            return Ok(());
        }
        let request = SendBackRequest {
            group: &core.group,
            message: &self.message,
            redelivery: self.redelivery,
            max_attempts: core.options.max_attempts,
        };
        match core.stack.backend.send_back(request).await {
            Ok(()) => {
                let is_last = self.message.attempt() >= core.options.max_attempts;
                if self.redelivery == Redelivery::DeadLetter || is_last {
                    core.stats.dead_lettered();
                }
                core.settle_offsets(&self.queue, &[self.message.offset()]);
                Ok(())
            }
            Err(failure) => {
                tracing::warn!(%failure, "a message could not be given back; it stays here and is tried again");
                Err(self)
            }
        }
    }
}

/// Messages that could not be given back. They are still in their queue's buffer, whose limits bound them.
#[derive(Default)]
pub(crate) struct Retries {
    waiting: Mutex<Vec<Returned>>,
    more: Notify,
}

impl Retries {
    pub(crate) fn push(&self, returned: Returned) {
        self.waiting.lock().push(returned);
        self.more.notify_one();
    }
}

/// Tries again what waits, with growing pauses while it fails.
pub(crate) async fn run(core: Arc<Core>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let waiting = std::mem::take(&mut *core.retries.waiting.lock());
        if waiting.is_empty() {
            core.retries.more.notified().await;
        } else {
            let mut failed = Vec::new();
            for returned in waiting {
                failed.extend(returned.give_back(&core).await.err());
            }
            pause = if failed.is_empty() { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
            core.retries.waiting.lock().append(&mut failed);
        }
        tokio::time::sleep(pause).await;
    }
}
