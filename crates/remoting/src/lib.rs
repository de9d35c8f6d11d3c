//! Request and response over TCP, for Apache RocketMQ's remoting protocol. Knows frames, not topics.
//!
//! One task owns one socket. Callers encode straight into the connection's buffer under one short lock, and the task writes
//! many frames with one system call; answers find their waiter in a slab by opaque; all deadlines of a connection live in one
//! structure. This crate does not know brokers, routes or groups: what a server starts goes upward as [`Inbound`] events.
//! Start reading at [`Connection`], then [`Pool`].
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod backoff;
mod call;
mod connection;
mod dial;
mod driver;
mod endpoint;
mod error;
mod inbound;
mod options;
mod outbox;
mod pending;
mod pool;
mod stats;

pub use call::{Answer, Call};
pub use connection::Connection;
pub use dial::{DialError, Dialer, Stream, TcpDialer};
pub use endpoint::Endpoint;
pub use error::{CallError, CloseCause, ConnectError};
pub use inbound::Inbound;
pub use options::{InvalidOptions, Options};
pub use pool::{ConnectionState, Pool, PoolError};
pub use stats::{Stats, StatsSnapshot};
