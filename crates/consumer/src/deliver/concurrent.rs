//! Messages side by side: each worker takes the next one, or a batch, of the next queue.

use std::sync::Arc;

use ferrocket_model::ReceivedMessage;

use super::{Running, call, settle::settle};
use crate::{Outcome, core::Core, listener::AnyListener, queue::Queue};

/// Takes from a queue, lets the next worker have the rest, and calls the listener.
pub(super) async fn next(core: &Arc<Core>, queue: &Arc<Queue>) {
    let mut running = Running::begin(core, queue);
    match &core.listener {
        AnyListener::Single(listener) => {
            let message = queue.take_one();
            core.ready.release(queue);
            let Some(message) = message else { return };
            running.count(1);
            let outcome = match defect(&message) {
                Some(broken) => Some(broken),
                None => call::single(core, queue, listener, &message).await,
            };
            if let Some(outcome) = outcome {
                settle(core, queue, message, outcome).await;
            }
        }
        AnyListener::Batch(max, listener) => {
            let batch = queue.take(*max);
            core.ready.release(queue);
            running.count(batch.len());
            let batch = settle_broken(core, queue, batch).await;
            let Some(outcomes) = call::batch(core, queue, listener, &batch).await else { return };
            settle_batch(core, queue, batch, outcomes).await;
        }
        // Nobody works for a stream: who polls it takes for himself.
        AnyListener::Stream => {}
    }
}

/// A body that cannot be read never reaches a listener.
pub(super) fn defect(message: &ReceivedMessage) -> Option<Outcome> {
    message.defect().map(|defect| Outcome::retry(defect.to_owned()))
}

/// Settles those that cannot be read. Gives back the others.
async fn settle_broken(core: &Arc<Core>, queue: &Arc<Queue>, batch: Vec<ReceivedMessage>) -> Vec<ReceivedMessage> {
    if batch.iter().all(|message| message.defect().is_none()) {
        return batch;
    }
    let (intact, broken): (Vec<_>, Vec<_>) = batch.into_iter().partition(|message| message.defect().is_none());
    for message in broken {
        if let Some(outcome) = defect(&message) {
            settle(core, queue, message, outcome).await;
        }
    }
    intact
}

/// What is done is settled at once, under one lock; what failed goes its way one by one.
async fn settle_batch(core: &Arc<Core>, queue: &Arc<Queue>, batch: Vec<ReceivedMessage>, outcomes: Vec<Outcome>) {
    let consumed = batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_consumed());
    let done: Vec<_> = consumed.map(|(message, _)| message.offset()).collect();
    if queue.is_owned() {
        core.stats.consumed(done.len());
    }
    core.settle_offsets(queue, &done);
    if done.len() < batch.len() {
        for (message, outcome) in batch.into_iter().zip(outcomes) {
            if !outcome.is_consumed() {
                settle(core, queue, message, outcome).await;
            }
        }
    }
}
