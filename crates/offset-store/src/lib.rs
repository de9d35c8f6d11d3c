//! How far a consumer group is. [`OffsetTable`] is sans-IO: what was settled in memory, monotonic, and what of it changed;
//! [`OffsetStore`] is where it is kept. This crate does not know who consumes. Start reading at [`OffsetTable`].
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod broker;
mod file;
mod flush;
mod store;
mod table;
mod turn;

pub use broker::BrokerOffsets;
pub use file::{FileOffsets, FileOffsetsError};
pub use flush::Progress;
pub use store::{DynOffsetStore, OffsetStore};
pub use table::OffsetTable;
pub use turn::Turn;
