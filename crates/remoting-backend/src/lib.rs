//! The seam over remoting: everything that producers and consumers need, as calls to name servers and brokers.
//!
//! This crate knows addresses, codes and heartbeats, so that nobody above has to. It does not know retries, queues to choose or
//! listeners. Start reading at [`RemotingBackend`]; each role of the seam is one file; `verdict` says what a code means.
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod backend;
mod brokers;
mod config;
mod consumer_groups;
mod decode;
mod health;
mod heartbeat;
mod inbound;
mod inspection;
mod locks;
mod membership;
mod name_servers;
mod names;
mod offsets;
mod pull;
mod recall;
mod records;
mod replies;
mod route;
mod send;
mod send_back;
mod source;
mod transactions;
mod verdict;

pub use backend::RemotingBackend;
pub use config::{Config, parse_addresses};
pub use ferrocket_protocol::HeaderFormat;
pub use ferrocket_remoting::{DialError, Dialer, Options, StatsSnapshot, Stream};
pub use health::{BackendHealth, BrokerConnection};
pub use source::{DynNameServerSource, NameServerSource};
