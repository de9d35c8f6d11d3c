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

use ferrocket_backend::{BoxFuture, Leftover, Managed, Stage, spawn};
use ferrocket_model::{DeliveryTime, OffsetId, SendReceipt, SendStatus};
use ferrocket_producer::{ProducerBuilder, ProducerInterceptor, SendContext, SendError, TransactionEnd};
use tokio::sync::{Notify, mpsc};

use crate::{EndRecord, MessageTrace, PubRecord, TraceKind, TraceRecord, dispatch};

/// The region of servers that say none (PRO-TRC-05).
pub(crate) const DEFAULT_REGION: &str = "DefaultRegion";

/// Makes a record of every message that a broker has accepted, of every end of a transaction, and of every message before and after
/// its listener. An interceptor of producers and of consumers; cheap to clone. Its task ends with [`Managed::end`], or when the last clone is gone.
///
/// As in Java, a send that failed leaves no record.
#[derive(Clone)]
pub struct Tracer {
    pub(crate) topic: ferrocket_model::Topic,
    /// Tells records of this run of the program from others.
    pub(crate) run: u64,
    queue: mpsc::Sender<TraceRecord>,
    shared: Arc<Shared>,
}

/// What has become of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceCounters {
    /// Records that found the queue full.
    pub dropped: u64,
    /// Records whose message could not be sent.
    pub lost: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    dropped: AtomicU64,
    lost: AtomicU64,
    /// Records that wait or are on their way.
    open: AtomicUsize,
    changed: Notify,
    /// Somebody waits for the end.
    is_hurried: AtomicBool,
    hurry: Notify,
}

impl Shared {
    pub(crate) fn lost(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }

    /// The next one, unless there is no time to wait for it.
    pub(crate) async fn hurried<T>(&self, next: impl Future<Output = Option<T>>) -> Option<T> {
        let (mut next, mut hurry) = (pin!(next), pin!(self.hurry.notified()));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(next) = next.as_mut().poll(cx) {
                return Poll::Ready(next);
            }
            let is_hurried = hurry.as_mut().poll(cx).is_ready() || self.is_hurried.load(Ordering::Acquire);
            if is_hurried { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    pub(crate) fn done(&self, records: usize) {
        self.open.fetch_sub(records, Ordering::AcqRel);
        self.changed.notify_waiters();
    }
}

impl Tracer {
    /// Starts the task that sends records, with a producer of this builder. Numbers out of their range are brought into it; to a
    /// topic that cannot be, no record gets.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn start(options: MessageTrace, producer: ProducerBuilder) -> Self {
        let options = options.within_limits();
        let (sender, receiver) = mpsc::channel(options.queue);
        let shared = Arc::new(Shared::default());
        let topic = options.topic.clone();
        drop(spawn(Box::pin(dispatch::run(options, producer, receiver, shared.clone()))));
        Self { topic, run: fastrand::u64(..), queue: sender, shared }
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
        if self.queue.try_send(record).is_err() {
            self.shared.done(1);
            let before = self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            // Once in a while, not per record.
            if before.is_power_of_two() || before == 0 {
                tracing::warn!(dropped = before + 1, "trace records are dropped: the queue is full");
            }
        }
    }

    /// Waits until nothing is on its way any more. Says how many records are.
    async fn flush(&self, deadline: Duration) -> usize {
        self.shared.is_hurried.store(true, Ordering::Release);
        self.shared.hurry.notify_waiters();
        let flushed = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.shared.open.load(Ordering::Acquire) == 0 {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(deadline, flushed).await;
        self.shared.open.load(Ordering::Acquire)
    }
}

impl ProducerInterceptor for Tracer {
    fn after_send(&self, context: &SendContext, result: Option<Result<&SendReceipt, &SendError>>) {
        let Some(Ok(receipt)) = result else { return };
        if context.topic.as_str().starts_with(self.topic.as_str()) || !receipt.is_traced() {
            return;
        }
        let cost = context.started.elapsed();
        self.put(TraceRecord::Pub(PubRecord {
            time_ms: unix_ms(SystemTime::now()) - millis(cost),
            region: receipt.region().unwrap_or(DEFAULT_REGION).to_owned(),
            group: context.group.to_string(),
            topic: context.topic.to_string(),
            message_id: receipt.message_id().to_string(),
            tag: context.tag().map(str::to_owned),
            keys: context.keys().map(str::to_owned),
            store_host: receipt.broker_message_id().map(store_host).unwrap_or_default(),
            body_bytes: i64::try_from(context.body_bytes).unwrap_or(i64::MAX),
            cost_ms: millis(cost),
            kind: match context.delivery {
                _ if context.is_half => TraceKind::Half,
                DeliveryTime::Now => TraceKind::Normal,
                _ => TraceKind::Delay,
            },
            broker_message_id: receipt.broker_message_id().unwrap_or_default().to_owned(),
            success: receipt.status() == SendStatus::Ok,
        }));
    }

    fn transaction_end(&self, end: &TransactionEnd) {
        self.put(TraceRecord::EndTransaction(EndRecord {
            time_ms: unix_ms(SystemTime::now()),
            region: DEFAULT_REGION.to_owned(),
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
        Box::pin(async move {
            match self.flush(deadline).await {
                0 => Vec::new(),
                count => vec![Leftover::Traces { count }],
            }
        })
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

pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
