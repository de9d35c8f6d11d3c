use std::{fmt, sync::Arc};

use ferrocket_backend::{BoxFuture, ShutdownError, ShuttingDown};
use ferrocket_model::{BrokerName, Group, Message, MessageId, RecallHandle, Reply, SendReceipt, Topic};
use ferrocket_route::Stack;

use crate::{ProducerBuilder, RecallError, Sending, core::Core, sending::Start};

/// Sends messages. Cheap to clone; all clones are one producer.
///
/// When the last clone is dropped the intake stops, what is in flight runs on, and nothing waits; [`shutdown`](Self::shutdown)
/// waits.
#[derive(Clone)]
#[doc(alias = "DefaultMQProducer")]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.abandon();
    }
}

impl Producer {
    /// For those who build their own stack. Users say `client.producer(group)`.
    pub fn builder(stack: Stack, group: impl Into<Group>) -> ProducerBuilder {
        ProducerBuilder::new(stack, group.into())
    }

    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { handle: Arc::new(Handle { core }) }
    }

    /// Stores a message. A future: nothing is sent before it is polled.
    ///
    /// # Errors
    ///
    /// [`SendError`](crate::SendError) says what went wrong, whether the message may be stored all the same, and gives it back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before its first poll sends nothing. Later, no further attempt is made; the one under way may be
    /// stored. The place in the window is free at once.
    #[doc(alias = "sendAsync")]
    pub fn send(&self, message: Message) -> Sending<SendReceipt> {
        Sending::new(self.handle.core.clone(), Start::One(message, crate::send::start))
    }

    /// Hands a message to the connection. No broker answers, nothing is retried, and nobody learns whether it was stored. With a
    /// sharding key it leaves in order; brokers may store it in another one.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), for all that comes before: checks, window, route, connection.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it may have left or not.
    #[doc(alias = "sendOneway")]
    pub fn send_oneway(&self, message: Message) -> Sending<()> {
        Sending::new(self.handle.core.clone(), Start::Now(message, crate::oneway::start))
    }

    /// Stores several messages of one topic with one request, in order, in one queue. A receipt for each.
    ///
    /// Sharding keys must belong to one queue; a batch is the way to speed for messages that keep an order. Batches are not
    /// compressed. A selector sees the first message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), for the batch as a whole; it gives all messages back. Refused without asking anybody: an empty list,
    /// several topics, retry topics, replies, delays and timers, some that wait for the store and some that do not, and more than
    /// `max_message_bytes` together on the wire. Keys of several queues are refused before anything is sent, when the route is known.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    #[doc(alias = "MessageBatch")]
    pub fn send_batch(&self, messages: impl IntoIterator<Item = Message>) -> Sending<Vec<SendReceipt>> {
        let messages = messages.into_iter().collect();
        Sending::new(self.handle.core.clone(), Start::Many(messages, crate::batch::start))
    }

    /// Sends a message and waits until a consumer has [replied](ferrocket_model::ReceivedMessage::reply), within one timeout. It
    /// keeps its place in the window until then, and [`shutdown`](Self::shutdown) waits for the reply, too.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `NoReply` when the message is stored and nobody replied in time. Replies that come later are
    /// counted and dropped.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send); a reply finds nobody then.
    #[doc(alias = "RequestCallback")]
    pub fn request(&self, message: Message) -> Sending<Reply> {
        Sending::new(self.handle.core.clone(), Start::One(message, crate::request::start))
    }

    /// Takes a timer message back before it is delivered, by the handle of its receipt. Gives its id. One attempt, which the
    /// look-up of the topic is part of, within `send_timeout`.
    ///
    /// # Errors
    ///
    /// When the handle is none or belongs to another topic, and when the broker refuses: it is too late, or
    /// `recallMessageEnable` is off, as it is by default.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the message may be taken back or not.
    #[doc(alias = "recallMessage")]
    pub fn recall(
        &self,
        topic: impl Into<Topic>,
        handle: &RecallHandle,
    ) -> BoxFuture<'static, Result<MessageId, RecallError>> {
        Box::pin(crate::recall::recall(self.handle.core.clone(), topic.into(), handle.clone()))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    /// The group.
    pub fn group(&self) -> &Group {
        &self.handle.core.group
    }

    /// What is in flight, and which brokers are avoided. Without I/O.
    pub fn health(&self) -> ProducerHealth {
        self.handle.core.health()
    }

    /// Stops the intake, sends open batches, waits for what is in flight, and unregisters. Within [`ProducerBuilder::shutdown_timeout`], or what
    /// [`ShuttingDown::within`] says.
    ///
    /// # Errors
    ///
    /// What was left undone.
    pub fn shutdown(&self) -> ShuttingDown {
        let core = self.handle.core.clone();
        ShuttingDown::new(core.options.shutdown_timeout, move |deadline| {
            Box::pin(async move {
                match core.shut_down(deadline).await {
                    leftovers if leftovers.is_empty() => Ok(()),
                    leftovers => Err(ShutdownError::new(leftovers, deadline)),
                }
            })
        })
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("group", self.group()).finish_non_exhaustive()
    }
}

/// A producer's state now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProducerHealth {
    /// The group.
    pub group: Group,
    /// Sends that have their place in the window: those on their way, and those that wait for a route or for others of their
    /// batch. A batch of your own is one; a request is one until its reply is here.
    pub in_flight: usize,
    /// Their bodies together.
    pub in_flight_bytes: usize,
    /// Brokers that are slow or away, and avoided for that.
    pub avoided_brokers: Vec<BrokerName>,
}
