use std::time::Duration;

use ferrocket_protocol::{HeaderFormat, limits};
use thiserror::Error;

/// How connections behave. Limits bound what a peer or a caller can make a connection keep.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long connecting may take, name resolution included. Default: 3 s.
    pub connect_timeout: Duration,
    /// A connection without traffic in either direction for this long is closed. Default: 120 s, what servers do.
    pub idle_timeout: Duration,
    /// A connection on which a request timed out and nothing was received for this long is taken for dead and closed, so that
    /// the next call dials anew. Also the TCP user timeout. Default: 15 s.
    pub silence_timeout: Duration,
    /// The largest frame that is read. Default: 16 MiB, what servers send at most.
    pub max_frame_bytes: usize,
    /// The most requests in flight on one connection; further callers wait. Default and upper limit: 65,535.
    pub max_in_flight: usize,
    /// The most bytes waiting to be written on one connection; further callers wait. One frame may exceed it. Default: 8 MiB.
    pub max_buffered_bytes: usize,
    /// Fields that every request carries, such as a namespace. A field of that name that a request has itself wins. Default: none.
    pub extra_fields: Vec<(&'static str, String)>,
    /// How headers are written. Both ways are always read. Default: JSON.
    pub header_format: HeaderFormat,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(120),
            silence_timeout: Duration::from_secs(15),
            max_frame_bytes: limits::MAX_FRAME_BYTES,
            max_in_flight: Self::MAX_IN_FLIGHT,
            max_buffered_bytes: 8 << 20,
            extra_fields: Vec::new(),
            header_format: HeaderFormat::Json,
        }
    }
}

/// An option that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("option `{option}`: {problem}")]
#[non_exhaustive]
pub struct InvalidOptions {
    /// Which one.
    pub option: &'static str,
    /// Why.
    pub problem: &'static str,
}

impl Options {
    /// What the slab of requests can tell apart.
    pub const MAX_IN_FLIGHT: usize = 65_535;
    /// The most [`extra_fields`](Self::extra_fields).
    pub const MAX_EXTRA_FIELDS: usize = 8;

    /// Whether the options can work.
    ///
    /// # Errors
    ///
    /// The first one that cannot.
    pub fn check(&self) -> Result<(), InvalidOptions> {
        let invalid = |option, problem| Err(InvalidOptions { option, problem });
        if self.connect_timeout.is_zero() {
            invalid("connect_timeout", "0 leaves no time to connect")
        } else if self.idle_timeout.is_zero() {
            invalid("idle_timeout", "0 would close every connection at once")
        } else if self.max_frame_bytes < limits::MIN_FRAME_LIMIT {
            invalid("max_frame_bytes", "below 64 KiB ordinary answers do not fit")
        } else if !(1..=Self::MAX_IN_FLIGHT).contains(&self.max_in_flight) {
            invalid("max_in_flight", "between 1 and 65,535 requests can be told apart")
        } else if self.max_buffered_bytes == 0 {
            invalid("max_buffered_bytes", "0 leaves no room for a request")
        } else if self.extra_fields.len() > Self::MAX_EXTRA_FIELDS {
            invalid("extra_fields", "there may be 8 of them")
        } else {
            Ok(())
        }
    }
}
