//! One suite of behaviour, run against testkit and against real servers: with `FERROCKET_NAME_SERVER` set (as
//! `cargo xtask broker run` does) every case runs there, otherwise on an embedded cluster of its own.

mod broadcast;
mod consuming;
mod deliveries;
mod extensions;
mod filters;
mod groups;
mod names;
mod options;
mod orderly;
mod producer_limits;
mod producing;
mod recovery;
mod sending;
mod server;
mod subscriptions;
#[cfg(feature = "trace")]
mod trace;
