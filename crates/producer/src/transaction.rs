use std::sync::Arc;

use ferrocket_backend::{BoxFuture, EndTransactionRequest, SendKind};
use ferrocket_model::{
    Applied, Blocking, BoxError, ErrorKind, Failure, Message, MessageId, MessageQueue, ReceivedMessage, SendReceipt,
    TransactionState, operation_error,
    properties::{self, name},
};

use tokio::time::Instant;

use crate::{
    TransactionEnd,
    core::Core,
    ended::Progress,
    interceptor,
    job::Job,
    send,
    sending::{Plan, SendError},
};

/// What a checker or a local transaction may return. An error means `Unknown`.
pub trait IntoTransactionState {
    /// The state, or why it is not known.
    ///
    /// # Errors
    ///
    /// What went wrong; it is logged.
    fn into_transaction_state(self) -> Result<TransactionState, BoxError>;
}

impl IntoTransactionState for TransactionState {
    fn into_transaction_state(self) -> Result<TransactionState, BoxError> {
        Ok(self)
    }
}

impl<E: Into<BoxError>> IntoTransactionState for Result<TransactionState, E> {
    fn into_transaction_state(self) -> Result<TransactionState, BoxError> {
        self.map_err(Into::into)
    }
}

/// Answers the broker's question: what became of this half message?
///
/// Brokers ask any producer of the group, also about half messages of one that is gone: the answer must come from where the
/// local transaction left its trace, such as the database. `Unknown`, an error, a panic, and an answer that takes longer than a
/// minute leave it open, and the broker asks again later.
#[doc(alias = "TransactionListener")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot check transactions",
    note = "use `async fn(ReceivedMessage) -> TransactionState`, a closure `async |message: ReceivedMessage| ...`, or implement `TransactionChecker`"
)]
pub trait TransactionChecker: Send + Sync + 'static {
    /// What it returns.
    type Output: IntoTransactionState;
    /// Looks up what became of the transaction of this half message.
    fn check(&self, half: ReceivedMessage) -> impl Future<Output = Self::Output> + Send;
}

impl<F, Fut> TransactionChecker for F
where
    F: Fn(ReceivedMessage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoTransactionState> + Send,
{
    type Output = Fut::Output;

    fn check(&self, half: ReceivedMessage) -> impl Future<Output = Self::Output> + Send {
        self(half)
    }
}

impl<F, R> TransactionChecker for Blocking<F>
where
    F: Fn(ReceivedMessage) -> R + Send + Sync + 'static,
    R: IntoTransactionState + Send + 'static,
{
    type Output = Result<TransactionState, BoxError>;

    async fn check(&self, half: ReceivedMessage) -> Self::Output {
        let check = self.0.clone();
        match tokio::task::spawn_blocking(move || check(half)).await {
            Ok(output) => output.into_transaction_state(),
            Err(error) => Err(error.into()),
        }
    }
}

/// A checker whose type is forgotten.
pub(crate) trait DynChecker: Send + Sync + 'static {
    fn check(&self, half: ReceivedMessage) -> BoxFuture<'_, Result<TransactionState, BoxError>>;
}

impl<C: TransactionChecker> DynChecker for C {
    fn check(&self, half: ReceivedMessage) -> BoxFuture<'_, Result<TransactionState, BoxError>> {
        Box::pin(async move { TransactionChecker::check(self, half).await.into_transaction_state() })
    }
}

operation_error! {
    /// The broker did not confirm the end of a transaction. Unless it was applied all the same, it will ask the checker. `Conflict`: it has
    /// asked before, and the transaction has ended as the checker said.
    TransactionError {}
}

/// A half message on the broker, not yet visible. Dropping it leaves the decision to the checker.
#[must_use = "commit it, roll it back, or leave it to the checker by dropping it on purpose"]
pub struct Transaction {
    core: Arc<Core>,
    receipt: SendReceipt,
    /// Tag and keys, for interceptors.
    marks: Marks,
}

/// Tag and keys of a message, where somebody wants to know.
#[derive(Default)]
struct Marks {
    tag: Option<String>,
    keys: Option<String>,
}

impl Transaction {
    /// The id of the message.
    pub fn message_id(&self) -> &MessageId {
        self.receipt.message_id()
    }

    /// The transaction, as the broker names it.
    pub fn transaction_id(&self) -> Option<&str> {
        self.receipt.transaction_id()
    }

    /// The receipt of the half message.
    pub fn receipt(&self) -> &SendReceipt {
        &self.receipt
    }

