//! Messages that wait: to be taken back by the broker, which has refused so far, or for their next attempt here.

use std::{sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, Redelivery, SendBackRequest, side_by_side};
use ferrocket_model::{ErrorKind, ReceivedMessage};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{core::Core, queue::Queue};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Between attempts here, instead of the delays that brokers have.
const LAST_PAUSE_HERE: Duration = Duration::from_secs(300);
/// So many are given back side by side.
const SIDE_BY_SIDE: usize = 32;

/// A message on its way back to the broker.
pub(crate) struct Returned {
    queue: Arc<Queue>,
    message: ReceivedMessage,
    redelivery: Redelivery,
    pause: Duration,
    /// The broker cannot take it back: it does not have the message any more, or cannot name it.
    is_in_vain: bool,
}

impl Returned {
    pub(crate) fn new(queue: &Arc<Queue>, message: ReceivedMessage, redelivery: Redelivery) -> Self {
        Self { queue: queue.clone(), message, redelivery, pause: FIRST_PAUSE, is_in_vain: false }
    }

    /// Gives it back. Settled when the broker has confirmed; else it is handed back to the caller.
    pub(crate) async fn give_back(mut self, core: &Core) -> Result<(), Self> {
        if !self.queue.is_owned() {
            return Ok(());
        }
        let request = SendBackRequest {
            group: &core.group,
            message: &self.message,
            redelivery: self.redelivery,
            max_attempts: core.options.max_attempts,
        };
        match core.backend.send_back(request).await {
            Ok(()) => {
                let is_last = self.message.attempt() >= core.options.max_attempts;
                if self.redelivery == Redelivery::DeadLetter || is_last {
                    core.stats.dead_lettered();
                }
                core.settle_offsets(&self.queue, &[self.message.offset()]);
                Ok(())
            }
            Err(failure) => {
                self.is_in_vain = matches!(failure.kind(), ErrorKind::NotFound | ErrorKind::Unsupported);
                if self.is_in_vain && self.has_attempts(core) {
                    tracing::warn!(%failure, "a message cannot be given back; it has its next attempt here");
                } else {
                    tracing::warn!(%failure, "a message could not be given back; it stays here and is tried again");
                }
                Err(self)
            }
        }
    }

    /// Whether a listener may see it once more.
    fn has_attempts(&self, core: &Core) -> bool {
        self.redelivery != Redelivery::DeadLetter && self.message.attempt() < core.options.max_attempts
    }
}

/// Messages that wait. They are still in their queue's buffer, whose limits bound them.
#[derive(Default)]
pub(crate) struct Retries {
    waiting: Mutex<Vec<(Instant, Wait)>>,
    more: Notify,
}

/// For what.
enum Wait {
    GiveBack(Returned),
    /// The next attempt, here.
    Deliver(Arc<Queue>, ReceivedMessage),
}

impl Retries {
    /// To be given back at once.
    pub(crate) fn push(&self, returned: Returned) {
        self.add(Instant::now(), Wait::GiveBack(returned));
    }

    /// To be given back after a pause: the last time it failed. Or to be handed out again, if there is no use in that.
    pub(crate) fn again(&self, core: &Core, mut returned: Returned) {
        let now = Instant::now();
        if returned.is_in_vain && returned.has_attempts(core) {
            let pause = FIRST_PAUSE * (1 << (returned.message.attempt() - 1).min(16));
            return self.later(&returned.queue, returned.message, now + pause.min(LAST_PAUSE_HERE));
        }
        let due = now + returned.pause;
        returned.pause = (returned.pause * 2).min(LAST_PAUSE);
        self.add(due, Wait::GiveBack(returned));
    }

    /// To be handed out again at this time.
    pub(crate) fn later(&self, queue: &Arc<Queue>, message: ReceivedMessage, due: Instant) {
        let attempt = message.attempt() + 1;
        self.add(due, Wait::Deliver(queue.clone(), message.with_attempt(attempt)));
    }

    fn add(&self, due: Instant, wait: Wait) {
        self.waiting.lock().push((due, wait));
        self.more.notify_one();
    }

    /// Takes out what is due, and says when the next one will be.
    fn due(&self, now: Instant) -> (Vec<Wait>, Option<Instant>) {
        let mut waiting = self.waiting.lock();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *waiting).into_iter().partition(|(due, _)| *due <= now);
        *waiting = later;
        (due.into_iter().map(|(_, wait)| wait).collect(), waiting.iter().map(|(due, _)| *due).min())
    }
}

/// Deals with what waits, when it is due.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        let more = core.retries.more.notified();
        let (due, next) = core.retries.due(Instant::now());
        if due.is_empty() {
            match next {
                Some(next) => drop(tokio::time::timeout_at(next, more).await),
                None => more.await,
            }
            continue;
        }
        let mut returns = Vec::new();
        for wait in due {
            match wait {
                Wait::GiveBack(returned) => returns.push(returned),
                Wait::Deliver(queue, message) => {
                    queue.buffer.lock().put_back(message);
                    core.ready.offer(&queue);
                }
            }
        }
        while !returns.is_empty() {
            let rest = returns.split_off(returns.len().min(SIDE_BY_SIDE));
            let calls = std::mem::replace(&mut returns, rest).into_iter().map(|returned| -> BoxFuture<'static, ()> {
                let core = core.clone();
                Box::pin(async move {
                    if let Err(returned) = returned.give_back(&core).await {
                        core.retries.again(&core, returned);
                    }
                })
            });
            side_by_side(calls).await;
        }
    }
}
