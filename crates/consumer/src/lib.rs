//! Deliver, retry, commit.
//!
//! # Delivery guarantees
//!
//! At least once: an offset never moves past a message that was not settled. A message is settled when its listener returned
//! success, or when the broker has confirmed that it took the message back, for a later retry or as a dead letter. A listener
//! that fails, panics or takes too long has its message retried; after the last attempt it goes to the group's dead-letter
//! topic. What was delivered and not settled when a member dies comes again, to whoever owns the queue then.
//!
//! Where an order is kept, a queue is locked for one member before anything of it is handed out, a message that fails is tried again
//! in place while its queue waits, and nothing is handed out or stored while the lock is in doubt. In broadcasting there are neither
//! locks nor retry topics: a message that fails is tried again here, then passed over, counted and logged.
//!
//! Each ownership of a queue is an epoch of its own. What comes late, of a queue that was given up, does nothing.
//!
//! This crate does not know codes, sockets or heartbeats. Start reading at [`PushConsumer`], then `queue::puller` (the way in),
//! `deliver` (to listeners and back) and `rebalance` (who owns which queue).
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod allocate;
mod buffered;
mod cancellation;
mod commit;
mod core;
mod deliver;
mod health;
mod inspection;
mod interceptor;
mod listener;
mod outcome;
mod push;
mod queue;
mod rebalance;
mod stats;
mod subscription;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod vectors;

pub use allocate::{
    AllocateQueues, Allocation, Average, AverageByCircle, ConsistentHash, Fixed, MachineRoom, MachineRoomNearby,
};
pub use health::{ConsumerHealth, QueueHealth, QueueState};
pub use interceptor::{ConsumeContext, ConsumeReport, ConsumerInterceptor};
pub use listener::{BatchListener, Listener};
pub use outcome::{BatchOutcome, IntoBatchOutcome, IntoOutcome, Outcome};
pub use push::{
    AssignmentChange, Concurrent, Delivery, DeliveryStream, NoListener, Orderly, PushConsumer, PushConsumerBuilder,
    Streaming,
};
pub use stats::{ConsumeCounters, ConsumerReport};
