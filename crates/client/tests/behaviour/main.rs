//! One suite of behaviour, run against testkit and against real servers: with `FERROCKET_NAME_SERVER` set (as
//! `cargo xtask broker run` does) every case runs there, otherwise on an embedded cluster of its own.

mod consuming;
mod groups;
mod names;
mod options;
mod producing;
mod recovery;
mod sending;
mod server;
#[cfg(feature = "trace")]
mod trace;
