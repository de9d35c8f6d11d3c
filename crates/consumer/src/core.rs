use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use ferrocket_backend::{BoxFuture, ConsumerBackend, Ending, LAST_WORD, Leftover, Managed, Rates, Stage, spawn};
use ferrocket_model::{ConsumeFrom, ErrorKind, Group, MessageQueue};
use ferrocket_offset_store::Progress;
use ferrocket_route::Stack;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    AllocateQueues, AssignmentChange, ConsumerHealth, ConsumerReport, QueueHealth, QueueState,
    buffered::Buffered,
    deliver::{self, Ready, Workers, retry::Retries},
    interceptor::Interceptors,
    listener::AnyListener,
    queue::Queue,
    rebalance::{
        locks,
        standstill::{self, Pulse},
    },
    stats::Stats,
    subscription::Subscriptions,
};

/// Checked options.
pub(crate) struct Options {
    pub(crate) order: Order,
    /// Every member gets every message.
    pub(crate) is_broadcast: bool,
    /// Progress may go with pulls, because brokers keep it.
    pub(crate) commits_with_pulls: bool,
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
    pub(crate) suspend: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) interceptors: Interceptors,
    pub(crate) on_assignment: Option<Arc<OnAssignment>>,
}

/// Hears of changes.
pub(crate) type OnAssignment = dyn Fn(&AssignmentChange) + Send + Sync;

/// In which order messages of one queue are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Side by side.
    Any,
    /// One after the other.
    Kept,
}

/// What all handles and tasks of one consumer share.
pub(crate) struct Core {
    pub(crate) stack: Stack,
    /// The same transport as the stack's, with what consumers need.
    pub(crate) backend: Arc<dyn ConsumerBackend>,
    pub(crate) group: Group,
    pub(crate) options: Options,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) strategy: Arc<dyn AllocateQueues>,
    pub(crate) listener: AnyListener,
    pub(crate) progress: Progress,
    pub(crate) ready: Ready,
    pub(crate) retries: Retries,
    pub(crate) stats: Stats,
    pub(crate) buffered: Buffered,
    /// The queues owned now. Changed by the rebalance task, by the one that keeps locks, and by the shutdown.
    pub(crate) queues: Mutex<BTreeMap<MessageQueue, Arc<Queue>>>,
    /// Queues on their way to another member: their last messages are in listeners.
    pub(crate) leaving: Mutex<BTreeMap<MessageQueue, Arc<Queue>>>,
    /// Queues that are ours and cannot be started, with the reason.
    pub(crate) missing: Mutex<BTreeMap<MessageQueue, QueueState>>,
    /// How many members the group has, by the last list.
    pub(crate) members: AtomicUsize,
    /// How often brokers did not know what this consumer wants, since that was looked at last.
    pub(crate) evictions: AtomicUsize,
    /// What is wrong with the group, by who has found it.
    pub(crate) warnings: Mutex<BTreeMap<&'static str, BTreeSet<String>>>,
    /// Asks for a rebalance.
    pub(crate) rebalance: Notify,
    /// Brokers may have forgotten locks: they are asked for again at once.
    pub(crate) doubt: Notify,
    pub(crate) pulse: Pulse,
    pub(crate) started: SystemTime,
    pub(crate) rates: Rates,
    /// Messages in listeners, and who waits for their end.
    pub(crate) running: AtomicUsize,
    pub(crate) idle: Notify,
    /// Nothing new is pulled or handed out.
    pub(crate) ending: CancellationToken,
    /// Running handlers are dropped.
    pub(crate) abort: CancellationToken,
    /// Each task keeps a receiver to its end: when there is none left, all have ended.
    pub(crate) tasks: watch::Sender<()>,
    pub(crate) workers: Workers,
    pub(crate) paused: AtomicBool,
    pub(crate) shutdown: Ending,
}

impl Core {
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Whether brokers must say that a queue is ours alone before anything of it is handed out (CON-ORD-01).
    pub(crate) fn needs_locks(&self) -> bool {
        self.options.order == Order::Kept && !self.options.is_broadcast
    }

    /// Everything that may be locked for us: what is owned, and what is on its way out.
    pub(crate) fn locked(&self) -> Vec<Arc<Queue>> {
        let mut queues: Vec<_> = self.queues.lock().values().cloned().collect();
        queues.extend(self.leaving.lock().values().cloned());
        queues
    }

    /// Replaces what somebody has found wrong with the group. Gives back what it was before.
    pub(crate) fn warn(&self, by: &'static str, found: BTreeSet<String>) -> BTreeSet<String> {
        self.warnings.lock().insert(by, found).unwrap_or_default()
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
        let alive = self.tasks.subscribe();
        spawn(Box::pin(async move {
            task.await;
            drop(alive);
        }));
    }

    /// Makes the number of workers what it should be; those that are too many end by themselves.
    pub(crate) fn set_concurrency(self: &Arc<Self>, workers: usize) {
        for _ in 0..self.workers.want(workers) {
            // Workers end by themselves, so that a handler is never dropped by the end of its task.
            self.spawn_to_its_end(Box::pin(deliver::work(self.clone())));
        }
        self.ready.wake_all();
    }

