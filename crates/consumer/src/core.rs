use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::{BoxFuture, Ending, LAST_WORD, Leftover, Managed, Stage, Subscription, spawn};
use ferrocket_model::{ConsumeFrom, Group, MessageQueue};
use ferrocket_offset_store::Progress;
use ferrocket_route::Stack;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AllocateQueues, ConsumerHealth, ConsumerReport, QueueHealth,
    deliver::{self, Ready, retry::Retries},
    listener::AnyListener,
    queue::Queue,
    stats::Stats,
};

/// Checked options.
pub(crate) struct Options {
    pub(crate) consume_from: ConsumeFrom,
    pub(crate) max_attempts: u32,
    pub(crate) pull_batch: u32,
    pub(crate) pull_interval: Duration,
    pub(crate) queue_buffer: usize,
    pub(crate) queue_buffer_bytes: usize,
    pub(crate) buffer: usize,
    pub(crate) buffer_bytes: usize,
    pub(crate) max_offset_span: u64,
    pub(crate) commit_interval: Duration,
    pub(crate) handler_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
}

/// What all handles and tasks of one consumer share.
pub(crate) struct Core {
    pub(crate) stack: Stack,
    pub(crate) group: Group,
    pub(crate) options: Options,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) strategy: Arc<dyn AllocateQueues>,
    pub(crate) listener: AnyListener,
    pub(crate) progress: Progress,
    pub(crate) ready: Ready,
    pub(crate) retries: Retries,
    pub(crate) stats: Stats,
    pub(crate) buffered: Buffered,
    /// The queues owned now. Changed by the rebalance task only.
    pub(crate) queues: Mutex<BTreeMap<MessageQueue, Arc<Queue>>>,
    /// Asks for a rebalance.
    pub(crate) rebalance: Notify,
    /// Messages in listeners, and who waits for their end.
    pub(crate) running: AtomicUsize,
    pub(crate) idle: Notify,
    /// Nothing new is pulled or handed out.
    pub(crate) ending: CancellationToken,
    /// Running handlers are dropped.
    pub(crate) abort: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) concurrency: AtomicUsize,
    pub(crate) paused: AtomicBool,
    pub(crate) shutdown: Ending,
}

/// What all queues of a consumer hold together, and of its client.
pub(crate) struct Buffered {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    budget: Arc<ferrocket_route::Budget>,
}

impl Buffered {
    pub(crate) fn new(budget: Arc<ferrocket_route::Budget>) -> Self {
        Self { messages: AtomicUsize::new(0), bytes: AtomicUsize::new(0), budget }
    }

    pub(crate) fn add(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.budget.add(bytes);
    }

    pub(crate) fn remove(&self, messages: usize, bytes: usize) {
        self.messages.fetch_sub(messages, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.budget.remove(bytes);
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages.load(Ordering::Acquire)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        let left = self.bytes();
        self.budget.remove(left);
    }
}

impl Core {
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.load(Ordering::Acquire)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(crate) fn budget_has_room(&self) -> bool {
        self.buffered.budget.has_room()
    }

    /// Runs a task that ends with the consumer.
    pub(crate) fn spawn(&self, task: BoxFuture<'static, ()>) {
        let ending = self.ending.clone();
        self.spawn_to_its_end(Box::pin(async move {
            ending.run_until_cancelled(task).await;
        }));
    }

    /// Runs a task that ends by itself.
    pub(crate) fn spawn_to_its_end(&self, task: BoxFuture<'static, ()>) {
        spawn(Box::pin(self.tasks.track_future(task)));
    }

    /// Makes the number of workers what it should be; those that are too many end by themselves.
    pub(crate) fn set_concurrency(self: &Arc<Self>, workers: usize) {
        let before = self.concurrency.swap(workers, Ordering::AcqRel);
        for number in before..workers {
            // Workers end by themselves, so that a handler is never dropped by the end of its task.
            self.spawn_to_its_end(Box::pin(deliver::work(self.clone(), number)));
        }
        self.ready.wake_all();
    }

    /// Messages are done with: their places are free, and the offset may move.
    pub(crate) fn settle_offsets(&self, queue: &Queue, offsets: &[u64]) {
        if offsets.is_empty() || !queue.is_owned() {
            return;
        }
        let (committable, messages, bytes) = {
            let mut buffer = queue.buffer.lock();
            let before = (buffer.len(), buffer.retained_bytes());
            for offset in offsets {
                buffer.settle(*offset);
            }
            (buffer.committable(), before.0 - buffer.len(), before.1 - buffer.retained_bytes())
        };
        self.buffered.remove(messages, bytes);
        if self.progress.with(|table| table.advance(queue.id(), committable)) {
            queue.status.lock().last_progress = Some(Instant::now());
        }
        queue.room.notify_one();
    }

