use std::{sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, EventStream, Managed, Member, MemberKind};
use ferrocket_model::{Failure, Group, Message, MessageQueue, SetupError, Topic, system};
use ferrocket_route::{FaultTable, LatencyClasses, Stack};

use crate::{
    AutoBatch, Compression, Producer,
    accumulate::Accumulator,
    attempt::RetryPolicy,
    core::{Core, Options, Selector},
    detector::Probe,
    interceptor::{Interceptors, ProducerInterceptor},
    window::Window,
};

/// Whether brokers that were slow or away are avoided for a while. Never used against a key, a queue or a selector.
///
/// Default: on, with Java's latency classes. (Off in Java.)
#[derive(Clone, Debug)]
#[doc(alias = "sendLatencyFaultEnable")]
#[doc(alias = "MQFaultStrategy")]
pub struct FaultTolerance {
    classes: Option<Vec<(Duration, Duration)>>,
    probe: Probe,
    is_on: bool,
}

impl FaultTolerance {
    /// Nobody is avoided.
    pub fn off() -> Self {
        Self { classes: None, probe: Probe::default(), is_on: false }
    }

    /// Other classes: from this latency on, avoided for that long. They must ascend.
    #[doc(alias = "latencyMax")]
    #[doc(alias = "notAvailableDuration")]
    pub fn latency_classes(mut self, classes: impl IntoIterator<Item = (Duration, Duration)>) -> Self {
        self.classes = Some(classes.into_iter().collect());
        self
    }

    /// While a broker cannot be reached, looks this often whether it is back, and waits this long for it. Default: every 500 ms,
    /// 200 ms. (Every 2 s in Java, and off.)
    #[doc(alias = "startDetectorEnable")]
    #[doc(alias = "detectInterval")]
    #[doc(alias = "detectTimeout")]
    pub fn probe(mut self, interval: Duration, timeout: Duration) -> Self {
        self.probe = Probe { interval, timeout };
        self
    }

    fn table(self) -> Result<FaultTable, &'static str> {
        match (self.is_on, self.classes) {
            (false, _) => Ok(FaultTable::off()),
            (true, None) => Ok(FaultTable::new(LatencyClasses::default()).probed()),
            (true, Some(classes)) => LatencyClasses::new(classes).map(|classes| FaultTable::new(classes).probed()),
        }
    }
}

impl Default for FaultTolerance {
    fn default() -> Self {
        Self { classes: None, probe: Probe::default(), is_on: true }
    }
}

/// One attempt's time, unless the user says another.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Options of a producer. Nothing runs before [`build`](Self::build).
#[must_use = "a builder does nothing until `build().await`"]
pub struct ProducerBuilder {
    stack: Stack,
    group: Group,
    topics: Vec<Topic>,
    send_timeout: Duration,
    retry: RetryPolicy,
    /// As the user said, if he did.
    attempt_timeout: Option<Duration>,
    max_message_bytes: usize,
    compression: Compression,
    max_in_flight: usize,
    max_in_flight_bytes: usize,
    select_queue: Option<Arc<Selector>>,
    fault_tolerance: FaultTolerance,
    new_topic_queues: u32,
    interceptors: Interceptors,
    auto_batch: Option<AutoBatch>,
    shutdown_timeout: Duration,
}

impl ProducerBuilder {
    pub(crate) fn new(stack: Stack, group: Group) -> Self {
        Self {
            stack,
            group,
            topics: Vec::new(),
            send_timeout: Duration::from_secs(3),
            retry: RetryPolicy {
                max_attempts: 3,
                attempt_timeout: ATTEMPT_TIMEOUT,
                retry_unknown: true,
                retry_not_ok: false,
                retry_codes: Vec::new(),
            },
            attempt_timeout: None,
            max_message_bytes: 4 << 20,
            compression: Compression::default(),
            max_in_flight: 1024,
            max_in_flight_bytes: 100 << 20,
            select_queue: None,
            fault_tolerance: FaultTolerance::default(),
            new_topic_queues: 4,
            interceptors: Vec::new(),
            auto_batch: None,
            shutdown_timeout: Duration::from_secs(15),
        }
    }

    /// Topics whose routes are looked up while `build` runs. Default: none; routes are looked up at the first send.
    pub fn topics<T: Into<Topic>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// The time of a whole send: place, route and all attempts. Default: 3 s.
    #[doc(alias = "sendMsgTimeout")]
    pub fn send_timeout(mut self, total: Duration) -> Self {
        self.send_timeout = total;
        self
    }

