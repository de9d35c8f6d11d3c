use std::{marker::PhantomData, sync::Arc, time::Duration};

use ferrocket_backend::ConsumerBackend;
use ferrocket_model::{ConsumeFrom, Filter, Group, MessageQueue, Topic};
use ferrocket_offset_store::{DynOffsetStore, OffsetStore};
use ferrocket_route::Stack;

use super::{Concurrent, NoListener, Orderly, Streaming};
use crate::{
    AllocateQueues, Average, BatchListener, ConsumerInterceptor, Listener,
    core::{Options, Order},
    deliver::NO_LIMIT,
    listener::{AnyListener, Erased},
};

/// What changed in the queues that a consumer owns.
#[derive(Debug)]
#[non_exhaustive]
pub struct AssignmentChange {
    /// The topic.
    pub topic: Topic,
    /// Queues that it owns now.
    pub assigned: Vec<MessageQueue>,
    /// Queues that it does not own any more. Listeners that run have a moment to end.
    pub revoked: Vec<MessageQueue>,
}

/// Options of a push consumer. Nothing runs before `build`, which exists once a listener was chosen.
#[must_use = "a builder does nothing until `build().await`"]
pub struct PushConsumerBuilder<L = NoListener> {
    pub(super) settings: Box<Settings>,
    kind: PhantomData<fn() -> L>,
}

pub(super) struct Settings {
    pub(super) stack: Stack,
    pub(super) backend: Arc<dyn ConsumerBackend>,
    pub(super) group: Group,
    pub(super) subscriptions: Vec<(Topic, Filter)>,
    pub(super) strategy: Arc<dyn AllocateQueues>,
    pub(super) concurrency: usize,
    pub(super) listener: AnyListener,
    /// Where progress is kept, if not on the brokers.
    pub(super) store: Option<Arc<dyn DynOffsetStore>>,
    /// The options of those that exclude each other, in the order of their calls.
    pub(super) stores: Vec<&'static str>,
    /// By default it depends on the kind.
    pub(super) max_attempts: Option<u32>,
    pub(super) options: Options,
}

impl PushConsumerBuilder<NoListener> {
    /// For those who build their own stack. Users say `client.push_consumer(group)`.
    /// `backend` is the transport of the stack.
    pub fn new(stack: Stack, backend: Arc<dyn ConsumerBackend>, group: impl Into<Group>) -> Self {
        let options = Options {
            order: Order::Any,
            is_broadcast: false,
            commits_with_pulls: true,
            consume_from: ConsumeFrom::Latest,
            max_attempts: 17,
            pull_batch: 32,
            pull_interval: Duration::ZERO,
            queue_buffer: 1000,
            queue_buffer_bytes: 100 << 20,
            buffer: 20_000,
            buffer_bytes: 256 << 20,
            max_offset_span: 2000,
            commit_interval: Duration::from_secs(5),
            handler_timeout: Duration::from_secs(15 * 60),
            suspend: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(15),
            interceptors: Vec::new(),
            on_assignment: None,
        };
        let settings = Settings {
            stack,
            backend,
            group: group.into(),
            subscriptions: Vec::new(),
            strategy: Arc::new(Average),
            concurrency: 20,
            listener: AnyListener::Stream,
            store: None,
            stores: Vec::new(),
            max_attempts: None,
            options,
        };
        Self { settings: Box::new(settings), kind: PhantomData }
    }

    /// Messages are handled one by one, up to `concurrency` at a time, in no order.
    #[doc(alias = "MessageListenerConcurrently")]
    pub fn concurrent(self, listener: impl Listener) -> PushConsumerBuilder<Concurrent> {
        self.with_listener(AnyListener::Single(Arc::new(Erased(listener))))
    }

    /// Messages are handled in batches of up to `max`, each from one queue; a batch never waits to be filled.
    #[doc(alias = "consumeMessageBatchMaxSize")]
    pub fn concurrent_batch(self, max: usize, listener: impl BatchListener) -> PushConsumerBuilder<Concurrent> {
        self.with_listener(AnyListener::Batch(max, Arc::new(Erased(listener))))
    }

