//! What the client costs, measured against servers that do nothing.
//!
//! The programs `bench` (figures) and `gates` (limits) share this library. Every measured program is a process of its own:
//! [`child`] starts it, on a core of its own, and asks it for one measurement after the other, so that two programs can be
//! interleaved in one run. Start reading at [`load`], which is what the client's process does.
#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_methods,
    reason = "benchmarks measure the real clock, and null servers are blocking threads outside of any runtime"
)]

pub mod alloc;
pub mod callgrind;
pub mod child;
pub mod compare;
pub mod consumers;
pub mod cpu;
pub mod hello;
pub mod inputs;
pub mod load;
pub mod loopback;
pub mod null_broker;
pub mod null_echo;
pub mod once;
pub mod ops;
pub mod pace;
pub mod pairs;
pub mod parts;
mod push;
pub mod real;
pub mod report;
pub mod sample;
pub mod sends;
pub mod serve;
