use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ferrocket_backend::{BoxFuture, ConsumerMember, Ending, Managed, Member, MemberKind, Subscription};
use ferrocket_model::{ConsumeFrom, ErrorKind, Failure, Filter, FilterKind, Group, SetupError, Topic, system};
use ferrocket_offset_store::{BrokerOffsets, Progress};
use ferrocket_route::Stack;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AllocateQueues, Average, BatchListener, Listener, PushConsumer,
    core::{self, Buffered, Core, Options},
    deliver::{
        Ready,
        retry::{self, Retries},
    },
    listener::{AnyListener, Erased},
    rebalance,
    stats::Stats,
};

/// State of the builder: no listener was chosen, so there is no `build`.
#[derive(Debug)]
pub enum NoListener {}

/// State of the builder: messages are handled side by side.
#[derive(Debug)]
pub enum Concurrent {}

/// Options of a push consumer. Nothing runs before `build`, which exists once a listener was chosen.
#[must_use = "a builder does nothing until `build().await`"]
pub struct PushConsumerBuilder<L = NoListener> {
    settings: Box<Settings>,
    listener: Option<AnyListener>,
    kind: PhantomData<fn() -> L>,
}

struct Settings {
    stack: Stack,
    group: Group,
    subscriptions: Vec<(Topic, Filter)>,
    strategy: Arc<dyn AllocateQueues>,
    concurrency: usize,
    options: Options,
}

impl PushConsumerBuilder<NoListener> {
    /// For those who build their own stack. Users say `client.push_consumer(group)`.
    pub fn new(stack: Stack, group: impl Into<Group>) -> Self {
        let options = Options {
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
            shutdown_timeout: Duration::from_secs(15),
        };
        let settings = Settings {
            stack,
            group: group.into(),
            subscriptions: Vec::new(),
            strategy: Arc::new(Average),
            concurrency: 20,
            options,
        };
        Self { settings: Box::new(settings), listener: None, kind: PhantomData }
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
}

impl<L> PushConsumerBuilder<L> {
    fn with_listener<M>(self, listener: AnyListener) -> PushConsumerBuilder<M> {
        PushConsumerBuilder { settings: self.settings, listener: Some(listener), kind: PhantomData }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
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

    /// How many handlers may run at once. Default: 20.
    #[doc(alias = "consumeThreadMin")]
    #[doc(alias = "consumeThreadMax")]
    pub fn concurrency(self, handlers: usize) -> Self {
        self.set(|settings| settings.concurrency = handlers)
    }

    /// How often a message is delivered, the first time included, before it goes to the dead-letter topic. Default: 17.
    #[doc(alias = "maxReconsumeTimes")]
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.set(|settings| settings.options.max_attempts = attempts)
    }

    /// How the members of the group share the queues. Default: [`Average`]. Every member must use the same.
    #[doc(alias = "AllocateMessageQueueStrategy")]
    pub fn allocation(self, strategy: impl AllocateQueues) -> Self {
        self.set(|settings| settings.strategy = Arc::new(strategy))
    }

    /// How many messages one pull may bring, 1 to 1,024. Default: 32.
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

    /// How many messages of all queues may wait or run. Default: 20,000. A queue with nothing buffered may always pull once.
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

    /// How long [`PushConsumer::shutdown`] may take; handlers still running then are dropped, and their messages come again.
    /// Default: 15 s.
    #[doc(alias = "awaitTerminationMillisWhenShutdown")]
    pub fn shutdown_timeout(self, deadline: Duration) -> Self {
        self.set(|settings| settings.options.shutdown_timeout = deadline)
    }
}

impl PushConsumerBuilder<Concurrent> {
    /// How long a handler may take; then it is dropped, and its message is retried. Default: 15 min.
    #[doc(alias = "consumeTimeout")]
    pub fn handler_timeout(self, limit: Duration) -> Self {
        self.set(|settings| settings.options.handler_timeout = limit)
    }