    /// Messages of one queue are handled one after the other, in the order in which they were stored; up to `concurrency` queues at a
    /// time. A message that fails is tried again in place, and its queue waits. Brokers lock each queue for one member of the group,
    /// and nothing is handed out while the lock is in doubt.
    #[doc(alias = "MessageListenerOrderly")]
    pub fn orderly(self, listener: impl Listener) -> PushConsumerBuilder<Orderly> {
        self.in_order().with_listener(AnyListener::Single(Arc::new(Erased(listener))))
    }

    /// As [`orderly`](Self::orderly), in batches of up to `max`, each from one queue; a batch never waits to be filled.
    pub fn orderly_batch(self, max: usize, listener: impl BatchListener) -> PushConsumerBuilder<Orderly> {
        self.in_order().with_listener(AnyListener::Batch(max, Arc::new(Erased(listener))))
    }

    fn in_order(self) -> Self {
        self.set(|settings| {
            settings.options.order = Order::Kept;
            settings.options.handler_timeout = NO_LIMIT;
        })
    }

    /// No listener: messages come out of a stream, and whoever takes them says what became of them. Nothing is handed out that was
    /// not asked for.
    pub fn deliveries(self) -> PushConsumerBuilder<Streaming> {
        self.with_listener(AnyListener::Stream)
    }
}

impl<L> PushConsumerBuilder<L> {
    fn with_listener<M>(mut self, listener: AnyListener) -> PushConsumerBuilder<M> {
        self.settings.listener = listener;
        PushConsumerBuilder { settings: self.settings, kind: PhantomData }
    }

    pub(super) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Wants messages of a topic: `"*"`, `"paid"`, `"paid || refunded"`, or a [`Filter`]. May be called for several topics; for
    /// the same topic the last call counts.
    pub fn subscribe(self, topic: impl Into<Topic>, filter: impl Into<Filter>) -> Self {
        let (topic, filter) = (topic.into(), filter.into());
        self.set(|settings| {
            settings.subscriptions.retain(|(known, _)| *known != topic);
            settings.subscriptions.push((topic, filter));
        })
    }

    /// Where a group without a stored offset begins, meant literally. Default: `Latest`.
    #[doc(alias = "setConsumeFromWhere")]
    pub fn consume_from(self, from: ConsumeFrom) -> Self {
        self.set(|settings| settings.options.consume_from = from)
    }

    /// Every member of the group gets every message. Progress is kept in `store`, one for each member:
    /// a file of its own, or what you like. There are no retry topic and no dead letters: a message
    /// that fails is tried again here, and passed over after `max_attempts` (3), which is counted and logged.
    #[doc(alias = "setMessageModel")]
    #[doc(alias = "BROADCASTING")]
    pub fn broadcast(self, store: impl OffsetStore) -> Self {
        self.set(|settings| {
            settings.options.is_broadcast = true;
            settings.options.commits_with_pulls = false;
            settings.store = Some(Arc::new(store));
            settings.stores.push("broadcast");
        })
    }

    /// Keeps progress elsewhere than on the brokers. Tools that ask brokers how far the group is do not see it then.
    pub fn offset_store(self, store: impl OffsetStore) -> Self {
        self.set(|settings| {
            settings.options.commits_with_pulls = false;
            settings.store = Some(Arc::new(store));
            settings.stores.push("offset_store");
        })
    }

    /// How many handlers may run at once; where an order is kept, how many queues are worked on at once. A stream has no such limit.
    /// Default: 20.
    #[doc(alias = "consumeThreadMin")]
    #[doc(alias = "consumeThreadMax")]
    pub fn concurrency(self, handlers: usize) -> Self {
        self.set(|settings| settings.concurrency = handlers)
    }

