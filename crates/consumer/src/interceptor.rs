use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ferrocket_model::{Group, MessageQueue, ReceivedMessage};
use tokio::time::Instant;

use crate::{Outcome, core::Core, queue::Queue};

/// Sees messages before and after the listener. All methods have defaults.
///
/// Interceptors run in the order in which they were given, on the task that runs the listener; a panic in one of them is
/// contained and logged.
#[doc(alias = "ConsumeMessageHook")]
#[doc(alias = "FilterMessageHook")]
pub trait ConsumerInterceptor: Send + Sync + 'static {
    /// `false` settles the message as consumed without calling the listener. Asked once per message, when it comes from the broker.
    fn filter(&self, message: &ReceivedMessage) -> bool {
        let _ = message;
        true
    }

    /// Before each call of the listener.
    fn before_consume(&self, messages: &[ReceivedMessage], context: &ConsumeContext) {
        let _ = (messages, context);
    }

    /// After each call for which [`before_consume`](Self::before_consume) ran, also when the listener panicked or was dropped.
    fn after_consume(&self, messages: &[ReceivedMessage], context: &ConsumeContext, report: &ConsumeReport<'_>) {
        let _ = (messages, context, report);
    }
}

/// Where the messages of one call come from.
#[derive(Debug)]
#[non_exhaustive]
#[doc(alias = "ConsumeMessageContext")]
pub struct ConsumeContext {
    /// The group.
    pub group: Group,
    /// The queue; for messages that are retried, one of the group's retry topic.
    pub queue: MessageQueue,
    /// The number of the call, the same before and after it. No other call of this program has it.
    pub call: u64,
}

/// How a call of the listener ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConsumeReport<'a> {
    /// How long it took.
    pub elapsed: Duration,
    /// One per message; empty when the listener was dropped before it ended, or timed out.
    pub outcomes: &'a [Outcome],
    /// Whether it panicked. The outcomes are then the retries that follow.
    pub panicked: bool,
}

/// The interceptors of a consumer, in order.
pub(crate) type Interceptors = Vec<Arc<dyn ConsumerInterceptor>>;

/// Whether all interceptors let a message through.
pub(crate) fn pass(core: &Core, message: &ReceivedMessage) -> bool {
    core.options.interceptors.iter().all(|interceptor| {
        catch_unwind(AssertUnwindSafe(|| interceptor.filter(message))).unwrap_or_else(|_| {
            tracing::error!(group = %core.group, "a consumer interceptor panicked in `filter`; the message passes");
            true
        })
    })
}

/// Shows messages before they are handed out. Gives the number of the call.
pub(crate) fn before(core: &Core, queue: &Queue, messages: &[ReceivedMessage]) -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    if core.options.interceptors.is_empty() {
        return 0;
    }
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let context = ConsumeContext { group: core.group.clone(), queue: queue.id().clone(), call };
    each(core, "before_consume", |interceptor| interceptor.before_consume(messages, &context));
    call
}

/// Shows what became of them.
pub(crate) fn after(
    core: &Core,
    queue: &Queue,
    call: u64,
    messages: &[ReceivedMessage],
    elapsed: Duration,
    outcomes: &[Outcome],
    panicked: bool,
) {
    if core.options.interceptors.is_empty() {
        return;
    }
    let context = ConsumeContext { group: core.group.clone(), queue: queue.id().clone(), call };
    let report = ConsumeReport { elapsed, outcomes, panicked };
    each(core, "after_consume", |interceptor| interceptor.after_consume(messages, &context, &report));
}

fn each(core: &Core, method: &'static str, work: impl Fn(&dyn ConsumerInterceptor)) {
    for interceptor in &core.options.interceptors {
        if catch_unwind(AssertUnwindSafe(|| work(&**interceptor))).is_err() {
            tracing::error!(group = %core.group, method, "a consumer interceptor panicked");
        }
    }
}

/// A call that interceptors have seen begin, and are to see end, however it does.
pub(crate) struct Watch<'a> {
    core: &'a Core,
    queue: &'a Queue,
    call: u64,
    messages: &'a [ReceivedMessage],
    began: Instant,
    is_open: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn open(core: &'a Core, queue: &'a Queue, messages: &'a [ReceivedMessage]) -> Self {
        let call = before(core, queue, messages);
        Self { core, queue, call, messages, began: Instant::now(), is_open: true }
    }

    pub(crate) fn close(mut self, outcomes: &[Outcome], panicked: bool) {
        self.is_open = false;
        after(self.core, self.queue, self.call, self.messages, self.began.elapsed(), outcomes, panicked);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.is_open {
            after(self.core, self.queue, self.call, self.messages, self.began.elapsed(), &[], false);
        }
    }
}
