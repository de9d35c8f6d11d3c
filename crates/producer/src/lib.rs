//! Get messages stored, or say exactly what is unknown.
//!
//! # Delivery guarantees
//!
//! A send is done when a broker has answered that it stored the message: that is what a [`SendReceipt`] proves. A send that
//! fails says by [`applied`](SendError::applied) which of three it was: *not stored* (nothing reached a broker, or it refused),
//! *unknown* (the request may have arrived, and no answer came), or stored with a complaint, which is no error but a
//! [`SendStatus`]. By default a failed attempt is repeated on another broker, also when its outcome is unknown, so a message
//! may be stored twice: at least once. [`ProducerBuilder::retry_unknown`]`(false)` never makes a duplicate, and hands you the
//! unknown outcomes.
//!
//! One deadline covers a whole send: waiting for a place in the window, finding the topic, and all attempts. Memory is
//! bounded by the window.
//!
//! This crate does not know codes, sockets or name servers. Start reading at [`Producer`], then `send` (the way of a message),
//! `job` (what it carries) and `attempt` (sans-IO: again, or give up).
#![doc = include_str!("../README.md")]

mod accumulate;
mod attempt;
mod batch;
mod builder;
mod checks;
mod compress;
mod core;
mod detector;
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
mod window;

pub use accumulate::AutoBatch;
pub use builder::{FaultTolerance, ProducerBuilder};
pub use compress::Compression;
pub use ferrocket_model::{SendReceipt, SendStatus, TransactionState};
pub use interceptor::{ProducerInterceptor, SendContext, TransactionEnd};
pub use producer::{Producer, ProducerHealth};
pub use recall::RecallError;
pub use sending::{SendError, Sending};
pub use stats::{ProducerReport, SendCounters};
pub use transaction::{IntoTransactionState, Transaction, TransactionChecker, TransactionError};
pub use transaction_producer::{TransactionProducer, TransactionProducerBuilder};
