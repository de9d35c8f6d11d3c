//! The pull loop of one queue: it owns the position, waits for room, and puts what came into the buffer.

use std::{sync::Arc, time::Duration};

use ferrocket_backend::{PullOutcome, PullRequest, Pulled};
use ferrocket_model::{ErrorKind, Failure};
use tokio::time::Instant;

use super::Queue;
use crate::{QueueState, core::Core};

/// How long a broker may hold a pull while there is nothing new.
const LONG_POLL: Duration = Duration::from_secs(15);
/// After a refusal that time may heal.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);
/// After a refusal that needs a person.
const DENIED_PAUSE: Duration = Duration::from_secs(3);
/// After a failure on the way; reconnecting has a backoff of its own.
const FAILED_PAUSE: Duration = Duration::from_millis(100);
/// Limits over all queues of a consumer are looked at this often while they hold a queue up.
const ROOM_CHECK: Duration = Duration::from_millis(50);

/// Pulls until the queue is given up.
pub(crate) async fn run(core: Arc<Core>, queue: Arc<Queue>, offset: u64) {
    let stop = queue.stop.clone();
    stop.run_until_cancelled(pull(&core, &queue, offset)).await;
}

async fn pull(core: &Arc<Core>, queue: &Arc<Queue>, mut offset: u64) {
    loop {
        wait_for_room(core, queue).await;
        let commit = core.progress.with(|table| table.changed_in(queue.id()));
        let request = PullRequest {
            group: &core.group,
            source: &queue.source,
            subscription: &queue.subscription,
            offset,
            commit,
            max_messages: core.options.pull_batch,
            wait: LONG_POLL,
        };
        match core.stack.backend.pull(request).await {
            Ok(pulled) => {
                if let Some(commit) = commit {
                    core.progress.with(|table| table.written(queue.id(), commit));
                }
                queue.set_state(QueueState::Running);
                offset = take(core, queue, pulled, offset).await;
                if !core.options.pull_interval.is_zero() {
                    tokio::time::sleep(core.options.pull_interval).await;
                }
            }
            Err(failure) => {
                tracing::debug!(queue = %queue.id(), %failure, "a pull failed");
                tokio::time::sleep(note(core, queue, &failure).await).await;
            }
        }
    }
}

/// Puts what came into the buffer. Returns where the next pull begins.
async fn take(core: &Arc<Core>, queue: &Arc<Queue>, pulled: Pulled, offset: u64) -> u64 {
    let next = pulled.next_offset;
    queue.status.lock().max_offset = Some(pulled.max_offset);
    match pulled.outcome {
        PullOutcome::Moved => {
            tracing::warn!(
                queue = %queue.id(), from = offset, to = next, min = pulled.min_offset, max = pulled.max_offset,
                "the broker set another offset: the one asked for is outside of the queue, or an operator reset it"
            );
            let gone = {
                let mut buffer = queue.buffer.lock();
                let gone = (buffer.len(), buffer.retained_bytes());
                buffer.reset(next);
                gone
            };
            core.buffered.remove(gone.0, gone.1);
            core.progress.with(|table| table.reset(queue.id(), next));
            core.progress.flush_queues(&[queue.id().clone()], core.stack.request_timeout).await;
        }
        PullOutcome::Found => {
            let received = pulled.messages.len();
            core.stats.received(received);
            let (taken, bytes) = {
                let mut buffer = queue.buffer.lock();
                let before = buffer.retained_bytes();
                let taken = buffer.put(pulled.messages, pulled.retained_bytes, next);
                (taken, buffer.retained_bytes() - before)
            };
            core.buffered.add(taken, bytes);
            core.ready.offer(queue, taken);
        }
        _ => {
            let committable = {
                let mut buffer = queue.buffer.lock();
                buffer.put(Vec::new(), 0, next);
                buffer.committable()
            };
            core.progress.with(|table| table.advance(queue.id(), committable));
        }
    }
    next
}

/// Waits while a limit is reached, or the consumer is paused.
async fn wait_for_room(core: &Core, queue: &Queue) {
    let mut has_waited = false;
    loop {
        let room = queue.room.notified();
        let state = {
            let buffer = queue.buffer.lock();
            let options = &core.options;
            if core.is_paused() {
                QueueState::Paused
            } else if buffer.len() >= options.queue_buffer {
                QueueState::FlowControlled { limit: "queue_buffer" }
            } else if buffer.retained_bytes() >= options.queue_buffer_bytes {
                QueueState::FlowControlled { limit: "queue_buffer_bytes" }
            } else if buffer.span() >= options.max_offset_span {
                QueueState::FlowControlled { limit: "max_offset_span" }
            } else if core.buffered.messages() >= options.buffer && buffer.len() > 0 {
                QueueState::FlowControlled { limit: "buffer" }
            } else if core.buffered.bytes() >= options.buffer_bytes && buffer.len() > 0 {
                QueueState::FlowControlled { limit: "buffer_bytes" }
            } else if !core.budget_has_room() && buffer.len() > 0 {
                QueueState::FlowControlled { limit: "max_buffer_bytes" }
            } else {
                drop(buffer);
                if has_waited {
                    // Not only when the pull is answered: the broker may hold it for long.
                    queue.set_state(QueueState::Running);
                }
                return;
            }
        };
        queue.set_state(state);
        has_waited = true;
        // Limits of the whole consumer may be freed by other queues: look again by the clock, too.
        let _ = tokio::time::timeout(ROOM_CHECK, room).await;
    }
}

/// Says why the queue stands still, and what to do about it. Returns how long to wait.
async fn note(core: &Arc<Core>, queue: &Queue, failure: &Failure) -> Duration {
    match failure.kind() {
        ErrorKind::BrokerUnreachable => {
            let since = match queue.status.lock().state {
                QueueState::BrokerUnreachable { since, .. } => since,
                _ => Instant::now(),
            };
            queue.set_state(QueueState::BrokerUnreachable { broker: queue.id().broker().clone(), since });
            // It may have come back at another address.
            let _ = core.stack.routes.refresh(queue.id().topic()).await;
            FAILED_PAUSE
        }
        ErrorKind::PermissionDenied | ErrorKind::GroupNotFound | ErrorKind::RouteNotFound => {
            queue.set_state(QueueState::PermissionDenied);
            if failure.kind() == ErrorKind::RouteNotFound {
                core.rebalance.notify_one();
            }
            DENIED_PAUSE
        }
        // The broker does not know our subscription (yet).
        ErrorKind::Conflict => {
            core.stack.backend.announce().await;
            FAILED_PAUSE
        }
        ErrorKind::Busy => REFUSED_PAUSE,
        _ => REFUSED_PAUSE,
    }
}
