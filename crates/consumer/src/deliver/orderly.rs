//! Messages of one queue one after the other, in place until they succeed: one worker at a time has a queue, while it is locked.

use std::{sync::Arc, time::Duration};

use ferrocket_backend::{Redelivery, SendBackRequest};
use ferrocket_model::ReceivedMessage;
use tokio::time::Instant;

use super::{
    Running, call,
    concurrent::defect,
    settle::{failed, skip},
};
use crate::{Outcome, core::Core, listener::AnyListener, queue::Queue};

/// After this long a worker passes on to another queue (CON-ORD-07).
const TURN: Duration = Duration::from_secs(60);
/// A queue whose lock is in doubt is looked at again after this time.
const DOUBT: Duration = Duration::from_millis(20);
/// What a listener may ask for between attempts (CON-ORD-14).
const SUSPEND: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(30);

/// Works on a queue until it has nothing, a message failed, or others have waited long enough. The queue stays off the list of those
/// that are ready meanwhile, so that nobody else works on it.
pub(super) async fn turn(core: &Arc<Core>, queue: &Arc<Queue>) {
    let ends = Instant::now() + TURN;
    let mut running = Running::begin(core, queue);
    let pause = loop {
        if core.ending.is_cancelled() || queue.stop.is_cancelled() || Instant::now() >= ends {
            break None;
        }
        if !queue.is_safe() {
            break Some(DOUBT);
        }
        let batch = queue.take(core.listener.max());
        if batch.is_empty() {
            break None;
        }
        running.count(batch.len());
        let outcomes = call(core, queue, &batch).await;
        // The lock may have ended while the listener ran, also if it returned: what it did does not count then.
        let is_certain = match &queue.lease {
            Some(lease) => lease.certain().await,
            None => true,
        };
        // Nor when the offset was set anew meanwhile.
        let Some(outcomes) = outcomes.filter(|_| is_certain && queue.is_owned()) else {
            put_back(queue, batch);
            break Some(DOUBT);
        };
        let pause = settle(core, queue, batch, outcomes).await;
        running.count(0);
        if pause.is_some() {
            break pause;
        }
    };
    drop(running);
    match pause {
        None => core.ready.release(queue),
        Some(pause) => {
            let (later, queue) = (core.clone(), queue.clone());
            core.spawn(Box::pin(async move {
                tokio::time::sleep(pause).await;
                later.ready.release(&queue);
            }));
        }
    }
}

/// Calls the listener, whichever kind it is. A body that cannot be read fails without it.
async fn call(core: &Core, queue: &Queue, batch: &[ReceivedMessage]) -> Option<Vec<Outcome>> {
    let broken = batch.iter().position(|message| message.defect().is_some());
    // What comes before the broken one is handed out first.
    let batch = match broken {
        Some(0) => return Some(batch.first().and_then(defect).into_iter().collect()),
        Some(index) => batch.get(..index)?,
        None => batch,
    };
    match &core.listener {
        AnyListener::Single(listener) => {
            let outcome = call::single(core, queue, listener, batch.first()?).await?;
            Some(vec![outcome])
        }
        AnyListener::Batch(_, listener) => call::batch(core, queue, listener, batch).await,
        AnyListener::Stream => None,
    }
}

/// Settles what was consumed; the first that was not, and all behind it, go back to their places. Says how long the queue rests
/// then.
async fn settle(
    core: &Arc<Core>,
    queue: &Arc<Queue>,
    batch: Vec<ReceivedMessage>,
    outcomes: Vec<Outcome>,
) -> Option<Duration> {
    let mut pause: Option<Duration> = None;
    let mut outcomes = outcomes.into_iter();
    let mut waiting = Vec::new();
    for message in batch {
        let Some(outcome) = outcomes.next() else {
            waiting.push(message); // was not handed out
            continue;
        };
        let Some(redelivery) = outcome.redelivery() else {
            core.stats.consumed(1);
            core.settle_offsets(queue, &[message.offset()]);
            continue;
        };
        failed(core, queue, &message, &outcome);
        let is_last = message.attempt() >= core.options.max_attempts || redelivery == Redelivery::DeadLetter;
        if is_last && send_away(core, queue, &message, &outcome).await {
            continue;
        }
        let asked = outcome.delay().unwrap_or(core.options.suspend).clamp(*SUSPEND.start(), *SUSPEND.end());
        pause = Some(pause.map_or(asked, |longest| longest.max(asked)));
        let attempt = message.attempt();
        // What could not be sent away has had its attempts.
        waiting.push(if is_last { message } else { message.with_attempt(attempt + 1) });
    }
    put_back(queue, waiting);
    pause
}

/// To the dead letters, for good. Returns whether that is done: until the broker has confirmed it, the queue waits.
async fn send_away(core: &Core, queue: &Queue, message: &ReceivedMessage, outcome: &Outcome) -> bool {
    if core.options.is_broadcast {
        skip(core, queue, message, outcome);
        return true;
    }
    let max_attempts = core.options.max_attempts;
    let request = SendBackRequest { group: &core.group, message, redelivery: Redelivery::DeadLetter, max_attempts };
    match core.backend.send_back(request).await {
        Ok(()) => {
            core.stats.dead_lettered();
            core.settle_offsets(queue, &[message.offset()]);
            true
        }
        Err(failure) => {
            tracing::warn!(%failure, "a message could not be sent to the dead letters; its queue waits");
            false
        }
    }
}

fn put_back(queue: &Queue, messages: Vec<ReceivedMessage>) {
    let mut buffer = queue.buffer.lock();
    for message in messages {
        buffer.put_back(message);
    }
}
