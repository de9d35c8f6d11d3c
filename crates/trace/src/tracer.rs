use std::{
    any::Any,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ferrocket_backend::{BoxFuture, Ending, Leftover, Managed, Stage, spawn};
use ferrocket_model::{Failure, OffsetId, SendReceipt, SendStatus, SetupError, properties::name};
use ferrocket_producer::{ProducerBuilder, ProducerInterceptor, SendContext, SendError, TransactionEnd};
use parking_lot::Mutex;
use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::TrySendError},
    },
    task::JoinHandle,
};

use crate::{EndRecord, MessageTrace, PubRecord, TraceKind, TraceRecord, dispatch};

/// The region of servers that say none (PRO-TRC-05).
const DEFAULT_REGION: &str = "DefaultRegion";
/// What asked servers of old for a time of delivery.
const START_DELIVER_TIME: &str = "__STARTDELIVERTIME";

/// Makes a record of every message that a broker has accepted, of every end of a transaction, and of every message before and after
/// its listener. An interceptor of producers and of consumers; cheap to clone. Its task and the producer behind it end with
/// [`Managed::end`], or when the last clone is gone: they send what they have, and further records are dropped.
///
/// As in Java, a send that failed leaves no record.
#[derive(Clone)]
pub struct Tracer {
    pub(crate) topic: ferrocket_model::Topic,
    /// Tells records of this run of the program from others.
    pub(crate) run: u64,
    queue: mpsc::Sender<TraceRecord>,
    shared: Arc<Shared>,
    task: Arc<Task>,
}

/// What has become of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceCounters {
    /// Records that found the queue full, or came after the end.
    pub dropped: u64,
    /// Records whose message could not be sent.
    pub lost: u64,
}

/// What the tracers and their task have in common.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    dropped: AtomicU64,
    lost: AtomicU64,
    /// Records that wait or are on their way.
    open: AtomicUsize,
    is_ending: AtomicBool,
    ends: Notify,
}

impl Shared {
    /// The next one, unless the end comes first.
    pub(crate) async fn until_ending<T>(&self, next: impl Future<Output = Option<T>>) -> Option<T> {
        let (mut next, mut ends) = (pin!(next), pin!(self.ends.notified()));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(next) = next.as_mut().poll(cx) {
                return Poll::Ready(next);
            }
            let is_ending = ends.as_mut().poll(cx).is_ready() || self.is_ending.load(Ordering::Acquire);
            if is_ending { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Tells the task to send what it has, and to end.
    fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.ends.notify_waiters();
    }

    /// A message with so many records was sent, or was not.
    pub(crate) fn sent(&self, records: usize, sent: Result<(), String>) {
        if let Err(error) = sent
            && let Some(lost) = count(&self.lost, records as u64)
        {
            tracing::warn!(lost, error, "trace records are lost: their message was not sent");
        }
        self.open.fetch_sub(records, Ordering::AcqRel);
    }
}

/// Counts, and gives the count where it is worth a word: not for each, but whenever it has reached another power of two.
fn count(counter: &AtomicU64, more: u64) -> Option<u64> {
    let before = counter.fetch_add(more, Ordering::Relaxed);
    let after = before.saturating_add(more);
    (before.checked_ilog2() != after.checked_ilog2()).then_some(after)
}

/// The task behind the queue.
struct Task {
    handle: Mutex<Option<JoinHandle<()>>>,
    ending: Ending,
}

impl Tracer {
    /// Starts the task that sends records, with a producer of this builder.
    ///
    /// # Errors
    ///
    /// When an option cannot work.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn start(options: MessageTrace, producer: ProducerBuilder) -> Result<Self, SetupError> {
        let wrong = |problem| Failure::invalid_argument("start message trace", problem).with_option("message_trace");
        options.check().map_err(wrong)?;
        let (sender, receiver) = mpsc::channel(options.queue);
        let shared = Arc::new(Shared::default());
        let topic = options.topic.clone();
        let handle = spawn(Box::pin(dispatch::run(options, producer, receiver, shared.clone())));
        let task = Arc::new(Task { handle: Mutex::new(Some(handle)), ending: Ending::new() });
        Ok(Self { topic, run: fastrand::u64(..), queue: sender, shared, task })
    }

