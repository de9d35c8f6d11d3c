//! Single sends that leave together: a message waits a moment for others of its topic, and gets a receipt of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferrocket_backend::{BoxFuture, SendKind, spawn};
use ferrocket_model::{
    Applied, DeliveryTime, ErrorKind, Failure, Message, MessageId, MessageQueue, SendReceipt, properties,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    AutoBatch,
    batch::{self, Members},
    core::Core,
    interceptor::Watch,
    job::Job,
    send,
    sending::{Plan, SendError, Target},
    topics::TopicState,
    window::Place,
    wire_properties,
};

/// The batching of one producer.
#[derive(Debug)]
pub(crate) struct Accumulator {
    options: AutoBatch,
    /// Bytes of bodies that wait or are on their way in batches.
    held: AtomicUsize,
}

impl Accumulator {
    pub(crate) fn new(options: AutoBatch) -> Self {
        Self { options, held: AtomicUsize::new(0) }
    }

    /// Whether a message joins a batch (PRO-ACC-01).
    pub(crate) fn takes(&self, plan: &Plan, message: &Message) -> bool {
        plan.timeout.is_none()
            && plan.max_attempts.is_none()
            && !matches!(plan.target, Target::Select(_))
            && plan.core.options.select_queue.is_none()
            && self.suits(&plan.core, message)
            && self.held.load(Ordering::Relaxed) + message.body().len() <= self.options.total_bytes
    }

    /// Whether a message harms nobody else in a batch. Interceptors may change it, so it is looked at before and after them.
    fn suits(&self, core: &Core, message: &Message) -> bool {
        let bytes = message.body().len();
        bytes <= self.options.max_bytes
            && !core.options.compression.applies(bytes)
            && message.sharding_key().is_none()
            && !message.is_reply()
            && !message.topic().is_retry()
            && message.delivery() == DeliveryTime::Now
            && message.wire_properties().len() + wire_properties::ADDED_BYTES + core.added_property_bytes
                <= properties::MAX_BYTES
            && wire_bytes(core, message) <= core.options.max_message_bytes
    }
}

/// What a message takes in a batch, at most: lengths, flag and checksum are 22 bytes.
fn wire_bytes(core: &Core, message: &Message) -> usize {
    let properties = message.wire_properties().len() + wire_properties::ADDED_BYTES + core.added_property_bytes;
    22 + message.body().len() + properties
}

/// A message of an open batch.
struct Entry {
    message: Message,
    id: MessageId,
    watch: Watch,
    place: Place,
    queue: Option<MessageQueue>,
    done: oneshot::Sender<Result<SendReceipt, SendError>>,
}

/// The messages of one batch, while they wait and while they are on their way.
struct Entries {
    core: Arc<Core>,
    list: Vec<Entry>,
    /// Of bodies: what the options are about.
    bytes: usize,
}

impl Entries {
    fn new(core: &Arc<Core>) -> Self {
        Self { core: core.clone(), list: Vec::with_capacity(32), bytes: 0 }
    }

    fn push(&mut self, entry: Entry) {
        let bytes = entry.message.body().len();
        self.bytes += bytes;
        if let Some(accumulator) = &self.core.accumulator {
            accumulator.held.fetch_add(bytes, Ordering::Relaxed);
        }
        self.list.push(entry);
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if let Some(accumulator) = &self.core.accumulator {
            accumulator.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        // Those that were not sent: the runtime of their task has ended.
        for Entry { message, id, watch, .. } in &mut self.list {
            watch.close(&self.core, message, id, None);
        }
    }
}

/// The open batches of one topic. Few: one per queue, tag and wait flag that is in use right now.
#[derive(Debug, Default)]
pub(crate) struct OpenBatches {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    open: Vec<Open>,
}

struct Open {
    id: u64,
    queue: Option<MessageQueue>,
    tag: Option<Box<str>>,
    waits_for_store: bool,
    /// Of everything: what `max_message_bytes` is about.
    wire_bytes: usize,
    entries: Entries,
    /// Tells the batch's task to leave now.
    leave: oneshot::Sender<Entries>,
}

impl State {
    /// Sends a batch on its way: its task waits for this. Gives it back if that task has ended with its runtime; let go of it when the
    /// lock is free again, for interceptors are told.
    #[must_use]
    fn leave(&mut self, at: usize) -> Option<Entries> {
        let open = self.open.swap_remove(at);
        open.leave.send(open.entries).err()
    }
}

impl Open {
    fn takes(&self, message: &Message, queue: Option<&MessageQueue>) -> bool {
        self.queue.as_ref() == queue
            && self.tag.as_deref() == message.tag()
            && self.waits_for_store == message.waits_for_store()
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("messages", &self.entries.list.len())
            .field("bytes", &self.entries.bytes)
            .finish_non_exhaustive()
    }
}

pub(crate) fn start(plan: Plan, message: Message) -> BoxFuture<'static, Result<SendReceipt, SendError>> {
    let mut job = Job::one(plan, message, SendKind::Message);
    if let Err(failure) = job.intercept().and_then(|()| job.check()) {
        return Box::pin(std::future::ready(Err(job.failed(failure))));
    }
    if job.core.accumulator.as_ref().is_some_and(|accumulator| !accumulator.suits(&job.core, &job.message)) {
        return Box::pin(send::slowly(job));
    }
    Box::pin(async move {
        let core = job.core.clone();
        let place = match core.window.try_enter(job.message.body().len()) {
            Some(place) => place,
            None => match Box::pin(job.enter()).await {
                Ok(place) => place,
                Err(failure) => return Err(job.failed(failure)),
            },
        };
        let queue = match std::mem::replace(&mut job.target, Target::Any) {
            Target::Queue(queue) => Some(queue),
            _ => None,
        };
        let topic = job.message.topic().clone();
        let receipt = join(&core, job, queue, place);
        // The task of a batch answers everybody, unless it was ended with its runtime; then the message is gone with it.
        receipt.await.unwrap_or_else(|_| {
            let failure = Failure::new(ErrorKind::Closed, format!("send to topic {topic}"));
            let failure = failure.with_detail("the runtime of the producer has ended").with_applied(Applied::Unknown);
            Err(SendError::new(Box::new(failure), Vec::new()))
        })
    })
}

