//! An async client for Apache RocketMQ: everything the Java client does, at a tenth of its cost, with an API that a Rust user
//! finds natural.
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

pub use ferrocket_backend::{BoxFuture, Capability, Leftover, ShutdownError, ShuttingDown};
pub use ferrocket_consumer::{BatchListener, BatchOutcome, Listener, Outcome, PushConsumer};
pub use ferrocket_model::{
    Applied, Attempt, BoxError, BrokerName, ConsumeFrom, Credentials, DeliveryTime, Error, ErrorKind, Filter, Group,
    LookupError, Message, MessageId, MessageQueue, NotARequest, RecallHandle, ReceivedMessage, Remedy, Reply, Secret,
    SeekTo, SendReceipt, SendStatus, ServerCode, SetupError, Topic, blocking,
};
pub use ferrocket_producer::{
    Producer, ProducerInterceptor, RecallError, SendError, Sending, Transaction, TransactionChecker, TransactionError,
    TransactionProducer, TransactionState,
};

#[cfg(feature = "trace")]
pub use ferrocket_trace::MessageTrace;

/// Options and extension points of producers.
pub mod producer {
    pub use ferrocket_producer::{
        AutoBatch, Compression, FaultTolerance, IntoTransactionState, Producer, ProducerBuilder, ProducerHealth,
        ProducerInterceptor, RecallError, SendContext, SendCounters, SendError, Sending, Transaction,
        TransactionChecker, TransactionEnd, TransactionError, TransactionProducer, TransactionProducerBuilder,
        TransactionState,
    };
}

/// Options and extension points of consumers.
pub mod consumer {
    pub use ferrocket_consumer::{
        AllocateQueues, Allocation, Average, BatchListener, BatchOutcome, Concurrent, ConsumerHealth, IntoBatchOutcome,
        IntoOutcome, Listener, NoListener, Outcome, PushConsumer, PushConsumerBuilder, QueueHealth, QueueState,
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
}
