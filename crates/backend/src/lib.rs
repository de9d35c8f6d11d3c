//! The seam: what a transport must offer, as small object-safe traits by role. For transport authors.
//!
//! Methods take one request value and return a boxed future; they speak domain types only. A request code, an opaque, an
//! address, a heartbeat or a name server never crosses this line. Whoever stands above asks what a transport can do only by
//! [`Capability`]. Start reading at [`Backend`] and [`ConsumerBackend`], which are all roles together.
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod capability;
mod ending;
mod inspection;
mod latency;
mod locks;
mod membership;
mod offsets;
mod pull;
mod rates;
mod recall;
mod records;
mod reply;
mod route;
mod scope;
mod send;
mod send_back;
mod shutdown;
mod task;
mod transaction;

use ferrocket_model::Failure;

pub use capability::Capability;
pub use ending::Ending;
pub use futures_core::future::BoxFuture;
pub use inspection::{ConsumerPicture, DirectConsumption, DirectEnding, DirectVerdict, PictureAnswer, QueuePicture};
pub use latency::{Latencies, LatencyHistogram};
pub use locks::Locks;
pub use membership::{
    ConsumerGroups, ConsumerMember, EventStream, GroupView, Joined, Member, MemberKind, Membership, ServerEvent,
    Subscription,
};
pub use offsets::Offsets;
pub use pull::{PullOutcome, PullRequest, Pulled, Pulls};
pub use rates::{Pace, Rates, TopicRates};
pub use recall::{RecallRequest, Recalls};
pub use records::Records;
pub use reply::{ExpectedReply, Replies};
pub use route::{RouteRequest, Routes};
pub use scope::{Managed, Scope, Stage};
pub use send::{BatchMessage, BodyEncoding, Probed, SendKind, SendRequest, Sends, Sent};
pub use send_back::{Redelivery, SendBackRequest, SendBacks};
pub use shutdown::{LAST_WORD, Leftover, ShutdownError, ShuttingDown};
pub use task::{side_by_side, spawn};
pub use transaction::{CheckAnswer, EndTransactionRequest, TransactionCheck, Transactions};

/// What an operation of the seam ends with. The failure is boxed, so that results stay small.
pub type Outcome<T> = Result<T, Box<Failure>>;

/// The roles of a transport that everybody needs, and those of producers. One value is one cluster.
pub trait Backend: Routes + Sends + Transactions + Replies + Recalls + Membership + Send + Sync + 'static {
    /// What the transport, and the servers behind it as far as they are known, can do.
    fn supports(&self, capability: Capability) -> bool;

    /// Ends everything the transport runs: connections, heartbeats, look-ups. Members must have left before.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What consumers need besides. A trait of its own, so that a program without consumers does not carry it: the compiler keeps
/// whatever an object of a trait can do.
pub trait ConsumerBackend: Backend + Pulls + Offsets + Locks + SendBacks + ConsumerGroups {}

impl<T: Backend + Pulls + Offsets + Locks + SendBacks + ConsumerGroups> ConsumerBackend for T {}
