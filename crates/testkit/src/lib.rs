//! An Apache RocketMQ name server and brokers in this process, over TCP or wholly in memory, with faults to order.
//!
//! This crate does not know the client: it has its own accept loop and framing, and shares with it the codec only. It keeps
//! everything in memory, and it does not know POP, access control and TLS.
//! Start reading at [`TestCluster`] and [`Fault`]; inside, at `server` (connections and frames), `broker` (one file per
//! group of requests) and `log` (what is stored).
#![doc = include_str!("../README.md")]

mod answer;
mod broker;
mod builder;
mod call;
mod clock;
mod cluster;
mod connection;
mod fault;
mod handle;
mod log;
mod name_server;
mod network;
mod observe;
mod server;
mod shared;
mod sql;

pub use builder::TestClusterBuilder;
pub use call::Call;
pub use cluster::TestCluster;
pub use fault::{Action, Fault, FaultHandle, Intercepted};
pub use ferrocket_protocol::ResponseCode;
pub use handle::BrokerHandle;
pub use network::Connector;
