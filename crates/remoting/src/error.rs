use std::{io, sync::Arc, time::Duration};

use ferrocket_protocol::{DecodeError, EncodeError, ResponseCode};
use thiserror::Error;

/// Why a connection ended. Every request that waited on it gets the same cause.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CloseCause {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    ByPeer,
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// The peer sent what no peer sends.
    #[error("the peer sent an unreadable frame")]
    Protocol(#[source] DecodeError),
    /// No traffic for the idle timeout.
    #[error("the connection was idle for {0:?}")]
    Idle(Duration),
    /// Requests timed out, and nothing came from the peer for the silence timeout.
    #[error("the peer answered nothing for {0:?}")]
    Silent(Duration),
    /// We closed it.
    #[error("the connection was closed by this client")]
    ByUs,
}

/// A connection that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host's name has no address.
    #[error("the host name in {address:?} could not be resolved")]
    Resolve {
        /// What was asked for.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The address is not `host:port`.
    #[error("{address:?} is not an address of the form host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// Connecting failed, for instance because nothing listens there.
    #[error("connecting to {address} failed")]
    Io {
        /// Where.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// No connection within the time.
    #[error("connecting to {address} took longer than {after:?}")]
    Timeout {
        /// Where.
        address: String,
        /// The limit.
        after: Duration,
    },
    /// An option cannot work.
    #[error(transparent)]
    Options(#[from] crate::InvalidOptions),
}

/// A request that got no answer of its type.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The deadline passed. Without `queued` not even room in the buffer was found, and nothing of it will be sent.
    #[error("no answer within {after:?}")]
    Timeout {
        /// How long we waited.
        after: Duration,
        /// Whether the request reached the buffer, from where it is sent, or may be.
        queued: bool,
    },
    /// The connection ended first.
    #[error("the connection ended before the answer came")]
    Closed {
        /// Whether a byte of the request had been given to the socket.
        written: bool,
        /// Why it ended.
        #[source]
        cause: Arc<CloseCause>,
    },
    /// The server refused.
    #[error("the server answered {code}: {remark}")]
    Answer {
        /// Its code.
        code: ResponseCode,
        /// Its text; for people.
        remark: String,
    },
    /// An answer came that cannot be read.
    #[error("the answer cannot be read")]
    Malformed(#[source] DecodeError),
    /// The request is too large to be sent.
    #[error("the request cannot be written")]
    TooLarge(#[source] EncodeError),
}
