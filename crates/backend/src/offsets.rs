use std::time::SystemTime;

use ferrocket_model::{Group, MessageQueue};

use crate::{BoxFuture, Outcome};

/// Progress of groups, and the bounds of queues. A failed read is an error, never a number.
pub trait Offsets {
    /// The next offset that a group will consume; `None` when nothing is stored.
    ///
    /// # Errors
    ///
    /// When the broker refuses or cannot be reached.
    fn committed<'a>(&'a self, group: &'a Group, queue: &'a MessageQueue) -> BoxFuture<'a, Outcome<Option<u64>>>;

    /// Stores the next offset that a group will consume.
    ///
    /// # Errors
    ///
    /// When the broker refuses or cannot be reached; it may have been stored.
    fn commit<'a>(&'a self, group: &'a Group, queue: &'a MessageQueue, offset: u64) -> BoxFuture<'a, Outcome<()>>;

    /// The first offset that a queue holds.
    ///
    /// # Errors
    ///
    /// When the broker refuses or cannot be reached.
    fn earliest<'a>(&'a self, queue: &'a MessageQueue) -> BoxFuture<'a, Outcome<u64>>;

    /// The offset behind the last message of a queue.
    ///
    /// # Errors
    ///
    /// When the broker refuses or cannot be reached.
    fn latest<'a>(&'a self, queue: &'a MessageQueue) -> BoxFuture<'a, Outcome<u64>>;

    /// The first offset stored at a time or later.
    ///
    /// # Errors
    ///
    /// When the broker refuses or cannot be reached.
    fn at_time<'a>(&'a self, queue: &'a MessageQueue, time: SystemTime) -> BoxFuture<'a, Outcome<u64>>;
}
