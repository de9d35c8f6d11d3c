use std::{fmt, time::Duration};

use ferrocket_model::{Group, MessageId, MessageQueue, ReceivedMessage, TransactionState};

use crate::{BoxFuture, Outcome};

/// Ends a half message that this client has sent.
#[derive(Clone, Copy, Debug)]
pub struct EndTransactionRequest<'a> {
    /// The producer group.
    pub group: &'a Group,
    /// The queue that the half message was sent to.
    pub queue: &'a MessageQueue,
    /// The offset that the broker gave it.
    pub offset: u64,
    /// The message's id.
    pub message_id: &'a MessageId,
    /// The broker's id of it.
    pub broker_message_id: Option<&'a str>,
    /// The transaction, as the broker named it.
    pub transaction_id: Option<&'a str>,
    /// What becomes of it.
    pub state: TransactionState,
    /// How long the broker may take.
    pub timeout: Duration,
}

/// A broker's question: what became of this half message?
pub struct TransactionCheck {
    /// The half message, with its own topic.
    pub half: ReceivedMessage,
    /// Takes the answer back to the broker that asked.
    pub answer: CheckAnswer,
}

/// Hands the answer to who asked. To be called once; an answer must not be repeated, as every commit stores the message.
pub type CheckAnswer = Box<dyn FnOnce(TransactionState) -> BoxFuture<'static, Outcome<()>> + Send>;

impl fmt::Debug for TransactionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionCheck").field("half", self.half.id()).finish_non_exhaustive()
    }
}

/// Transactions: half messages are sent as any other ([`SendKind::Half`](crate::SendKind::Half)), questions come as
/// [`ServerEvent`](crate::ServerEvent)s.
pub trait Transactions {
    /// Commits a half message or rolls it back. `Unknown` is handed to the socket; nobody answers it.
    ///
    /// # Errors
    ///
    /// When the broker did not confirm it. Never repeated by the transport once it may have arrived.
    fn end_transaction<'a>(&'a self, request: EndTransactionRequest<'a>) -> BoxFuture<'a, Outcome<()>>;
}
