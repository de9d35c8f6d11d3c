use ferrocket_model::{BrokerName, Group, MessageQueue};

use crate::{BoxFuture, Outcome};

/// Locks of queues, for groups that keep an order: a queue is locked for one member at a time. Servers keep a lock for a while
/// after it was asked for last, and forget all locks when they restart.
pub trait Locks {
    /// Locks queues of one broker for this client, and keeps those that it holds. Gives back those that are its own now.
    ///
    /// # Errors
    ///
    /// When the broker refuses or cannot be reached; the queues may be locked.
    fn lock<'a>(
        &'a self,
        group: &'a Group,
        broker: &'a BrokerName,
        queues: &'a [MessageQueue],
    ) -> BoxFuture<'a, Outcome<Vec<MessageQueue>>>;

    /// Gives locks back; what others hold is left alone.
    ///
    /// # Errors
    ///
    /// When the broker refuses or cannot be reached; the locks end by themselves.
    fn unlock<'a>(
        &'a self,
        group: &'a Group,
        broker: &'a BrokerName,
        queues: &'a [MessageQueue],
    ) -> BoxFuture<'a, Outcome<()>>;
}
