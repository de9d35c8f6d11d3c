//! Get messages stored, or say exactly what is unknown.
//!
//! # Delivery guarantees
//!
//! **A send** is done when a broker has answered that it stored the message: that is what a [`SendReceipt`] proves. A send that
//! fails says by [`applied`](SendError::applied) which of three it was: *no*, it is not stored (nothing reached a broker, or it
//! refused); *unknown*, the request may have arrived, and no answer came; *yes*, it is stored, and something else went wrong.
//! Stored, but less safely than the broker is configured to make it, is no error but a [`SendStatus`].
//!
//! **At least once.** By default a failed attempt is repeated, on another broker where the queue is free, also when its outcome is
//! unknown; so a message may be stored twice, with one id. [`ProducerBuilder::retry_unknown`]`(false)` never makes a duplicate, and
//! hands you the unknown outcomes. A [one-way](Producer::send_oneway) send is at most once, and nobody learns which.
//!
//! **One deadline** covers a whole send: waiting for a place in the window, finding the topic, and all attempts. What is in flight
//! is bounded by that window, by count and by bytes.
//!
//! **Order.** Messages with one sharding key go to one queue and are stored there in the order in which their sends were first
//! polled, also when these are pipelined: they leave one after the other per queue. A send that fails leaves a gap, and one whose
//! outcome is unknown may be stored after those behind it. Without a key there is no order among sends that are in flight
//! together, not even to one queue, because brokers store them in any.
//!
//! **A batch** ([`Producer::send_batch`]) is one send: its messages are stored together, one behind the other in one queue, or
//! not. Each has a receipt of its own; an error gives all of them back.
//!
//! **An automatic batch** ([`AutoBatch`]) promises each message what a send of its own does, with a receipt or an error of its own, with
//! two differences: a message that has joined a batch is sent also when its future is dropped, and its time begins when the
//! batch leaves. Shutdown sends what is still open.
//!
//! **A transaction** ([`TransactionProducer`]) stores a half message that nobody sees until it is committed. Commit and rollback are
//! confirmed by the broker, and sent once, because brokers store a message once more for every commit. Whoever cannot end one
//! leaves it to the checker, which brokers ask: the message is then delivered or dropped as the checker says, and delivered at
//! least once.
//!
//! **A request** ([`Producer::request`]) is stored as a message is, and done when its reply has come, within one timeout. `NoReply` means
//! that it is stored, and may be consumed later. A reply completes its own request only; late and doubled ones are counted and
//! dropped.
//!
//! **Dropping** the future of a send ends it: no further attempt is made, and the place in the window is free. The attempt under
//! way may be stored. **Shutdown** takes no new sends, waits for those in flight, and says what was left undone.
//!
//! This crate does not know codes, sockets or name servers. Start reading at [`Producer`], then `send` (the way of a message),
//! `job` (what it carries) and `attempt` (sans-IO: again, or give up).
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod accumulate;
mod attempt;
mod auto_batch;
mod batch;
mod builder;
mod checks;
mod compress;
mod core;
mod detector;
mod ended;
mod interceptor;
mod job;
mod oneway;
mod producer;
mod queue;
mod recall;
mod request;
mod send;
mod sending;
mod stats;
mod topics;
mod transaction;
mod transaction_producer;
mod wall_clock;
mod window;
mod wire_properties;

pub use auto_batch::AutoBatch;
pub use builder::{FaultTolerance, ProducerBuilder};
pub use compress::Compression;
pub use ferrocket_model::{SendReceipt, SendStatus, TransactionState};
pub use interceptor::{ProducerInterceptor, SendContext, TransactionEnd};
pub use producer::{Producer, ProducerHealth};
pub use recall::RecallError;
pub use sending::{SendError, Sending};
pub use stats::{ProducerReport, SendCounters, SendLatency, SendOutcome};
pub use transaction::{IntoTransactionState, Transaction, TransactionChecker, TransactionError};
pub use transaction_producer::{TransactionProducer, TransactionProducerBuilder};