    /// The time of one attempt that others may follow. Default: 2 s. (Off in Java, where a dead first broker eats the whole time.)
    #[doc(alias = "sendMsgMaxTimeoutPerRequest")]
    pub fn attempt_timeout(mut self, each: Duration) -> Self {
        self.attempt_timeout = Some(each);
        self
    }

    /// How often a message is tried, the first time included. Default: 3.
    #[doc(alias = "retryTimesWhenSendFailed")]
    #[doc(alias = "retryTimesWhenSendAsyncFailed")]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.retry.max_attempts = attempts;
        self
    }

    /// Whether an attempt whose outcome is unknown is repeated, which may store the message twice. Default: true, at least once.
    pub fn retry_unknown(mut self, retry: bool) -> Self {
        self.retry.retry_unknown = retry;
        self
    }

    /// Whether a message that was stored, but not as safely as wanted, is sent to another broker too. Default: false. When that
    /// fails, the receipt is that of the first broker, with its [status](ferrocket_model::SendReceipt::status).
    #[doc(alias = "retryAnotherBrokerWhenNotStoreOK")]
    pub fn retry_not_ok(mut self, retry: bool) -> Self {
        self.retry.retry_not_ok = retry;
        self
    }

    /// Codes of servers after which another attempt is made, besides Java's: 1, 2, 14, 16, 17, 204, 205, 1500.
    #[doc(alias = "addRetryResponseCode")]
    pub fn retry_codes(mut self, codes: impl IntoIterator<Item = i32>) -> Self {
        self.retry.retry_codes = codes.into_iter().collect();
        self
    }

    /// The largest body, before compression; of a batch all of it, as it is sent. Default: 4 MiB, what brokers take.
    #[doc(alias = "maxMessageSize")]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// How bodies are compressed. Default: zlib at level 5, from 4,096 bytes.
    #[doc(alias = "compressMsgBodyOverHowmuch")]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How many sends may be in flight; further ones wait, within their time. Default: 1,024.
    #[doc(alias = "backPressureForAsyncSendNum")]
    pub fn max_in_flight(mut self, sends: usize) -> Self {
        self.max_in_flight = sends;
        self
    }

    /// How many bytes of bodies may be in flight; further ones wait, within their time. Default: 100 MiB.
    #[doc(alias = "backPressureForAsyncSendSize")]
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.max_in_flight_bytes = bytes;
        self
    }

    /// Chooses the queue of every send: an index into the list, or `None` for "no queue will do". Default: a sharding key's queue
    /// by Java's string hash, else one after the other past brokers that are slow or away.
    #[doc(alias = "MessageQueueSelector")]
    pub fn select_queue<F, R>(mut self, select: F) -> Self
    where
        F: Fn(&[MessageQueue], &Message) -> R + Send + Sync + 'static,
        R: Into<Option<usize>>,
    {
        self.select_queue =
            Some(Arc::new(move |queues: &[MessageQueue], message: &Message| select(queues, message).into()));
        self
    }

    /// Whether slow and absent brokers are avoided. Default: on.
    pub fn fault_tolerance(mut self, tolerance: FaultTolerance) -> Self {
        self.fault_tolerance = tolerance;
        self
    }

    /// How many queues per broker a topic gets that the first send creates, where brokers create topics. Default: 4.
    #[doc(alias = "defaultTopicQueueNums")]
    pub fn new_topic_queues(mut self, queues: u32) -> Self {
        self.new_topic_queues = queues;
        self
    }

    /// Batches single sends by itself. Default: off.
    #[doc(alias = "autoBatch")]
    pub fn auto_batch(mut self, options: AutoBatch) -> Self {
        self.auto_batch = Some(options);
        self
    }

    /// Sees every message before and after it is sent; may be given several times, and they run in that order. Default: none.
    #[doc(alias = "registerSendMessageHook")]
    #[doc(alias = "registerCheckForbiddenHook")]
    #[doc(alias = "registerEndTransactionHook")]
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// How long [`Producer::shutdown`] may take. Default: 15 s.
    pub fn shutdown_timeout(mut self, deadline: Duration) -> Self {
        self.shutdown_timeout = deadline;
        self
    }

    /// Checks every option, registers the group, and looks the [`topics`](Self::topics) up.
    ///
    /// # Errors
    ///
    /// The option that cannot work, with its value and what to do.
    ///
    /// # Cancel safety
    ///
    /// Nothing stays when it is dropped.
    pub fn build(self) -> BoxFuture<'static, Result<Producer, SetupError>> {
        Box::pin(async move { Ok(self.join().await?.0) })
    }

    /// As [`build`](Self::build), with what brokers ask the group.
    pub(crate) async fn join(self) -> Result<(Producer, EventStream), SetupError> {
        self.check()?;
        let topics = self.topics.clone();
        let operation = format!("build producer {}", self.group);
        let probe = self.fault_tolerance.probe;
        let faults = self
            .fault_tolerance
            .table()
            .map_err(|problem| Failure::invalid_argument(operation, problem).with_option("fault_tolerance"))?;
        let window = Window::new(self.max_in_flight, self.max_in_flight_bytes);
        let options = Options {
            send_timeout: self.send_timeout,
            retry: RetryPolicy { attempt_timeout: self.attempt_timeout.unwrap_or(ATTEMPT_TIMEOUT), ..self.retry },
            max_message_bytes: self.max_message_bytes,
            compression: self.compression,
            new_topic_queues: self.new_topic_queues,
            select_queue: self.select_queue,
            interceptors: self.interceptors,
            probe,
            shutdown_timeout: self.shutdown_timeout,
        };
        let core =
            Arc::new(Core::new(self.stack, self.group, options, window, faults, self.auto_batch.map(Accumulator::new)));
        let member = Member { group: core.group.clone(), kind: MemberKind::Producer };
        // From here on a drop takes the registration back.
        let producer = Producer::new(core.clone());
        let joined = core.stack.backend.join(member).await?;
        for topic in &topics {
            let timeout = core.stack.request_timeout;
            if let Err(failure) = core.stack.routes.route(topic, Some(core.options.new_topic_queues), timeout).await {
                tracing::warn!(%topic, %failure, "a route is not known yet; the first send looks it up again");
            }
        }
        core.stack.scope.add(&(core.clone() as Arc<dyn Managed>));
        Ok((producer, joined.events))
    }

    fn check(&self) -> Result<(), SetupError> {
        let operation = || format!("build producer {}", self.group);
        let wrong = |option: &'static str, problem: String| -> Result<(), SetupError> {
            Err(Failure::invalid_argument(operation(), problem).with_option(option).into())
        };
        if let Err(invalid) = self.group.check() {
            return wrong("group", format!("{:?} cannot be used: {invalid}", self.group));
        }
        if self.group == system::DEFAULT_PRODUCER {
            return wrong("group", format!("{:?} is reserved; choose a name of your own", self.group));
        }
        for topic in &self.topics {
            if let Err(invalid) = topic.check() {
                return wrong("topics", format!("{topic:?} cannot be used: {invalid}"));
            }
        }
        if self.send_timeout.is_zero() {
            return wrong("send_timeout", "0 leaves no time to send".to_owned());
        }
        if self.attempt_timeout.is_some_and(|attempt| attempt.is_zero()) {
            return wrong("attempt_timeout", "0 leaves no time for an attempt".to_owned());
        }
        if let Some(attempt) = self.attempt_timeout.filter(|attempt| *attempt > self.send_timeout) {
            let total = self.send_timeout;
            return wrong(
                "attempt_timeout",
                format!("{attempt:?} is longer than `send_timeout` ({total:?}), which covers all attempts"),
            );
        }
        if self.retry.max_attempts == 0 {
            return wrong("max_attempts", "0 would never send; 1 tries once".to_owned());
        }
        if self.max_message_bytes == 0 {
            return wrong("max_message_bytes", "0 allows no message".to_owned());
        }
        let largest = (16 << 20) - (64 << 10);
        if self.max_message_bytes > largest {
            return wrong(
                "max_message_bytes",
                format!("{} does not fit a frame; at most {largest} do", self.max_message_bytes),
            );
        }
        if let Err(problem) = self.compression.check() {
            return wrong("compression", problem);
        }
        if let Some(Err(problem)) = self.auto_batch.as_ref().map(|options| options.check(self.max_message_bytes)) {
            return wrong("auto_batch", problem);
        }
        let Probe { interval, timeout } = self.fault_tolerance.probe;
        if interval.is_zero() || timeout.is_zero() {
            return wrong("fault_tolerance", "a probe needs an interval and a timeout above 0".to_owned());
        }
        if self.max_in_flight == 0 {
            return wrong("max_in_flight", "0 would never send".to_owned());
        }
        if self.max_in_flight_bytes < self.max_message_bytes {
            let message = self.max_message_bytes;
            return wrong(
                "max_in_flight_bytes",
                format!(
                    "{} has no room for one message of {message} bytes (`max_message_bytes`)",
                    self.max_in_flight_bytes
                ),
            );
        }
        if self.new_topic_queues == 0 {
            return wrong("new_topic_queues", "a topic needs at least one queue".to_owned());
        }
        Ok(())
    }
}

impl std::fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder").field("group", &self.group).finish_non_exhaustive()
    }
}