    /// How far the last buffered message of a queue may be from the first unsettled one; then its pulls stop. Default: 2,000.
    #[doc(alias = "consumeConcurrentlyMaxSpan")]
    pub fn max_offset_span(self, offsets: u64) -> Self {
        self.set(|settings| settings.options.max_offset_span = offsets)
    }

    /// Checks every option, joins the group, and starts. Topics that do not exist yet are waited for.
    ///
    /// # Errors
    ///
    /// The option that cannot work, with its value and what to do; `Conflict` when this client has a consumer in the group.
    ///
    /// # Cancel safety
    ///
    /// Nothing stays when it is dropped.
    pub fn build(self) -> BoxFuture<'static, Result<PushConsumer, SetupError>> {
        Box::pin(async move {
            let Self { settings, listener, .. } = self;
            let Settings { stack, group, subscriptions, strategy, concurrency, options } = *settings;
            let operation = format!("build consumer {group}");
            let Some(listener) = listener else {
                return Err(Failure::invalid_argument(operation, "there is no listener").into());
            };
            check(&operation, &group, &subscriptions, concurrency, &listener, &options)?;
            let version = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            let mut subscriptions: Vec<_> =
                subscriptions.into_iter().map(|(topic, filter)| Subscription { topic, filter, version }).collect();
            subscriptions.push(Subscription { topic: group.retry_topic(), filter: Filter::all(), version });
            let store = Arc::new(BrokerOffsets::new(stack.backend.clone()));
            let core = Arc::new(Core {
                progress: Progress::new(group.clone(), store),
                buffered: Buffered::new(stack.budget.clone()),
                stack,
                group,
                options,
                subscriptions,
                strategy,
                listener,
                ready: Ready::default(),
                retries: Retries::default(),
                stats: Stats::default(),
                queues: Mutex::default(),
                rebalance: Notify::new(),
                running: AtomicUsize::new(0),
                idle: Notify::new(),
                ending: CancellationToken::new(),
                abort: CancellationToken::new(),
                tasks: TaskTracker::new(),
                concurrency: AtomicUsize::new(0),
                paused: AtomicBool::new(false),
                shutdown: Ending::new(),
            });
            start(core, concurrency).await
        })
    }
}

async fn start(core: Arc<Core>, concurrency: usize) -> Result<PushConsumer, SetupError> {
    // Brokers are told of us when their addresses are known, so the topics are looked up first.
    for subscription in core.subscriptions.iter().filter(|subscription| !subscription.topic.is_retry()) {
        let timeout = core.stack.request_timeout;
        if let Err(failure) = core.stack.routes.route(&subscription.topic, None, timeout).await {
            if failure.kind() == ErrorKind::Closed {
                return Err(failure.into());
            }
            tracing::warn!(topic = %subscription.topic, %failure, "subscribed to a topic without a route; it is waited for");
        }
    }
    let member = ConsumerMember {
        subscriptions: core.subscriptions.clone(),
        is_broadcast: false,
        consume_from: core.options.consume_from,
    };
    let member = Member { group: core.group.clone(), kind: MemberKind::Consumer(member) };
    let joining = Joining { core: Some(&core) };
    let joined = core.stack.backend.join(member).await;
    let events = match joined {
        Ok(joined) => joined.events,
        Err(failure) => {
            // A conflict is about somebody else's membership: it stays.
            std::mem::forget(joining);
            return Err(failure.into());
        }
    };
    joining.done();
    core.spawn(Box::pin(rebalance::forward(core.clone(), events)));
    core.spawn(Box::pin(rebalance::run(core.clone())));
    for subscription in &core.subscriptions {
        core.spawn(Box::pin(rebalance::watch(core.clone(), subscription.clone())));
    }
    core.spawn(Box::pin(retry::run(core.clone())));
    core.spawn_to_its_end(Box::pin(core::commit_regularly(core.clone())));
    core.set_concurrency(concurrency);
    core.stack.scope.add(&(core.clone() as Arc<dyn Managed>));
    Ok(PushConsumer::new(core))
}

