//! The pull loop of one queue: it owns the position, waits for room, and puts what came into the buffer.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use ferrocket_backend::{BoxFuture, PullOutcome, PullRequest, Pulled, Records};
use ferrocket_model::{ErrorKind, Failure};
use tokio::time::Instant;

use super::{
    Queue,
    carry::{self, Carried},
    room::wait_for_room,
};
use crate::{QueueState, cancellation::until_cancelled, core::Core, interceptor, rebalance};

/// How long a broker may hold a pull while there is nothing new.
const LONG_POLL: Duration = Duration::from_secs(15);
/// A pull whose answer comes within this time may ask for more again. After one whose answer does not come in time it asks for half as
/// much and waits longer: the line may be too slow for what all queues ask for, and what comes too late is thrown away.
const QUICK: Duration = Duration::from_secs(5);
/// How much longer it waits at most: a message of 1 MiB takes as long where a line brings 10 KB a second. A pull that was lost is waited for
/// that long, too.
const PATIENCE: Duration = Duration::from_secs(75);
/// After a refusal that time may heal.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);
/// After a refusal that needs a person.
const DENIED_PAUSE: Duration = Duration::from_secs(3);
/// To announce ourselves may evict others, who announce themselves in turn: whoever is evicted again within this time waits before
/// that, ever longer, so that they do not flood the broker. The pull comes right behind the announcement.
const EVICTED_AGAIN: Duration = Duration::from_secs(10);
/// After a failure on the way; reconnecting has a backoff of its own.
const FAILED_PAUSE: Duration = Duration::from_millis(100);

/// Pulls until the queue is given up.
pub(crate) fn run(core: Arc<Core>, queue: Arc<Queue>, offset: u64) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let moved = {
            let mut pulling = pin!(pull(&core, &queue, offset));
            let moved = until_cancelled(&queue.stop, pulling.as_mut()).await;
            // Nobody waits for messages any more, but for what is being stored.
            let mut is_stored =
                |cx: &mut Context<'_>| !queue.carries() || pulling.as_mut().poll(cx).is_ready() || !queue.carries();
            poll_fn(|cx| if is_stored(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
            moved
        };
        if let Some(offset) = moved {
            core.stats.moved();
            Box::pin(rebalance::restart(core, queue, offset)).await;
        }
    })
}

/// Pulls until the broker says another place, and gives that back.
async fn pull(core: &Arc<Core>, queue: &Arc<Queue>, mut offset: u64) -> u64 {
    let (mut batch, mut patience) = (core.options.pull_batch, Duration::ZERO);
    let mut evicted: Option<(Instant, Duration)> = None;
    let mut carries_from = Instant::now();
    // Nothing is known yet.
    let mut has_more = true;
    loop {
        let expected = wait_for_room(core, queue, has_more.then_some(batch)).await;
        // What has changed until here this pull heeds.
        queue.take_interrupt();
        let Some(subscription) = core.subscriptions.of(queue.id().topic()) else {
            // Nobody wants the topic any more: the next rebalance gives the queue up.
            core.rebalance.notify_one();
            return std::future::pending::<u64>().await;
        };
        rebalance::standstill::check(core);
        let carried = if Instant::now() >= carries_from { Carried::take(core, queue) } else { None };
        let carries = carried.is_some();
        let (wait, patience_now) = match expected {
            // What is there comes at once; what is not must not be expected for long.
            Some(_) => (Duration::ZERO, patience + LONG_POLL),
            // A broker that was away answers at once that it is back, and holds the next one.
            None if queue.away_since().is_some() => (Duration::ZERO, patience),
            None if carries => (Duration::ZERO, patience + LONG_POLL),
            None => (LONG_POLL, patience),
        };
        let request = PullRequest {
            group: &core.group,
            source: &queue.source,
            subscription: &subscription,
            offset,
            commit: carried.as_ref().map(|carried| carried.offset),
            max_messages: batch,
            wait,
            patience: patience_now,
        };
        let began = Instant::now();
        queue.status.lock().last_pull = Some(began);
        let pulling = core.backend.pull(request);
        let pulled = match carried {
            Some(carried) => Box::pin(carried.along(core, pulling)).await,
            None => unless_interrupted(queue, pulling).await,
        };
        if carries {
            carries_from = Instant::now() + carry::pause_after(core, pulled.as_ref());
        }
        if queue.stop.is_cancelled() {
            return std::future::pending::<u64>().await; // only what it carried was waited for
        }
        let Some(pulled) = pulled else { continue };
        match pulled {
            Ok(pulled) => {
                queue.set_state(QueueState::Running);
                if began.elapsed() < QUICK {
                    batch = batch.saturating_mul(2).min(core.options.pull_batch);
                    patience = Duration::ZERO;
                }
                if pulled.outcome == PullOutcome::Moved {
                    tracing::warn!(
                        group = %core.group, queue = %queue.id(),
                        from = offset, to = pulled.next_offset, min = pulled.min_offset, max = pulled.max_offset,
                        "the broker set another offset: the one asked for is outside of the queue, or an operator reset it"
                    );
                    return pulled.next_offset;
                }
                has_more = pulled.outcome == PullOutcome::Found && pulled.next_offset < pulled.max_offset;
                offset = take(core, queue, pulled, began);
                drop(expected);
                if !core.options.pull_interval.is_zero() {
                    tokio::time::sleep(core.options.pull_interval).await;
                }
            }
            Err(failure) => {
                tracing::debug!(queue = %queue.id(), %failure, "a pull failed");
                drop(expected);
                has_more = false;
                if failure.kind() == ErrorKind::Timeout {
                    batch = (batch / 2).max(1);
                    patience = (2 * patience + LONG_POLL).min(PATIENCE);
                }
                if failure.kind() == ErrorKind::Conflict {
                    let again = evicted.filter(|(last, _)| last.elapsed() < EVICTED_AGAIN);
                    let pause =
                        again.map_or(Duration::ZERO, |(_, pause)| (pause * 2).clamp(FAILED_PAUSE, DENIED_PAUSE));
                    tokio::time::sleep(pause).await;
                    evicted = Some((Instant::now(), pause));
                }
                Box::pin(rest(core, queue, &failure, offset)).await;
            }
        }
    }
}

