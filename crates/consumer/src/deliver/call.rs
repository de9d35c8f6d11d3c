//! One call of the listener: contained, timed, watched.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    slice,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use ferrocket_backend::BoxFuture;
use ferrocket_model::ReceivedMessage;
use tokio::time::Instant;
use tracing::Instrument;

use super::handler::{self, Handled};
use crate::{
    BatchOutcome, Outcome,
    cancellation::until_cancelled,
    core::Core,
    interceptor::Watch,
    listener::{DynBatchListener, DynListener},
    queue::Queue,
};

/// Hands one message to the listener. `None`: it was dropped before it ended, and the message will come again.
pub(super) async fn single(
    core: &Core,
    queue: &Queue,
    listener: &Arc<dyn DynListener>,
    message: &ReceivedMessage,
) -> Option<Outcome> {
    let watch = Watch::open(core, queue, slice::from_ref(message));
    let (listener, handed) = (listener.clone(), message.clone());
    let (handled, took) = run(core, queue, message, 1, move || listener.consume(handed)).await?;
    let panicked = matches!(handled, Handled::Panicked(_));
    let timed_out = matches!(handled, Handled::TimedOut);
    let outcome = judge(core, handled);
    count(queue, took, slice::from_ref(&outcome));
    watch.close(if timed_out { &[] } else { slice::from_ref(&outcome) }, panicked);
    Some(outcome)
}

/// Hands a batch to the listener. One outcome per message.
pub(super) async fn batch(
    core: &Core,
    queue: &Queue,
    listener: &Arc<dyn DynBatchListener>,
    batch: &[ReceivedMessage],
) -> Option<Vec<Outcome>> {
    let first = batch.first()?;
    let watch = Watch::open(core, queue, batch);
    let (listener, handed) = (listener.clone(), batch.to_vec());
    let (handled, took) = run(core, queue, first, batch.len(), move || listener.consume(handed)).await?;
    let panicked = matches!(handled, Handled::Panicked(_));
    let timed_out = matches!(handled, Handled::TimedOut);
    let outcome = match handled {
        Handled::Returned(outcome) => outcome,
        Handled::Panicked(text) => BatchOutcome::all(judge(core, Handled::Panicked(text))),
        Handled::TimedOut => BatchOutcome::all(judge(core, Handled::TimedOut)),
    };
    let outcomes = outcome.into_outcomes(batch.len());
    count(queue, took, &outcomes);
    watch.close(if timed_out { &[] } else { &outcomes }, panicked);
    Some(outcomes)
}

/// Runs a listener for itself: a panic is contained, and it is dropped when it takes longer than `limit`.
pub(crate) async fn contained<T: 'static>(make: impl FnOnce() -> BoxFuture<'static, T>, limit: Duration) -> Handled<T> {
    match handler::start(make) {
        Ok(running) => handler::run(running, limit).await,
        Err(panic) => Handled::Panicked(panic),
    }
}

/// Runs the listener until it ends, takes too long, or must be dropped: at the deadline of a shutdown, and when the lock of its
/// queue can no longer be proven.
async fn run<T: 'static>(
    core: &Core,
    queue: &Queue,
    message: &ReceivedMessage,
    messages: usize,
    make: impl FnOnce() -> BoxFuture<'static, T>,
) -> Option<(Handled<T>, Duration)> {
    let began = Instant::now();
    let span = tracing::debug_span!(
        target: "ferrocket::consume", "consume",
        group = %core.group, queue = %queue.id(), offset = message.offset(), attempt = message.attempt(), messages
    );
    let started = span.in_scope(|| handler::start(make));
    let handled = match started {
        Ok(running) => {
            let mut running = pin!(handler::run(running, core.options.handler_timeout));
            let mut running = pin!(while_locked(queue, running.as_mut()));
            let running = until_cancelled(&core.abort, running.as_mut());
            if span.is_disabled() { running.await.flatten() } else { running.instrument(span).await.flatten() }
        }
        Err(panic) => Some(Handled::Panicked(panic)),
    };
    let took = began.elapsed();
    core.stats.handled(took);
    handled.map(|handled| (handled, took))
}

fn count(queue: &Queue, took: Duration, outcomes: &[Outcome]) {
    let consumed = outcomes.iter().filter(|outcome| outcome.is_consumed()).count();
    queue.rates.handled(Instant::now(), took, consumed, outcomes.len() - consumed);
}

/// `None` when the lock ends first, or must be given back.
async fn while_locked<F: Future>(queue: &Queue, mut running: Pin<&mut F>) -> Option<F::Output> {
    let Some(lease) = &queue.lease else { return Some(running.await) };
    let mut ended = pin!(queue.fence.run_until_cancelled(lease.ended()));
    poll_fn(|cx| {
        if let Poll::Ready(handled) = running.as_mut().poll(cx) {
            return Poll::Ready(Some(handled));
        }
        ended.as_mut().poll(cx).map(|_| {
            tracing::error!(queue = %queue.id(), "the lock of a queue ends while its listener runs; the listener is dropped");
            None
        })
    })
    .await
}

/// What a listener's end means.
fn judge(core: &Core, handled: Handled<Outcome>) -> Outcome {
    match handled {
        Handled::Returned(outcome) => outcome,
        Handled::Panicked(text) => {
            core.stats.panicked();
            tracing::error!(group = %core.group, panic = text, "a listener panicked; its message is retried");
            Outcome::retry(format!("the listener panicked: {text}"))
        }
        Handled::TimedOut => {
            let limit = core.options.handler_timeout;
            tracing::warn!(group = %core.group, ?limit, "a listener took too long and was dropped; its message is retried");
            Outcome::retry(format!("the listener took longer than {limit:?} (`handler_timeout`)"))
        }
    }
}

/// No limit of time, for listeners that keep an order: their queue waits for them.
pub(crate) const NO_LIMIT: Duration = Duration::from_secs(u32::MAX as u64);
