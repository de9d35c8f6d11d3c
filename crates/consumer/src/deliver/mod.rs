//! From the buffers to the listeners and back: workers take from the queues that have something, in turn, and settle.

mod handler;
pub(crate) mod retry;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferrocket_model::ReceivedMessage;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{Outcome, core::Core, listener::AnyListener, queue::Queue};

use handler::Handled;
use retry::Returned;

/// The queues that have something to hand out. A queue stands in it once at most, so it is as long as the assignment.
#[derive(Default)]
pub(crate) struct Ready {
    queues: Mutex<VecDeque<Arc<Queue>>>,
    work: Notify,
    idle: AtomicUsize,
}

impl Ready {
    /// A queue has something.
    pub(crate) fn offer(&self, queue: &Arc<Queue>, messages: usize) {
        if messages == 0 {
            return;
        }
        if !queue.listed.swap(true, Ordering::AcqRel) {
            self.queues.lock().push_back(queue.clone());
        }
        if self.idle.load(Ordering::Acquire) > 0 {
            self.work.notify_one();
        }
    }

    fn pop(&self) -> Option<Arc<Queue>> {
        self.queues.lock().pop_front()
    }

    /// Wakes everybody, for the end.
    pub(crate) fn wake_all(&self) {
        self.work.notify_waiters();
    }
}

/// One of `concurrency` workers. Ends when the consumer does, or when there should be fewer.
pub(crate) async fn work(core: Arc<Core>, number: usize) {
    while !core.ending.is_cancelled() && number < core.concurrency() {
        let Some(queue) = core.ready.pop() else {
            core.ready.idle.fetch_add(1, Ordering::AcqRel);
            let woken = core.ready.work.notified();
            // Between the look and the notice something may have come.
            if core.ready.queues.lock().is_empty() && !core.ending.is_cancelled() {
                core.ending.run_until_cancelled(woken).await;
            }
            core.ready.idle.fetch_sub(1, Ordering::AcqRel);
            continue;
        };
        queue.listed.store(false, Ordering::Release);
        if queue.stop.is_cancelled() {
            continue;
        }
        let mut running = Running::begin(&core, &queue);
        match &core.listener {
            AnyListener::Single(_) => {
                let (message, more) = {
                    let mut buffer = queue.buffer.lock();
                    (buffer.take_one(), buffer.has_ready())
                };
                pass_on(&core, &queue, more);
                if let Some(message) = message {
                    running.count(1);
                    single(&core, &queue, message).await;
                }
            }
            AnyListener::Batch(max, _) => {
                let (batch, more) = {
                    let mut buffer = queue.buffer.lock();
                    (buffer.take(*max), buffer.has_ready())
                };
                pass_on(&core, &queue, more);
                if !batch.is_empty() {
                    running.count(batch.len());
                    self::batch(&core, &queue, batch).await;
                }
            }
        }
        drop(running);
        tokio::task::coop::consume_budget().await;
    }
}

/// There is more in the queue: the next worker in turn gets it.
fn pass_on(core: &Core, queue: &Arc<Queue>, more: bool) {
    core.ready.offer(queue, usize::from(more));
}

async fn single(core: &Arc<Core>, queue: &Arc<Queue>, message: ReceivedMessage) {
    let AnyListener::Single(listener) = &core.listener else { return };
    if let Some(defect) = message.defect() {
        let outcome = Outcome::retry(defect.to_owned());
        return settle(core, queue, message, outcome).await;
    }
    let began = Instant::now();
    let (listener, handed) = (listener.clone(), message.clone());
    let outcome = match handler::start(move || listener.consume(handed)) {
        Ok(running) => {
            match core.abort.run_until_cancelled(handler::run(running, core.options.handler_timeout)).await {
                Some(handled) => handled,
                None => return, // the deadline of the shutdown: the message will come again
            }
        }
        Err(panic) => Handled::Panicked(panic),
    };
    core.stats.handled(began.elapsed());
    settle(core, queue, message, judge(core, outcome)).await;
}

async fn batch(core: &Arc<Core>, queue: &Arc<Queue>, batch: Vec<ReceivedMessage>) {
    let AnyListener::Batch(_, listener) = &core.listener else { return };
    let (batch, broken): (Vec<_>, Vec<_>) = batch.into_iter().partition(|message| message.defect().is_none());
    for message in broken {
        let outcome = Outcome::retry(message.defect().unwrap_or_default().to_owned());
        settle(core, queue, message, outcome).await;
    }
    if batch.is_empty() {
        return;
    }
    let began = Instant::now();
    let (listener, handed) = (listener.clone(), batch.clone());
    let handled = match handler::start(move || listener.consume(handed)) {
        Ok(running) => {
            match core.abort.run_until_cancelled(handler::run(running, core.options.handler_timeout)).await {
                Some(handled) => handled,
                None => return,
            }
        }
        Err(panic) => Handled::Panicked(panic),
    };
    core.stats.handled(began.elapsed());
    let outcomes = match handled {
        Handled::Returned(outcome) => outcome.into_outcomes(batch.len()),
        Handled::Panicked(text) => batch.iter().map(|_| judge(core, Handled::Panicked(text.clone()))).collect(),
        Handled::TimedOut => batch.iter().map(|_| judge(core, Handled::TimedOut)).collect(),
    };
    // What is done is settled at once, under one lock; what failed goes its way one by one.
    let mut failed = Vec::new();
    let mut done = Vec::with_capacity(batch.len());
    for (message, outcome) in batch.into_iter().zip(outcomes) {
        if outcome.is_consumed() {
            done.push(message.offset());
        } else {
            failed.push((message, outcome));
        }
    }
    core.stats.consumed(done.len());
    core.settle_offsets(queue, &done);
    for (message, outcome) in failed {
        settle(core, queue, message, outcome).await;
    }
}

/// What a handler's end means.
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

/// Settles a message: it is done, or the broker has it again. While the broker does not take it back it stays here, and its
/// offset waits.
async fn settle(core: &Arc<Core>, queue: &Arc<Queue>, message: ReceivedMessage, outcome: Outcome) {
    // The queue is somebody else's by now: the message comes again there, and nothing of ours counts.
    if !queue.is_owned() {
        return;
    }
    let Some(redelivery) = outcome.redelivery() else {
        core.stats.consumed(1);
        core.settle_offsets(queue, &[message.offset()]);
        return;
    };
    core.stats.failed();
    if let Some(reason) = outcome.reason() {
        tracing::debug!(queue = %queue.id(), offset = message.offset(), attempt = message.attempt(), %reason, "a message failed");
    }
    let returned = Returned { queue: queue.clone(), message, redelivery };
    if let Err(returned) = returned.give_back(core).await {
        core.retries.push(returned);
    }
}

/// Counts what is in listeners, for hand-overs and shutdown.
struct Running<'a> {
    core: &'a Core,
    queue: &'a Queue,
    messages: usize,
}

impl<'a> Running<'a> {
    fn begin(core: &'a Core, queue: &'a Queue) -> Self {
        queue.running.fetch_add(1, Ordering::AcqRel);
        Self { core, queue, messages: 0 }
    }

    fn count(&mut self, messages: usize) {
        self.messages = messages;
        self.core.running.fetch_add(messages, Ordering::AcqRel);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.core.running.fetch_sub(self.messages, Ordering::AcqRel);
        self.queue.running.fetch_sub(1, Ordering::AcqRel);
        self.core.idle.notify_waiters();
    }
}
