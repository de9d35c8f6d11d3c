use std::sync::Arc;

use ferrocket_backend::BoxFuture;
use ferrocket_model::{Blocking, ReceivedMessage};

use crate::{BatchOutcome, IntoBatchOutcome, IntoOutcome, Outcome};

/// Handles one message at a time. Any `Fn(ReceivedMessage) -> Future` is one.
///
/// Three rules of today's Rust: an inline closure names its argument type, `async |message: ReceivedMessage| …`; a closure that
/// captures and must be `async move` clones into the block, `move |m: ReceivedMessage| { let x = x.clone(); async move { … } }`;
/// and state that is borrowed over an await belongs in a struct that implements this trait.
///
/// A panic is contained and counts as a failure. The future is dropped in three cases only: the handler timeout; the deadline of a
/// shutdown; and, where an order is kept, when the lock of its queue can no longer be proven or must be given back. The message
/// comes again then.
#[doc(alias = "MessageListenerConcurrently")]
#[doc(alias = "MessageListenerOrderly")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a listener",
    note = "use `async fn(ReceivedMessage) -> Result<(), E>`, a closure `async |message: ReceivedMessage| ...` \
            (a closure that captures must be `move |m: ReceivedMessage| {{ let x = x.clone(); async move {{ .. }} }}`), \
            or implement `Listener` for a struct"
)]
pub trait Listener: Send + Sync + 'static {
    /// What it returns.
    type Output: IntoOutcome;
    /// Handles a message.
    fn consume(&self, message: ReceivedMessage) -> impl Future<Output = Self::Output> + Send;
}

impl<F, Fut> Listener for F
where
    F: Fn(ReceivedMessage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send,
{
    type Output = Fut::Output;
    fn consume(&self, message: ReceivedMessage) -> impl Future<Output = Self::Output> + Send {
        self(message)
    }
}

/// Runs on tokio's blocking pool. It cannot be dropped; it sees [`ReceivedMessage::is_revoked`].
impl<F, R> Listener for Blocking<F>
where
    F: Fn(ReceivedMessage) -> R + Send + Sync + 'static,
    R: IntoOutcome + Send + 'static,
{
    type Output = Outcome;
    async fn consume(&self, message: ReceivedMessage) -> Outcome {
        let listener = self.0.clone();
        match tokio::task::spawn_blocking(move || listener(message).into_outcome()).await {
            Ok(outcome) => outcome,
            Err(panicked) => resume(panicked),
        }
    }
}

impl<L: Listener> Listener for Arc<L> {
    type Output = L::Output;
    fn consume(&self, message: ReceivedMessage) -> impl Future<Output = Self::Output> + Send {
        (**self).consume(message)
    }
}

/// Handles a batch from one queue, in offset order. Any `Fn(Vec<ReceivedMessage>) -> Future` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a batch listener",
    note = "use `async fn(Vec<ReceivedMessage>) -> Result<(), E>`, a closure `async |batch: Vec<ReceivedMessage>| ...`, \
            or implement `BatchListener` for a struct"
)]
pub trait BatchListener: Send + Sync + 'static {
    /// What it returns.
    type Output: IntoBatchOutcome;
    /// Handles a batch.
    fn consume(&self, batch: Vec<ReceivedMessage>) -> impl Future<Output = Self::Output> + Send;
}

impl<F, Fut> BatchListener for F
where
    F: Fn(Vec<ReceivedMessage>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoBatchOutcome> + Send,
{
    type Output = Fut::Output;
    fn consume(&self, batch: Vec<ReceivedMessage>) -> impl Future<Output = Self::Output> + Send {
        self(batch)
    }
}

/// Runs on tokio's blocking pool.
impl<F, R> BatchListener for Blocking<F>
where
    F: Fn(Vec<ReceivedMessage>) -> R + Send + Sync + 'static,
    R: IntoBatchOutcome + Send + 'static,
{
    type Output = BatchOutcome;
    async fn consume(&self, batch: Vec<ReceivedMessage>) -> BatchOutcome {
        let listener = self.0.clone();
        match tokio::task::spawn_blocking(move || listener(batch).into_batch_outcome()).await {
            Ok(outcome) => outcome,
            Err(panicked) => resume(panicked),
        }
    }
}

/// Lets a panic go on here, where it is contained and counted like any other.
fn resume(panicked: tokio::task::JoinError) -> ! {
    match panicked.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // The runtime ends: this task ends with it.
        Err(_) => std::panic::resume_unwind(Box::new("the runtime is ending")),
    }
}

/// The object-safe twins. Builders make them; all code above them is compiled here, once.
pub(crate) trait DynListener: Send + Sync + 'static {
    fn consume(self: Arc<Self>, message: ReceivedMessage) -> BoxFuture<'static, Outcome>;
}

pub(crate) trait DynBatchListener: Send + Sync + 'static {
    fn consume(self: Arc<Self>, batch: Vec<ReceivedMessage>) -> BoxFuture<'static, BatchOutcome>;
}

pub(crate) struct Erased<L>(pub(crate) L);

impl<L: Listener> DynListener for Erased<L> {
    fn consume(self: Arc<Self>, message: ReceivedMessage) -> BoxFuture<'static, Outcome> {
        Box::pin(async move { self.0.consume(message).await.into_outcome() })
    }
}

impl<L: BatchListener> DynBatchListener for Erased<L> {
    fn consume(self: Arc<Self>, batch: Vec<ReceivedMessage>) -> BoxFuture<'static, BatchOutcome> {
        Box::pin(async move { self.0.consume(batch).await.into_batch_outcome() })
    }
}

/// Which kind a consumer has.
#[derive(Clone)]
pub(crate) enum AnyListener {
    Single(Arc<dyn DynListener>),
    Batch(usize, Arc<dyn DynBatchListener>),
    /// None: messages are taken by who polls for them.
    Stream,
}

impl AnyListener {
    /// The most messages of one call.
    pub(crate) fn max(&self) -> usize {
        match self {
            Self::Single(_) | Self::Stream => 1,
            Self::Batch(max, _) => *max,
        }
    }
}