/// `None` when the pull was interrupted; its answer is not missed, because the next one begins at the same place.
pub(super) async fn unless_interrupted<T>(queue: &Queue, mut pulling: BoxFuture<'_, T>) -> Option<T> {
    let mut interrupted = pin!(queue.interrupt.notified());
    poll_fn(|cx| match pulling.as_mut().poll(cx) {
        Poll::Ready(pulled) => Poll::Ready(Some(pulled)),
        Poll::Pending => interrupted.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Puts what came into the buffer. Returns where the next pull begins.
fn take(core: &Arc<Core>, queue: &Arc<Queue>, pulled: Pulled, began: Instant) -> u64 {
    let next = pulled.next_offset;
    queue.status.lock().max_offset = Some(pulled.max_offset);
    match pulled.outcome {
        PullOutcome::Found => {
            core.stats.received(pulled.records.len());
            let now = Instant::now();
            queue.rates.pulled(now, pulled.records.len(), now - began);
            let mut records = wanted(core, pulled.records);
            // Before the buffer is held: others take from it meanwhile.
            let has_backlog = queue.buffer.lock().has_backlog();
            if has_backlog {
                records.settle_down();
            }
            let (taken, bytes, committable) = {
                let mut buffer = queue.buffer.lock();
                let before = buffer.retained_bytes();
                let taken = buffer.put(records, next);
                (taken, buffer.retained_bytes() - before, buffer.committable())
            };
            core.buffered.add(taken, bytes);
            if taken > 0 {
                queue.status.lock().busy_since.get_or_insert_with(Instant::now);
                core.ready.offer(queue);
            } else {
                core.progress.with(|table| table.advance(queue.id(), committable));
            }
        }
        _ => {
            let committable = {
                let mut buffer = queue.buffer.lock();
                buffer.put(Box::new(Vec::new()), next);
                buffer.committable()
            };
            core.progress.with(|table| table.advance(queue.id(), committable));
        }
    }
    next
}

/// What interceptors let through; the others count as consumed.
fn wanted(core: &Core, mut records: Box<dyn Records>) -> Box<dyn Records> {
    if !core.options.interceptors.is_empty() {
        records.retain(&mut |message| interceptor::pass(core, message));
    }
    records
}

/// After a failure. In memory of its own, which pull loops have only then.
async fn rest(core: &Arc<Core>, queue: &Queue, failure: &Failure, offset: u64) {
    let pause = note(core, queue, failure, offset).await;
    tokio::time::sleep(pause).await;
}

/// Says why the queue stands still, and what to do about it. Returns how long to wait.
async fn note(core: &Arc<Core>, queue: &Queue, failure: &Failure, offset: u64) -> Duration {
    match failure.kind() {
        // Also one that takes pulls, and leaves them without an answer.
        ErrorKind::BrokerUnreachable | ErrorKind::Timeout => {
            let since = queue.away_since().unwrap_or_else(Instant::now);
            queue.set_state(QueueState::BrokerUnreachable { broker: queue.id().broker().clone(), since });
            core.look_elsewhere(failure.kind(), Some(queue.id())).await;
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
            core.evictions.fetch_add(1, Ordering::Relaxed);
            core.stack.backend.announce().await;
            Duration::ZERO
        }
        // A record that cannot be read stays unreadable: the queue stands there until somebody sets its offset.
        ErrorKind::Undecodable => {
            let since = queue.stuck_since().unwrap_or_else(Instant::now);
            queue.set_state(QueueState::StuckAt { offset, since });
            DENIED_PAUSE
        }
        _ => REFUSED_PAUSE,
    }
}