/// Takes the membership back when `build` is dropped while it joins.
struct Joining<'a> {
    core: Option<&'a Core>,
}

impl Joining<'_> {
    fn done(mut self) {
        self.core = None;
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if let Some(core) = self.core {
            core.stack.backend.forget(&core.group, true);
        }
    }
}

fn check(
    operation: &str,
    group: &Group,
    subscriptions: &[(Topic, Filter)],
    concurrency: usize,
    listener: &AnyListener,
    options: &Options,
) -> Result<(), SetupError> {
    let wrong = |option: &'static str, problem: String| -> Result<(), SetupError> {
        Err(Failure::invalid_argument(operation, problem).with_option(option).into())
    };
    if let Err(invalid) = group.check() {
        return wrong("group", format!("{group:?} cannot be used: {invalid}"));
    }
    if *group == system::DEFAULT_CONSUMER {
        return wrong("group", format!("{group:?} is reserved; choose a name of your own"));
    }
    if subscriptions.is_empty() {
        return wrong("subscribe", "there is no subscription; say which topic to consume".to_owned());
    }
    for (topic, filter) in subscriptions {
        if let Err(invalid) = topic.check_for_consuming() {
            return wrong("subscribe", format!("topic {topic:?} cannot be used: {invalid}"));
        }
        if let Err(problem) = filter.check() {
            return wrong("subscribe", format!("topic {topic:?}: {problem}"));
        }
        if filter.kind() == FilterKind::Sql {
            let failure = Failure::new(ErrorKind::Unsupported, operation)
                .with_detail("SQL filters are not in this version; filter by tags")
                .with_option("subscribe");
            return Err(failure.into());
        }
    }
    if concurrency == 0 {
        return wrong("concurrency", "0 would never handle a message".to_owned());
    }
    if listener.max() == 0 {
        return wrong("concurrent_batch", "a batch of 0 messages would never be handled".to_owned());
    }
    if options.max_attempts == 0 {
        return wrong("max_attempts", "0 would never deliver; 1 delivers once".to_owned());
    }
    if !(1..=1024).contains(&options.pull_batch) {
        return wrong("pull_batch", format!("{} is outside of 1 to 1024", options.pull_batch));
    }
    if options.pull_interval > Duration::from_secs(65) {
        return wrong("pull_interval", format!("{:?} is longer than 65 s", options.pull_interval));
    }
    for (option, value) in [("queue_buffer", options.queue_buffer), ("queue_buffer_bytes", options.queue_buffer_bytes)]
    {
        if value == 0 {
            return wrong(option, "0 would never pull".to_owned());
        }
    }
    if options.buffer < options.queue_buffer {
        return wrong(
            "buffer",
            format!(
                "{} is less than what one queue may hold ({}, `queue_buffer`)",
                options.buffer, options.queue_buffer
            ),
        );
    }
    if options.buffer_bytes < options.queue_buffer_bytes {
        return wrong(
            "buffer_bytes",
            format!(
                "{} is less than what one queue may hold ({}, `queue_buffer_bytes`)",
                options.buffer_bytes, options.queue_buffer_bytes
            ),
        );
    }
    if options.max_offset_span == 0 {
        return wrong("max_offset_span", "0 would never pull".to_owned());
    }
    if options.commit_interval < Duration::from_millis(100) {
        return wrong("commit_interval", format!("{:?} is less than 100 ms", options.commit_interval));
    }
    if options.handler_timeout.is_zero() {
        return wrong("handler_timeout", "0 leaves no time to handle a message".to_owned());
    }
    Ok(())
}

impl<L> std::fmt::Debug for PushConsumerBuilder<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConsumerBuilder").field("group", &self.settings.group).finish_non_exhaustive()
    }
}
