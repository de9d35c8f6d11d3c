//! An async client for Apache RocketMQ 4.9 and 5.x: producers and push consumers with bounded memory and exact errors.
//!
//! One [`Client`] is one cluster. Producers and consumers are made from it and share its connections, routes and heartbeats.
//! Memory is bounded by options, errors say whether something was applied, and nothing runs that you did not build.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use ferrocket::{Client, Message};
//!
//! let cluster = ferrocket_testkit::TestCluster::start().await?; // or a real name server's address below
//! let client = Client::connect(cluster.name_servers()).await?;
//! let producer = client.producer("shop").build().await?;
//! let receipt = producer.send(Message::new("Orders", "hello").with_tag("paid").with_key(42)).await?;
//! println!("{} is stored", receipt.message_id());
//! client.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! This crate is thin: a builder, a handle, health, and re-exports. Start reading at [`Client`]; the producer's module page
//! explains delivery guarantees ([`producer`]), and so does the consumer's ([`consumer`]).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

#[cfg(feature = "remoting")]
mod builder;
#[cfg(feature = "remoting")]
mod client;
mod health;
#[cfg(feature = "remoting")]
mod identity;
#[cfg(feature = "remoting")]
mod queue_watch;

#[cfg(feature = "remoting")]
pub use builder::ClientBuilder;
#[cfg(feature = "remoting")]
pub use client::Client;
#[cfg(feature = "remoting")]
pub use ferrocket_remoting_backend::{HeaderFormat, NameServerSource};
pub use health::{BrokerHealth, Health, Metrics};
#[cfg(feature = "remoting")]
pub use queue_watch::QueueWatch;

pub use ferrocket_backend::{BoxFuture, Capability, LatencyHistogram, Leftover, ShutdownError, ShuttingDown};
pub use ferrocket_consumer::{BatchListener, BatchOutcome, Listener, Outcome, PushConsumer};
pub use ferrocket_model::{
    Applied, Attempt, BoxError, BrokerName, ConsumeFrom, Credentials, DeliveryTime, Error, ErrorKind, Filter, Group,
    LookupError, Message, MessageId, MessageQueue, NotARequest, RecallHandle, ReceivedMessage, Remedy, Reply, Secret,
    SeekTo, SendReceipt, SendStatus, ServerCode, SetupError, Topic, blocking,
};
pub use ferrocket_offset_store::{FileOffsets, FileOffsetsError, OffsetStore};
pub use ferrocket_producer::{
    Producer, ProducerInterceptor, RecallError, SendError, Sending, Transaction, TransactionChecker, TransactionError,
    TransactionProducer, TransactionState,
};

#[cfg(feature = "trace")]
pub use ferrocket_trace::MessageTrace;

/// Producers: what they guarantee, their options and extension points.
///
/// # Delivery guarantees
///
/// | call | `Ok` means | `Err` means |
/// | --- | --- | --- |
/// | [`send`](Producer::send) | a broker has stored it | [`applied()`](SendError::applied) says: not stored, unknown, or stored |
/// | [`send_batch`](Producer::send_batch) | all are stored, in order, in one queue | the same, for all of them together |
/// | [`send`](Producer::send) with [`auto_batch`](producer::ProducerBuilder::auto_batch) | this message is stored | the same, for this message |
/// | [`send_oneway`](Producer::send_oneway) | it was handed to the connection | it was not |
/// | [`request`](Producer::request) | the reply is here | as `send`; `NoReply`: it is stored, and nobody has answered |
/// | [`begin`](TransactionProducer::begin) | the half message is stored, and nobody sees it | as `send`, for the half message |
/// | [`commit`](Transaction::commit), [`rollback`](Transaction::rollback) | the broker has done it | the broker asks the checker, unless it was done |
/// | [`recall`](Producer::recall) | the broker has taken note | it will be delivered, unless the outcome is unknown |
///
/// - **At least once.** A failed attempt is repeated on another broker, also when its outcome is unknown. A message may then be
///   stored twice, both times with the same [`message_id`](crate::SendReceipt::message_id). With
///   [`retry_unknown(false)`](producer::ProducerBuilder::retry_unknown) no attempt is repeated that may have stored it, and you get the unknown
///   outcome instead.
/// - **One deadline** ([`send_timeout`](producer::ProducerBuilder::send_timeout), or [`timeout`](Sending::timeout) of one call) covers the wait
///   for a place in the window, the look-up of the topic, and all attempts.
/// - **Bounded.** What is in flight is bounded by count and by bytes. Who finds no place waits, within his time, and then fails with
///   [`Overloaded`](crate::ErrorKind::Overloaded).
/// - **Order** is kept among messages with one [sharding key](crate::Message::with_sharding_key), and within a batch. Other sends that are
///   in flight together are stored in any order.
/// - **A message comes back** with its error ([`into_messages`](SendError::into_messages)). Sent again it is a new message with a new
///   id.
/// - **Dropping** a future makes no further attempt; the one under way may be stored. A message that has joined an automatic batch
///   is sent all the same.
/// - **Shutdown** takes no new sends, sends open batches, waits for what is in flight, and says what was left undone.
///
/// The repository's guide (`docs/guide`) has a page for each way of sending.
pub mod producer {
    pub use ferrocket_producer::{
        AutoBatch, Compression, FaultTolerance, IntoTransactionState, Producer, ProducerBuilder, ProducerHealth,
        ProducerInterceptor, RecallError, SendContext, SendCounters, SendError, SendLatency, SendOutcome, Sending,
        Transaction, TransactionChecker, TransactionEnd, TransactionError, TransactionProducer,
        TransactionProducerBuilder, TransactionState,
    };
}