    /// Messages are done with: their places are free, and the offset may move.
    pub(crate) fn settle_offsets(&self, queue: &Queue, offsets: &[u64]) {
        if offsets.is_empty() || !queue.is_owned() {
            return;
        }
        let (committable, messages, bytes, is_empty) = {
            let mut buffer = queue.buffer.lock();
            let before = (buffer.len(), buffer.retained_bytes());
            for offset in offsets {
                buffer.settle(*offset);
            }
            (buffer.committable(), before.0 - buffer.len(), before.1 - buffer.retained_bytes(), buffer.len() == 0)
        };
        self.buffered.remove(messages, bytes);
        if self.progress.with(|table| table.advance(queue.id(), committable)) {
            let mut status = queue.status.lock();
            status.last_progress = Some(Instant::now());
            if is_empty {
                status.busy_since = None;
            }
        }
        queue.room.notify_one();
    }

    /// After a call to the broker of a queue failed: it may be back at another address. The route of one topic of it tells.
    pub(crate) async fn look_elsewhere(&self, failed: ErrorKind, queue: Option<&MessageQueue>) {
        if let (ErrorKind::BrokerUnreachable, Some(queue)) = (failed, queue) {
            // Who called tries again in either case, and sees what comes of it.
            let _ = self.stack.routes.refresh(queue.topic()).await;
        }
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
            self.doubt.notify_one();
            self.ready.wake_all();
            self.stack.backend.forget(&self.group, true);
        }
    }

    pub(crate) fn health(&self) -> ConsumerHealth {
        let queues: Vec<_> = self.queues.lock().values().cloned().collect();
        let now = Instant::now();
        let mut health: Vec<_> = queues
            .into_iter()
            .map(|queue| {
                let (position, committed) =
                    self.progress.with(|table| (table.position(queue.id()), table.stored(queue.id())));
                let state = queue.state(now);
                let status = queue.status.lock();
                QueueHealth {
                    queue: queue.id().clone(),
                    state,
                    position,
                    committed,
                    lag: status.max_offset.zip(position).map(|(max, position)| max.saturating_sub(position)),
                    last_progress: status.last_progress,
                }
            })
            .collect();
        health.extend(self.missing.lock().iter().map(|(queue, state)| QueueHealth {
            queue: queue.clone(),
            state: state.clone(),
            position: None,
            committed: None,
            lag: None,
            last_progress: None,
        }));
        health.sort_by(|one, two| one.queue.cmp(&two.queue));
        ConsumerHealth {
            group: self.group.clone(),
            queues: health,
            buffered: self.buffered.messages(),
            buffered_bytes: self.buffered.bytes(),
            running_handlers: self.running.load(Ordering::Acquire),
            warnings: self.warnings.lock().values().flatten().cloned().collect(),
        }
    }

    /// Stops pulling, lets handlers finish, commits, unlocks, leaves.
    pub(crate) fn shut_down(
        self: &Arc<Self>,
        deadline: Duration,
    ) -> impl Future<Output = Vec<Leftover>> + Send + 'static {
        let core = self.clone();
        self.shutdown.run(move || Box::pin(async move { core.end_within(deadline).await }))
    }

    /// Waits until no message is in a listener. Gives back how many still are when the time is over.
    pub(crate) async fn until_idle(&self, until: Instant) -> usize {
        loop {
            let idle = self.idle.notified();
            let running = self.running.load(Ordering::Acquire);
            if running == 0 || tokio::time::timeout_at(until, idle).await.is_err() {
                return running;
            }
        }
    }

    async fn end_within(self: Arc<Self>, deadline: Duration) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        let group = || self.group.to_string();
        let until = Instant::now() + deadline;
        let left = || until.saturating_duration_since(Instant::now()).max(LAST_WORD);
        self.ending.cancel();
        self.doubt.notify_one();
        self.ready.wake_all();
        let running = self.until_idle(until).await;
        if running > 0 {
            leftovers.push(Leftover::Handlers { group: group(), messages: running });
            self.abort.cancel();
        }
        standstill::check(&self);
        let queues: Vec<_> = std::mem::take(&mut *self.queues.lock()).into_values().collect();
        self.doubt.notify_one(); // there is nothing to keep any more
        // Even at the deadline a last attempt is made to store what is settled.
        let unstored = self.store_last(&queues, left()).await;
        if !unstored.is_empty() {
            leftovers.push(Leftover::Offsets { group: group(), queues: unstored.len() });
        }
        for queue in &queues {
            self.let_go(queue);
        }
        // Only now may somebody else begin where we ended (CON-LIFE-09).
        let locked = locks::release(&self, &queues, left()).await;
        if locked > 0 {
            leftovers.push(Leftover::Locks { group: group(), queues: locked });
        }
        let untold = self.stack.backend.leave(&self.group, true, left()).await;
        leftovers.extend(untold.into_iter().map(|address| Leftover::Unregister { address }));
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.closed()).await;
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
