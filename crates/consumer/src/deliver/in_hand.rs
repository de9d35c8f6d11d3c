use std::{
    slice,
    sync::{Arc, atomic::Ordering},
};

use ferrocket_model::ReceivedMessage;
use tokio::time::Instant;

use super::{concurrent::defect, settle::settle_later};
use crate::{Outcome, core::Core, interceptor, queue::Queue};

/// The next message for who takes messages himself. Bodies that cannot be read are passed over, on their way back to the broker.
pub(crate) fn take(core: &Arc<Core>) -> Option<(ReceivedMessage, InHand)> {
    loop {
        let queue = super::pop(core)?;
        if queue.stop.is_cancelled() {
            continue;
        }
        let message = queue.take_one();
        core.ready.release(&queue);
        let Some(message) = message else { continue };
        match defect(&message) {
            Some(broken) => settle_later(core, &queue, message, &broken),
            None => {
                let in_hand = InHand::of(core, queue, &message);
                return Some((message, in_hand));
            }
        }
    }
}

/// A message in the hands of who took it. It counts as running until it is settled.
pub(crate) struct InHand {
    core: Arc<Core>,
    queue: Arc<Queue>,
    /// The number of the call, for interceptors.
    call: u64,
    began: Instant,
}

impl InHand {
    fn of(core: &Arc<Core>, queue: Arc<Queue>, message: &ReceivedMessage) -> Self {
        queue.running.fetch_add(1, Ordering::AcqRel);
        core.running.fetch_add(1, Ordering::AcqRel);
        let call = interceptor::before(core, &queue, slice::from_ref(message));
        Self { core: core.clone(), queue, call, began: Instant::now() }
    }

    pub(crate) fn settle(self, message: ReceivedMessage, outcome: &Outcome) {
        let elapsed = self.began.elapsed();
        self.core.stats.handled(elapsed);
        let messages = slice::from_ref(&message);
        interceptor::after(&self.core, &self.queue, self.call, messages, elapsed, slice::from_ref(outcome), false);
        settle_later(&self.core, &self.queue, message, outcome);
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.core.running.fetch_sub(1, Ordering::AcqRel);
        self.queue.running.fetch_sub(1, Ordering::AcqRel);
        self.core.idle.notify_waiters();
    }
}
