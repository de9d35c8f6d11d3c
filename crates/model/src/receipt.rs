use std::{fmt, str::FromStr, sync::Arc};

use crate::{Attempt, Failure, MessageQueue, SetupError, ShortText};

/// The id that the sending client gave a message; the same over all retries. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "UNIQ_KEY")]
pub struct MessageId(ShortText);

impl MessageId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for MessageId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Proof that a broker accepted a message.
#[derive(Clone, Debug)]
#[doc(alias = "SendResult")]
pub struct SendReceipt {
    parts: ReceiptParts,
}

/// What a [`SendReceipt`] is made of. For transports and producers.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct ReceiptParts {
    pub message_id: MessageId,
    pub status: SendStatus,
    pub queue: Option<MessageQueue>,
    pub offset: Option<u64>,
    pub broker_message_id: Option<ShortText>,
    pub transaction_id: Option<Box<str>>,
    pub recall_handle: Option<RecallHandle>,
    pub trace: Option<Box<TraceHint>>,
    pub attempts: Vec<Attempt>,
}

/// What a server says about message trace.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct TraceHint {
    /// The region, if it is not the default one.
    pub region: Option<Box<str>>,
    /// Whether the message is to be traced.
    pub is_on: bool,
}

impl From<ReceiptParts> for SendReceipt {
    fn from(parts: ReceiptParts) -> Self {
        Self { parts }
    }
}

impl SendReceipt {
    /// The id that this client gave the message.
    #[doc(alias = "getMsgId")]
    pub fn message_id(&self) -> &MessageId {
        &self.parts.message_id
    }

    /// How safely it is stored.
    pub fn status(&self) -> SendStatus {
        self.parts.status
    }

    /// Where it is stored. `None` where the transport does not know (gRPC).
    pub fn queue(&self) -> Option<&MessageQueue> {
        self.parts.queue.as_ref()
    }

    /// Its offset in that queue. `None` where the transport does not know.
    #[doc(alias = "queueOffset")]
    pub fn offset(&self) -> Option<u64> {
        self.parts.offset
    }

    /// The broker's own id of the message.
    #[doc(alias = "offsetMsgId")]
    pub fn broker_message_id(&self) -> Option<&str> {
        self.parts.broker_message_id.as_deref()
    }

    /// The transaction it belongs to.
    pub fn transaction_id(&self) -> Option<&str> {
        self.parts.transaction_id.as_deref()
    }

    /// Takes the message back before it is delivered; given for timer messages only.
    pub fn recall_handle(&self) -> Option<&RecallHandle> {
        self.parts.recall_handle.as_ref()
    }

    /// The server's region, if it is not the default one. For message trace.
    #[doc(hidden)]
    pub fn region(&self) -> Option<&str> {
        self.parts.trace.as_ref()?.region.as_deref()
    }

    /// Whether the server wants the message to be traced. For message trace.
    #[doc(hidden)]
    pub fn is_traced(&self) -> bool {
        self.parts.trace.as_ref().is_none_or(|trace| trace.is_on)
    }

    /// All attempts, the successful one last. Empty when the first one succeeded. More than one may mean a duplicate on
    /// another broker.
    pub fn attempts(&self) -> &[Attempt] {
        &self.parts.attempts
    }
}

/// How safely an accepted message is stored. In all four cases the broker has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendStatus {
    /// As safe as the broker is configured to make it.
    #[doc(alias = "SEND_OK")]
    Ok,
    /// Stored, and not on disk in time.
    #[doc(alias = "FLUSH_DISK_TIMEOUT")]
    FlushDiskTimeout,
    /// Stored, and not replicated in time.
    #[doc(alias = "FLUSH_SLAVE_TIMEOUT")]
    FlushSlaveTimeout,
    /// Stored, and there is no slave to replicate to.
    #[doc(alias = "SLAVE_NOT_AVAILABLE")]
    SlaveNotAvailable,
}

/// Takes a timer message back. Can be stored as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecallHandle(Arc<str>);

impl RecallHandle {
    /// A handle as the broker gave it.
    #[doc(hidden)]
    pub fn from_server(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for RecallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the alphabet (base64url); whether the handle means anything, only its broker can tell.
impl FromStr for RecallHandle {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
        if text.is_empty() || !text.bytes().all(legal) {
            return Err(Failure::invalid_argument("read a recall handle", "this is not base64url text").into());
        }
        Ok(Self(text.into()))
    }
}