/// Consumers: what they guarantee, their options and extension points.
///
/// # Delivery guarantees
///
/// | builder | order | a message that fails | progress is kept |
/// | --- | --- | --- | --- |
/// | [`concurrent`](consumer::PushConsumerBuilder::concurrent), [`concurrent_batch`](consumer::PushConsumerBuilder::concurrent_batch), [`deliveries`](consumer::PushConsumerBuilder::deliveries) | none | goes back to the broker and comes again after a delay; after the last attempt it is a dead letter | on brokers |
/// | [`orderly`](consumer::PushConsumerBuilder::orderly), [`orderly_batch`](consumer::PushConsumerBuilder::orderly_batch) | that of each queue, one listener at a time over all members | is tried again in place, and its queue waits | on brokers |
/// | any of them with [`broadcast`](consumer::PushConsumerBuilder::broadcast) | as above, for each member by itself | is tried again here, then passed over, counted and logged | in a store of each member |
///
/// - **At least once.** The offset of a queue never moves past a message that is not settled. It is settled when its listener returned
///   success, or when the broker has confirmed that it has it again: for a retry, or as a dead letter. What was delivered and not
///   settled, or settled and not stored, when a member dies comes again, with the same [`id`](crate::ReceivedMessage::id).
/// - **An error, a panic and a handler that takes too long** ([`handler_timeout`](consumer::PushConsumerBuilder::handler_timeout)) are failures of
///   the message. Its future is dropped before the message is given back, so it does not run twice at once; only a
///   [`blocking`] closure cannot be dropped.
/// - **Where a group begins** for which nothing is stored, [`consume_from`](consumer::PushConsumerBuilder::consume_from) says, meant literally. An
///   offset that cannot be read starts nothing.
/// - **Order** is kept by locks of brokers, won before the first delivery. When a lock can no longer be proven, nothing is handed out
///   or stored any more.
/// - **When a queue goes to another member**, running listeners have a moment, what they settle is stored, and later results do
///   nothing; [`is_revoked`](crate::ReceivedMessage::is_revoked) tells them.
/// - **Bounded.** What is pulled and not settled is bounded by count and by bytes, per queue, consumer and client. A queue that stands
///   still says why: [`QueueState`](consumer::QueueState), in [`health`](PushConsumer::health).
/// - **Shutdown** pulls nothing more, lets listeners finish, stores offsets and awaits the answers, gives locks back, leaves the group, and
///   says what was left undone. Dropping the last handle stops the intake, stores what is settled and tells brokers, and nobody waits for it.
///
/// The repository's guide (`docs/guide`) has pages on consuming, ordering, broadcast, rebalance, tuning, and on why a consumer stands still.
pub mod consumer {
    pub use ferrocket_consumer::{
        AllocateQueues, Allocation, AssignmentChange, Average, AverageByCircle, BatchListener, BatchOutcome,
        Concurrent, ConsistentHash, ConsumeContext, ConsumeReport, ConsumerHealth, ConsumerInterceptor, Delivery,
        DeliveryStream, Fixed, IntoBatchOutcome, IntoOutcome, Listener, MachineRoom, MachineRoomNearby, NoListener,
        Orderly, Outcome, PushConsumer, PushConsumerBuilder, QueueHealth, QueueState, Streaming,
    };
}

/// The code of the repository's README, compiled and run by the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct RepositoryReadme;

/// The code of the guide's pages, compiled and run by the doc tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/sending.md")]
    struct Sending;
    #[doc = include_str!("../../../docs/guide/ordering.md")]
    struct Ordering;
    #[doc = include_str!("../../../docs/guide/batching.md")]
    struct Batching;
    #[doc = include_str!("../../../docs/guide/transactions.md")]
    struct Transactions;
    #[doc = include_str!("../../../docs/guide/request-reply.md")]
    struct RequestReply;
    #[doc = include_str!("../../../docs/guide/delay.md")]
    struct Delay;
    #[doc = include_str!("../../../docs/guide/consuming.md")]
    struct Consuming;
    #[doc = include_str!("../../../docs/guide/broadcast.md")]
    struct Broadcast;
    #[doc = include_str!("../../../docs/guide/rebalance.md")]
    struct Rebalance;
    #[doc = include_str!("../../../docs/guide/tuning.md")]
    struct Tuning;
    #[doc = include_str!("../../../docs/guide/standstill.md")]
    struct Standstill;
}