    /// How often a message is delivered, the first time included, before it goes to the dead-letter topic. Default: 17; where an order is
    /// kept no limit, because the queue waits for the message; in broadcasting 3.
    #[doc(alias = "maxReconsumeTimes")]
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.set(|settings| settings.max_attempts = Some(attempts))
    }

    /// How the members of the group share the queues. Default: [`Average`]. Every member must use the same.
    #[doc(alias = "AllocateMessageQueueStrategy")]
    pub fn allocation(self, strategy: impl AllocateQueues) -> Self {
        self.set(|settings| settings.strategy = Arc::new(strategy))
    }

    /// How many messages one pull may bring, 1 to 1,024. Default: 32. Where answers do not come in time, pulls ask for less for a while.
    #[doc(alias = "pullBatchSize")]
    pub fn pull_batch(self, messages: u32) -> Self {
        self.set(|settings| settings.options.pull_batch = messages)
    }

    /// A pause between the pulls of one queue, up to 65 s. Default: none.
    pub fn pull_interval(self, interval: Duration) -> Self {
        self.set(|settings| settings.options.pull_interval = interval)
    }

    /// How many messages of one queue may wait or run; then its pulls stop. Default: 1,000.
    #[doc(alias = "pullThresholdForQueue")]
    pub fn queue_buffer(self, messages: usize) -> Self {
        self.set(|settings| settings.options.queue_buffer = messages)
    }

    /// How many bytes the messages of one queue may keep in memory; then its pulls stop. Default: 100 MiB.
    #[doc(alias = "pullThresholdSizeForQueue")]
    pub fn queue_buffer_bytes(self, bytes: usize) -> Self {
        self.set(|settings| settings.options.queue_buffer_bytes = bytes)
    }

    /// How many messages of all queues may wait or run. Default: 20,000. Queues with a backlog wait in line for room then; a queue that holds
    /// nothing does so only while there are messages for the handlers.
    #[doc(alias = "pullThresholdForTopic")]
    pub fn buffer(self, messages: usize) -> Self {
        self.set(|settings| settings.options.buffer = messages)
    }

    /// How many bytes all queues may keep in memory. Default: 256 MiB.
    #[doc(alias = "pullThresholdSizeForTopic")]
    pub fn buffer_bytes(self, bytes: usize) -> Self {
        self.set(|settings| settings.options.buffer_bytes = bytes)
    }

    /// How often progress is stored, what changed of it. Default: 5 s.
    #[doc(alias = "persistConsumerOffsetInterval")]
    pub fn commit_interval(self, interval: Duration) -> Self {
        self.set(|settings| settings.options.commit_interval = interval)
    }

    /// Sees messages before and after the listener; may be given several times, and they run in that order. Default: none.
    #[doc(alias = "registerConsumeMessageHook")]
    #[doc(alias = "registerFilterMessageHook")]
    pub fn interceptor(self, interceptor: impl ConsumerInterceptor) -> Self {
        self.set(|settings| settings.options.interceptors.push(Arc::new(interceptor)))
    }

    /// Is told which queues the consumer got and gave up, after each change; on the task that shares them out, so be quick. Default:
    /// nobody.
    #[doc(alias = "MessageQueueListener")]
    pub fn on_assignment(self, hears: impl Fn(&AssignmentChange) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.options.on_assignment = Some(Arc::new(hears)))
    }

    /// How long [`PushConsumer::shutdown`](crate::PushConsumer::shutdown) may take; handlers still running then are dropped, and their messages come again.
    /// Default: 15 s.
    #[doc(alias = "awaitTerminationMillisWhenShutdown")]
    pub fn shutdown_timeout(self, deadline: Duration) -> Self {
        self.set(|settings| settings.options.shutdown_timeout = deadline)
    }
}

impl<L> std::fmt::Debug for PushConsumerBuilder<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConsumerBuilder").field("group", &self.settings.group).finish_non_exhaustive()
    }
}
