use std::time::Duration;

use bytes::Bytes;
use ferrocket_model::{BrokerName, Group, MessageQueue, RecallHandle, SendStatus, ShortText, TraceHint};
use tokio::time::Instant;

use crate::{BoxFuture, Outcome};

/// How the body of a [`SendRequest`] is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEncoding {
    /// Not at all.
    #[default]
    Plain,
    /// A zlib stream.
    Zlib,
    /// An lz4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What a [`SendRequest`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendKind {
    /// A message.
    #[default]
    Message,
    /// A half message: kept aside until its transaction ends.
    Half,
    /// A batch: its body comes from [`Sends::encode_batch`].
    Batch,
    /// The reply to a request.
    Reply,
}

/// One message of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchMessage<'a> {
    /// The user's flag.
    pub flag: i32,
    /// The body, never compressed.
    pub body: &'a Bytes,
    /// The properties in wire form, the unique id included.
    pub properties: &'a str,
}

/// Stores one message, or one batch, in one queue. Borrowed: retries send the same parts again.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// What it is.
    pub kind: SendKind,
    /// The producer group.
    pub group: &'a Group,
    /// The queue, and with it topic and broker.
    pub queue: &'a MessageQueue,
    /// The body as it is stored.
    pub body: &'a Bytes,
    /// How it is compressed.
    pub encoding: BodyEncoding,
    /// The properties in wire form, the unique id included.
    pub properties: &'a str,
    /// The user's flag.
    pub flag: i32,
    /// When the message was made, Unix milliseconds.
    pub born_ms: u64,
    /// How many queues a topic gets that this send creates.
    pub new_topic_queues: u32,
    /// When this attempt began: the clock as the caller read it last.
    pub began: Instant,
    /// How long it may take from then on.
    pub timeout: Duration,
}

/// What the broker says of a stored message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// How safely it is stored.
    pub status: SendStatus,
    /// The queue that was used, when it is another than the one asked for.
    pub queue_id: u32,
    /// The offset in it; of the first message, for a batch.
    pub offset: Option<u64>,
    /// The broker's id; for a batch one per message, with commas between.
    pub broker_message_id: Option<ShortText>,
    /// The transaction it belongs to.
    pub transaction_id: Option<Box<str>>,
    /// Takes a timer message back.
    pub recall_handle: Option<RecallHandle>,
    /// What the server says about message trace, where that is not the usual.
    pub trace: Option<Box<TraceHint>>,
}

impl Sent {
    /// A message that is stored.
    pub fn new(status: SendStatus, queue_id: u32, offset: Option<u64>) -> Self {
        Self {
            status,
            queue_id,
            offset,
            broker_message_id: None,
            transaction_id: None,
            recall_handle: None,
            trace: None,
        }
    }
}

/// Whether a broker can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It can.
    Reachable,
    /// Not within the time.
    Unreachable,
    /// No route names it any more.
    Unknown,
}

/// Sending.
pub trait Sends {
    /// Looks whether a broker can be reached, within this time. Sends nothing that it would have to store.
    fn probe<'a>(&'a self, broker: &'a BrokerName, timeout: Duration) -> BoxFuture<'a, Probed>;

    /// What the transport adds to the properties of a message, at most. Their size is limited as a whole.
    fn added_property_bytes(&self) -> usize {
        0
    }

    /// The body of a batch, as [`send`](Self::send) takes it. Its size counts against the limit of messages.
    fn encode_batch(&self, messages: &[BatchMessage<'_>]) -> Bytes;

    /// Stores a message and waits for the broker's answer. The request may leave as soon as this is called, before the future is
    /// polled.
    ///
    /// # Errors
    ///
    /// With `applied` said exactly: `No` only when no byte of the request was given to a socket, or the broker refused it.
    fn send<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<Sent>>;

    /// Hands a message to the socket, if that needs no waiting. Nobody answers. `false`: it was not handed over, and
    /// [`send_oneway`](Self::send_oneway) waits, or says what is wrong.
    fn begin_oneway(&self, _request: &SendRequest<'_>) -> bool {
        false
    }

    /// Hands a message to the socket. Nobody answers.
    ///
    /// # Errors
    ///
    /// When it could not be handed over.
    fn send_oneway<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<()>>;
}
