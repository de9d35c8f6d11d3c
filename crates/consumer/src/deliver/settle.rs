//! What becomes of a message after its listener: it is done, the broker takes it back, or it waits here for its next attempt.

use std::{sync::Arc, time::Duration};

use ferrocket_backend::Redelivery;
use ferrocket_model::ReceivedMessage;
use tokio::time::Instant;

use super::retry::Returned;
use crate::{Outcome, core::Core, queue::Queue};

/// Between attempts in broadcasting, where nobody takes messages back, unless the listener says another time.
const BROADCAST_PAUSE: Duration = Duration::from_secs(1);

/// Settles a message: it is done, or the broker has it again. While the broker does not take it back it stays here, and its
/// offset waits.
pub(super) async fn settle(core: &Arc<Core>, queue: &Arc<Queue>, message: ReceivedMessage, outcome: Outcome) {
    let Some(returned) = judge(core, queue, message, &outcome) else { return };
    if let Err(returned) = returned.give_back(core).await {
        core.retries.again(core, returned);
    }
}

/// As [`settle`], for those who cannot wait: what the broker must take back is given to it in the background.
pub(super) fn settle_later(core: &Core, queue: &Arc<Queue>, message: ReceivedMessage, outcome: &Outcome) {
    if let Some(returned) = judge(core, queue, message, outcome) {
        core.retries.push(returned);
    }
}

/// Settles what can be settled here, and gives back what the broker must take back.
fn judge(core: &Core, queue: &Arc<Queue>, message: ReceivedMessage, outcome: &Outcome) -> Option<Returned> {
    // The queue is somebody else's by now: the message comes again there, and nothing of ours counts.
    if !queue.is_owned() {
        return None;
    }
    let Some(redelivery) = outcome.redelivery() else {
        core.stats.consumed(1);
        core.settle_offsets(queue, &[message.offset()]);
        return None;
    };
    failed(core, queue, &message, outcome);
    if !core.options.is_broadcast {
        return Some(Returned::new(queue, message, redelivery));
    }
    if message.attempt() >= core.options.max_attempts || redelivery == Redelivery::DeadLetter {
        skip(core, queue, &message, outcome);
    } else {
        let due = Instant::now() + outcome.delay().unwrap_or(BROADCAST_PAUSE);
        core.retries.later(queue, message, due);
    }
    None
}

/// Counts a failure, and tells who listens to the log.
pub(super) fn failed(core: &Core, queue: &Queue, message: &ReceivedMessage, outcome: &Outcome) {
    core.stats.failed();
    if let Some(reason) = outcome.reason() {
        tracing::debug!(queue = %queue.id(), offset = message.offset(), attempt = message.attempt(), %reason, "a message failed");
    }
}

/// In broadcasting there are no dead letters: the message is passed over, and said to be.
pub(super) fn skip(core: &Core, queue: &Queue, message: &ReceivedMessage, outcome: &Outcome) {
    let reason = outcome.reason().map(ToString::to_string).unwrap_or_default();
    tracing::error!(
        group = %core.group, queue = %queue.id(), offset = message.offset(), id = %message.id(), attempts = message.attempt(), reason,
        "a broadcast message failed for good and is passed over"
    );
    core.stats.skipped();
    core.settle_offsets(queue, &[message.offset()]);
}