    /// Counters. Without I/O.
    pub fn counters(&self) -> TraceCounters {
        TraceCounters {
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn put(&self, record: TraceRecord) {
        self.shared.open.fetch_add(1, Ordering::AcqRel);
        let Err(refused) = self.queue.try_send(record) else { return };
        self.shared.open.fetch_sub(1, Ordering::AcqRel);
        if let Some(dropped) = count(&self.shared.dropped, 1) {
            let why = match refused {
                TrySendError::Full(_) => "the queue is full",
                TrySendError::Closed(_) => "tracing has ended",
            };
            tracing::warn!(dropped, why, "trace records are dropped");
        }
    }
}

impl ProducerInterceptor for Tracer {
    fn after_send(&self, context: &SendContext<'_>, result: Option<Result<&SendReceipt, &SendError>>) {
        let Some(Ok(receipt)) = result else { return };
        if context.topic.as_str().starts_with(self.topic.as_str()) || !receipt.is_traced() {
            return;
        }
        let cost = context.started.elapsed();
        self.put(TraceRecord::Pub(PubRecord {
            time_ms: unix_ms(SystemTime::now()) - millis(cost),
            region: region(receipt.region()),
            group: context.group.to_string(),
            topic: context.topic.to_string(),
            message_id: receipt.message_id().to_string(),
            tag: context.tag().map(str::to_owned),
            keys: context.keys().map(str::to_owned),
            store_host: receipt.broker_message_id().map(store_host).unwrap_or_default(),
            body_bytes: i64::try_from(context.sent_bytes).unwrap_or(i64::MAX),
            cost_ms: millis(cost),
            kind: kind(context),
            broker_message_id: receipt.broker_message_id().unwrap_or_default().to_owned(),
            success: receipt.status() == SendStatus::Ok,
        }));
    }

    fn transaction_end(&self, end: &TransactionEnd) {
        self.put(TraceRecord::EndTransaction(EndRecord {
            time_ms: unix_ms(SystemTime::now()),
            region: region(end.region.as_deref()),
            group: end.group.to_string(),
            topic: end.topic.to_string(),
            message_id: end.message_id.to_string(),
            tag: end.tag.clone(),
            keys: end.keys.clone(),
            store_host: end.broker_message_id.as_deref().map(store_host).unwrap_or_default(),
            transaction_id: end.transaction_id.clone(),
            state: end.state,
            from_check: end.from_check,
        }));
    }
}

impl Managed for Tracer {
    fn stage(&self) -> Stage {
        Stage::Trace
    }

    fn end(self: Arc<Self>, deadline: Duration) -> BoxFuture<'static, Vec<Leftover>> {
        let tracer = self.clone();
        let end = move || -> BoxFuture<'static, Vec<Leftover>> {
            Box::pin(async move {
                tracer.shared.end();
                let handle = tracer.task.handle.lock().take();
                if let Some(mut handle) = handle
                    && tokio::time::timeout(deadline, &mut handle).await.is_err()
                {
                    handle.abort();
                }
                match tracer.shared.open.load(Ordering::Acquire) {
                    0 => Vec::new(),
                    count => vec![Leftover::Traces { count }],
                }
            })
        };
        Box::pin(self.task.ending.run(end))
    }

    fn report(&self) -> Box<dyn Any + Send> {
        Box::new(self.counters())
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// The broker's host and port, which begin its id of a message. For a batch the first one's.
fn store_host(broker_message_id: &str) -> String {
    let first = broker_message_id.split(',').next().unwrap_or_default();
    OffsetId::parse(first).map(|id| format!("{}:{}", id.ip, id.port)).unwrap_or_default()
}

/// As Java has it (PRO-HOOK-02): a timer message is a normal one.
fn kind(context: &SendContext<'_>) -> TraceKind {
    let is_delayed = [name::DELAY, START_DELIVER_TIME].into_iter().any(|name| context.property(name).is_some());
    match context.is_half {
        _ if is_delayed => TraceKind::Delay,
        true => TraceKind::Half,
        false => TraceKind::Normal,
    }
}

/// The region as a record has it: tools pass over one without.
pub(crate) fn region(said: Option<&str>) -> String {
    said.filter(|region| !region.is_empty()).unwrap_or(DEFAULT_REGION).to_owned()
}

pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_worth_a_word_when_they_reach_a_power_of_two() {
        let counter = AtomicU64::new(0);
        let said: Vec<_> = (0..9).filter_map(|_| count(&counter, 1)).collect();
        assert_eq!(said, [1, 2, 4, 8]);
        assert_eq!((count(&counter, 3), count(&counter, 100), count(&counter, 0)), (None, Some(112), None));
    }
}
