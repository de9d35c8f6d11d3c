use std::time::Duration;

use ferrocket_model::{Group, MessageId, RecallHandle, Topic};

use crate::{BoxFuture, Outcome};

/// Takes a timer message back.
#[derive(Clone, Copy, Debug)]
pub struct RecallRequest<'a> {
    /// The producer group.
    pub group: &'a Group,
    /// The topic that it was sent to.
    pub topic: &'a Topic,
    /// What the receipt gave.
    pub handle: &'a RecallHandle,
    /// How long the broker may take.
    pub timeout: Duration,
}

/// Taking back.
pub trait Recalls {
    /// Takes a message back before it is delivered, and says its id.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a handle that is none; else what the broker says.
    fn recall<'a>(&'a self, request: RecallRequest<'a>) -> BoxFuture<'a, Outcome<MessageId>>;
}