/// Puts a message into a batch, which it opens if there is none, and sends on its way if it is full now (PRO-ACC-04).
fn join(
    core: &Arc<Core>,
    job: Job,
    queue: Option<MessageQueue>,
    place: Place,
) -> oneshot::Receiver<Result<SendReceipt, SendError>> {
    let topic = core.topics.of(job.message.topic(), &core.stack.routes);
    let (done, receipt) = oneshot::channel();
    let Some(accumulator) = &core.accumulator else { return receipt };
    let wire_bytes = wire_bytes(core, &job.message);
    // Both are for when the lock is free again.
    let (mut unsent, mut opened) = (Vec::new(), None);
    let mut state = topic.batches.state.lock();
    let mut known = state.open.iter().position(|open| open.takes(&job.message, queue.as_ref()));
    let limit = core.options.max_message_bytes;
    // Properties count too, and brokers refuse what is larger: then the batch leaves without this message.
    let is_over = |at: &mut usize| state.open.get(*at).is_some_and(|open| open.wire_bytes + wire_bytes > limit);
    if let Some(at) = known.take_if(is_over) {
        unsent.extend(state.leave(at));
    }
    let at = known.unwrap_or_else(|| {
        let (leave, full) = oneshot::channel();
        let id = state.next_id;
        state.next_id += 1;
        state.open.push(Open {
            id,
            queue: queue.clone(),
            tag: job.message.tag().map(Box::from),
            waits_for_store: job.message.waits_for_store(),
            wire_bytes: 0,
            entries: Entries::new(core),
            leave,
        });
        opened = Some((id, full));
        state.open.len() - 1
    });
    if let Some(open) = state.open.get_mut(at) {
        let (message, id, watch) = job.into_member();
        open.wire_bytes += wire_bytes;
        open.entries.push(Entry { message, id, watch, place, queue, done });
        // Who had to wait for his place may come after the flush of a shutdown.
        if open.entries.bytes > accumulator.options.max_bytes || core.is_closed() {
            unsent.extend(state.leave(at));
        }
    }
    drop(state);
    if let Some((id, full)) = opened {
        // Not tied to anybody: what was accepted is sent, also when its senders have gone.
        drop(spawn(Box::pin(linger(core.clone(), topic, id, full))));
    }
    receipt
}

/// A batch that a task waits with. When the task ends with its runtime, the batch does not stay: nobody would send it.
struct Lingering {
    topic: Arc<TopicState>,
    id: u64,
}

impl Drop for Lingering {
    fn drop(&mut self) {
        drop(self.topic.batches.take(self.id));
    }
}

/// The task of one batch: waits until it is full or old enough, and sends it.
fn linger(
    core: Arc<Core>,
    topic: Arc<TopicState>,
    id: u64,
    mut full: oneshot::Receiver<Entries>,
) -> impl Future<Output = ()> + Send {
    // A task may end before it is polled.
    let batch = Lingering { topic, id };
    async move {
        let Some(accumulator) = &core.accumulator else { return };
        let entries = match tokio::time::timeout(accumulator.options.timer(), &mut full).await {
            Ok(entries) => entries.ok(),
            Err(_) => match batch.topic.batches.take(batch.id) {
                Some(entries) => Some(entries),
                // It became full just now.
                None => full.await.ok(),
            },
        };
        if let Some(entries) = entries {
            leave(&core, entries).await;
        }
    }
}

/// Sends a batch, and tells everybody what became of his message.
async fn leave(core: &Arc<Core>, mut entries: Entries) {
    let list = std::mem::take(&mut entries.list);
    let mut waiting = Vec::with_capacity(list.len());
    let mut batch = Accumulated::default();
    let is_watched = !core.options.interceptors.is_empty();
    for Entry { message, id, watch, place, queue, done } in list {
        waiting.push(done);
        batch.members.messages.push(message);
        batch.members.ids.push(id);
        if is_watched {
            batch.members.watches.push(watch);
        }
        batch.places.push(place);
        batch.queue = queue;
    }
    let sent = match Job::accumulated(core, batch) {
        Ok(job) => batch::run(job).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(receipts) => {
            for (done, receipt) in waiting.into_iter().zip(receipts) {
                // Who does not wait any more does not want to know.
                let _ = done.send(Ok(receipt));
            }
        }
        Err(error) => {
            let (failure, messages) = error.into_parts();
            for (done, message) in waiting.into_iter().zip(messages) {
                let _ = done.send(Err(SendError::new(failure.clone(), vec![message])));
            }
        }
    }
}

/// What a batch has gathered.
#[derive(Default)]
pub(crate) struct Accumulated {
    pub(crate) members: Members,
    pub(crate) places: Vec<Place>,
    pub(crate) queue: Option<MessageQueue>,
}

impl OpenBatches {
    /// Takes a batch that is old enough.
    fn take(&self, id: u64) -> Option<Entries> {
        let mut state = self.state.lock();
        let at = state.open.iter().position(|open| open.id == id)?;
        Some(state.open.swap_remove(at).entries)
    }

    /// Sends everything on its way.
    pub(crate) fn flush(&self) {
        let open = std::mem::take(&mut self.state.lock().open);
        for open in open {
            drop(open.leave.send(open.entries));
        }
    }
}
