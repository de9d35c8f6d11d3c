//! Message trace as RocketMQ has it: records of sends, of the ends of transactions and of what consumers did, in a topic of
//! their own, for the tools that come with the servers.
//!
//! Three parts: [`TraceRecord`] is the format, in both directions and without I/O; [`Tracer`] is an interceptor of producers and
//! consumers that makes records and puts them into a bounded queue; behind the queue one task packs them into messages and sends
//! them. A full queue drops records and counts them: tracing never holds up a send. This crate does not know transports. Start reading at
//! [`MessageTrace`].
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod consume;
mod dispatch;
mod options;
mod record;
mod tracer;

pub use options::MessageTrace;
pub use record::{EndRecord, PubRecord, RecallRecord, SubAfterRecord, SubBeforeRecord, TraceKind, TraceRecord};
pub use tracer::{TraceCounters, Tracer};