    /// Makes the message visible.
    ///
    /// # Errors
    ///
    /// When the broker did not confirm it; [`applied`](TransactionError::applied) says whether it may have happened. It is never
    /// sent twice, since brokers store the message once more for every commit; also not after one of the checker, which is as good. What
    /// the checker has committed cannot be rolled back: `Conflict`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its first poll it leaves the decision to the checker; later the broker may have done it.
    pub fn commit(self) -> BoxFuture<'static, Result<(), TransactionError>> {
        self.end(TransactionState::Commit)
    }

    /// Drops the message.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    ///
    /// # Cancel safety
    ///
    /// As [`commit`](Self::commit).
    pub fn rollback(self) -> BoxFuture<'static, Result<(), TransactionError>> {
        self.end(TransactionState::Rollback)
    }

    /// Ends it so; `Unknown` tells the broker to ask the checker later.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    ///
    /// # Cancel safety
    ///
    /// As [`commit`](Self::commit).
    #[doc(alias = "endTransaction")]
    pub fn end(self, state: TransactionState) -> BoxFuture<'static, Result<(), TransactionError>> {
        Box::pin(async move {
            let Self { core, receipt, marks } = self;
            let topic = receipt.queue().map(MessageQueue::topic);
            let until = Instant::now() + core.stack.request_timeout;
            // A question of the broker that crosses this is not for the checker, and what the checker has ended is not ended again: a
            // second commit would store the message twice. When this future is dropped, the checker decides.
            let mut end = None;
            if state != TransactionState::Unknown {
                let begun = core.ended.begin(receipt.message_id(), state);
                match tokio::time::timeout_at(until, begun).await {
                    Ok(Ok(begun)) => end = Some(begun),
                    Ok(Err(Progress::Confirmed(before))) if before == state => return Ok(()),
                    Ok(Err(before)) => return Err(ended_before(&receipt, state, before)),
                    Err(_) => return Err(ended_before(&receipt, state, Progress::UnderWay)),
                }
            }
            interceptor::transaction_ends(&core, || TransactionEnd {
                group: core.group.clone(),
                topic: topic.cloned().unwrap_or_else(|| "".into()),
                message_id: receipt.message_id().clone(),
                tag: marks.tag,
                keys: marks.keys,
                region: receipt.region().map(str::to_owned),
                broker_message_id: receipt.broker_message_id().map(str::to_owned),
                transaction_id: receipt.transaction_id().map(str::to_owned),
                state,
                from_check: false,
            });
            let (Some(queue), Some(offset)) = (receipt.queue(), receipt.offset()) else {
                let operation = format!("end transaction {}", receipt.message_id());
                let nowhere = Failure::new(ErrorKind::Unsupported, operation)
                    .with_detail("the receipt of the half message says no queue");
                return Err(TransactionError { failure: Box::new(nowhere) });
            };
            let request = EndTransactionRequest {
                group: &core.group,
                queue,
                offset,
                message_id: receipt.message_id(),
                broker_message_id: receipt.broker_message_id(),
                transaction_id: receipt.transaction_id(),
                state,
                timeout: until.saturating_duration_since(Instant::now()),
            };
            if let Some(end) = &mut end {
                end.tell(state);
            }
            let mut ended = core.stack.backend.end_transaction(request).await;
            if let Some(end) = end {
                if end.was_rolled_back() {
                    ended = ended.map_err(|failure| Box::new(failure.with_advice(ROLLED_BACK)));
                }
                end.told(state, &ended, |failure| failure.applied());
            }
            ended.map_err(|failure| TransactionError { failure })
        })
    }
}

/// What a sender must know whose commit comes after the checker's rollback, and fails.
const ROLLED_BACK: &str =
    "the checker has rolled it back before, so no broker asks again; send the message anew, if its work is done";

/// The checker was faster, and its answer lets nobody end the transaction otherwise, or again.
fn ended_before(receipt: &SendReceipt, state: TransactionState, before: Progress) -> TransactionError {
    let verb = |state| if state == TransactionState::Commit { "commit" } else { "roll back" };
    let operation = format!("{} transaction {}", verb(state), receipt.message_id());
    let failure = match before {
        Progress::Confirmed(before) => Failure::new(ErrorKind::Conflict, operation)
            .with_detail(format!(
                "a broker has asked about it, and the checker said to {} it, which is done",
                verb(before)
            ))
            .with_advice("let the checker say what the sender will do, or `Unknown` until that is certain")
            .with_applied(Applied::No),
        Progress::Unconfirmed(before) => Failure::new(ErrorKind::Timeout, operation)
            .with_detail(format!(
                "a broker has asked about it, and did not confirm that it heard the checker, who said to {} it",
                verb(before)
            ))
            .with_applied(Applied::Unknown),
        Progress::UnderWay => Failure::new(ErrorKind::Timeout, operation)
            .with_detail("a broker has asked about it, and is still being told what the checker said")
            .with_applied(Applied::Unknown),
    };
    TransactionError { failure: Box::new(failure) }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

/// Sends the half message (PRO-TRX-01).
pub(crate) fn begin(plan: Plan, message: Message) -> BoxFuture<'static, Result<Transaction, SendError>> {
    let mut job = Job::one(plan, message, SendKind::Half);
    let core = job.core.clone();
    let mut more = String::new();
    properties::push(&mut more, name::TRAN_MSG, "true");
    properties::push(&mut more, name::PGROUP, core.group.as_str());
    job.extra().properties = more;
    if let Err(failure) = job.intercept() {
        return Box::pin(std::future::ready(Err(job.failed(failure))));
    }
    let marks = if core.options.interceptors.is_empty() {
        Marks::default()
    } else {
        let keys = job.message.property(name::KEYS).map(str::to_owned);
        Marks { tag: job.message.tag().map(str::to_owned), keys }
    };
    Box::pin(async move { Ok(Transaction { receipt: send::slowly(job).await?, core, marks }) })
}
