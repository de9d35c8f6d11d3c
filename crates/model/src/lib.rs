//! The nouns: what users and every transport share. No I/O, and nothing here awaits.
//!
//! This crate does not know how a message travels: no request code, no socket, no address book. Start reading at
//! [`Message`] (what is sent), [`ReceivedMessage`] (what comes back, as a view of the receive buffer) and [`Failure`]
//! (the facts behind every error).
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod blocking;
mod credentials;
mod error;
mod filter;
mod hash;
mod id;
mod message;
mod name;
mod namespace;
mod position;
pub mod properties;
mod queue;
mod receipt;
mod received;
mod revocation;
mod route;
mod short_text;
pub mod system;
mod transaction;

pub use blocking::{Blocking, blocking};
pub use credentials::{Credentials, Secret};
pub use error::{
    Applied, Attempt, BoxError, Error, ErrorKind, Failure, Lines, LookupError, Remedy, ServerCode, SetupError,
};
pub use filter::{Filter, FilterKind};
pub use hash::{java_string_hash, java_string_order};
pub use id::{IdGenerator, OffsetId, UniqueIdParts, month_start_ms};
pub use message::{DeliveryTime, InvalidMessage, Message};
pub use name::{Group, InvalidName, Topic};
pub use namespace::Namespace;
pub use position::{ConsumeFrom, SeekTo};
pub use queue::{BrokerName, MessageQueue};
pub use receipt::{MessageId, RecallHandle, ReceiptParts, SendReceipt, SendStatus, TraceHint};
pub use received::{NotARequest, ReceivedMessage, ReceivedParts, Reply, Source};
pub use revocation::Revocation;
pub use route::{Route, RouteBroker};
pub use short_text::ShortText;
pub use transaction::TransactionState;
