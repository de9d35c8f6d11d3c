use ferrocket_model::Reply;

use crate::{BoxFuture, Outcome};

/// A reply that is waited for. Dropping it ends the waiting; a reply that comes later is counted and dropped. Fails
/// when the reply cannot be read, or the transport ends first.
pub type ExpectedReply = BoxFuture<'static, Outcome<Reply>>;

/// Replies to requests of this client.
pub trait Replies {
    /// Waits for the reply with this correlation id, from now on. Bounded by the requests in flight.
    fn expect_reply(&self, correlation_id: &str) -> ExpectedReply;
}
