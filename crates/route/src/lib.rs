//! Where to send: routes, queue choice, and brokers to avoid.
//!
//! [`RouteTable`] keeps immutable pictures of routes, swapped whole, and refreshes them; [`FaultTable`] is sans-IO and says
//! which brokers are slow or away; [`QueueChooser`] goes round the queues past those. This crate does not know how a route is
//! looked up. Start reading at [`Stack`], what a producer or consumer is built on.
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod budget;
mod fault;
mod refresh;
mod select;
mod stack;
mod table;
mod vanished;
mod watch;

pub use budget::Budget;
pub use fault::{FaultTable, LatencyClasses};
pub use select::{QueueChooser, queue_of_key};
pub use stack::Stack;
pub use table::RouteTable;
pub use watch::{RouteView, RouteWatch};