    /// Gives a queue up: what is in its buffer and not settled comes again to its next owner.
    pub(crate) fn let_go(&self, queue: &Queue) {
        queue.source.revocation.revoke();
        queue.stop.cancel();
        let (messages, bytes) = {
            let mut buffer = queue.buffer.lock();
            let held = (buffer.len(), buffer.retained_bytes());
            let end = buffer.committable();
            buffer.reset(end);
            held
        };
        self.buffered.remove(messages, bytes);
    }

    /// The last handle is gone: intake stops, what is settled is committed by the task that does so anyway.
    pub(crate) fn abandon(&self) {
        if !self.ending.is_cancelled() {
            self.ending.cancel();
            self.ready.wake_all();
            self.stack.backend.forget(&self.group, true);
        }
    }

    pub(crate) fn health(&self) -> ConsumerHealth {
        let queues: Vec<_> = self.queues.lock().values().cloned().collect();
        let queues = queues.into_iter().map(|queue| {
            let (position, committed) =
                self.progress.with(|table| (table.position(queue.id()), table.stored(queue.id())));
            let status = queue.status.lock();
            QueueHealth {
                queue: queue.id().clone(),
                state: status.state.clone(),
                position,
                committed,
                lag: status.max_offset.zip(position).map(|(max, position)| max.saturating_sub(position)),
                last_progress: status.last_progress,
            }
        });
        ConsumerHealth {
            group: self.group.clone(),
            queues: queues.collect(),
            buffered: self.buffered.messages(),
            buffered_bytes: self.buffered.bytes(),
            running_handlers: self.running.load(Ordering::Acquire),
        }
    }

    /// Stops pulling, lets handlers finish, commits, leaves.
    pub(crate) fn shut_down(
        self: &Arc<Self>,
        deadline: Duration,
    ) -> impl Future<Output = Vec<Leftover>> + Send + 'static {
        let core = self.clone();
        self.shutdown.run(move || Box::pin(async move { core.end_within(deadline).await }))
    }

    async fn end_within(self: Arc<Self>, deadline: Duration) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        let group = || self.group.to_string();
        let until = Instant::now() + deadline;
        self.ending.cancel();
        self.ready.wake_all();
        loop {
            let idle = self.idle.notified();
            let running = self.running.load(Ordering::Acquire);
            if running == 0 {
                break;
            }
            if tokio::time::timeout_at(until, idle).await.is_err() {
                leftovers.push(Leftover::Handlers { group: group(), messages: running });
                self.abort.cancel();
                break;
            }
        }
        let queues: Vec<_> = self.queues.lock().values().cloned().collect();
        // Even at the deadline a last attempt is made to store what is settled.
        let left = until.saturating_duration_since(Instant::now()).max(self.stack.request_timeout);
        let unstored = self.progress.flush(left).await;
        if !unstored.is_empty() {
            leftovers.push(Leftover::Offsets { group: group(), queues: unstored.len() });
        }
        for queue in queues {
            self.let_go(&queue);
        }
        self.queues.lock().clear();
        let left = until.saturating_duration_since(Instant::now()).max(LAST_WORD);
        let untold = self.stack.backend.leave(&self.group, true, left).await;
        leftovers.extend(untold.into_iter().map(|address| Leftover::Unregister { address }));
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
        leftovers
    }
}

impl Managed for Core {
    fn stage(&self) -> Stage {
        Stage::Consumers
    }

    fn end(self: Arc<Self>, deadline: Duration) -> BoxFuture<'static, Vec<Leftover>> {
        Box::pin(self.shut_down(deadline))
    }

    fn report(&self) -> Box<dyn Any + Send> {
        Box::new(ConsumerReport { health: self.health(), counters: self.stats.counters() })
    }
}

/// Stores what changed, at every interval and once more at the end.
pub(crate) async fn commit_regularly(core: Arc<Core>) {
    loop {
        let ended = core.ending.run_until_cancelled(tokio::time::sleep(core.options.commit_interval)).await.is_none();
        if ended && core.shutdown.has_begun() {
            return; // the shutdown commits
        }
        core.progress.flush(core.stack.request_timeout).await;
        if ended {
            return;
        }
    }
}
