mod builder;
mod check;
mod deliveries;
mod kinds;
mod resubscribe;
mod start;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use ferrocket_backend::{BoxFuture, ShutdownError, ShuttingDown};
use ferrocket_model::{Filter, Group, MessageQueue, SetupError, Topic};

use crate::{ConsumerHealth, core::Core, listener::AnyListener};

pub use builder::{AssignmentChange, PushConsumerBuilder};
pub use deliveries::{Delivery, DeliveryStream};
pub use kinds::{Concurrent, NoListener, Orderly, Streaming};

/// A running consumer. Cheap to clone; all clones are one consumer.
///
/// When the last clone is dropped the intake stops, handlers run on, and what is settled is committed; nothing waits for it.
/// [`shutdown`](Self::shutdown) waits.
#[derive(Clone)]
#[doc(alias = "DefaultMQPushConsumer")]
pub struct PushConsumer {
    handle: Arc<Handle>,
}

struct Handle {
    core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.abandon();
    }
}

impl PushConsumer {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { handle: Arc::new(Handle { core }) }
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    /// Wants messages of one more topic, or others of a topic that it has already. Servers are told at once, and the queues are shared
    /// out anew. What was buffered before is still delivered. All members of a group must want the same.
    ///
    /// # Errors
    ///
    /// When topic or filter cannot be used. A topic that does not exist yet is waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the subscription may have changed or not; doing it again is harmless.
    pub fn subscribe(
        &self,
        topic: impl Into<Topic>,
        filter: impl Into<Filter>,
    ) -> BoxFuture<'static, Result<(), SetupError>> {
        let (core, topic, filter) = (self.handle.core.clone(), topic.into(), filter.into());
        Box::pin(resubscribe::subscribe(core, topic, filter))
    }

    /// Wants nothing more of a topic: its queues are given up, and their progress is stored. Other members of the group do not take
    /// them over as long as this one is a member: unsubscribe everywhere.
    ///
    /// # Errors
    ///
    /// When it was not subscribed.
    ///
    /// # Cancel safety
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn unsubscribe(&self, topic: impl Into<Topic>) -> BoxFuture<'static, Result<(), SetupError>> {
        Box::pin(resubscribe::unsubscribe(self.handle.core.clone(), topic.into()))
    }

    /// Pulls nothing more until [`resume`](Self::resume). What is buffered is still delivered.
    #[doc(alias = "suspend")]
    pub fn pause(&self) {
        self.handle.core.paused.store(true, Ordering::Release);
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.handle.core.paused.store(false, Ordering::Release);
        for queue in self.handle.core.queues.lock().values() {
            queue.room.notify_one();
        }
    }

    /// Changes how many handlers may run at once, 1 at least. Handlers that run are not stopped. A stream has no such limit.
    #[doc(alias = "updateCorePoolSize")]
    pub fn set_concurrency(&self, handlers: usize) {
        if !matches!(self.handle.core.listener, AnyListener::Stream) {
            self.handle.core.set_concurrency(handlers.max(1));
        }
    }

    /// The queues owned now.
    pub fn assignment(&self) -> Vec<MessageQueue> {
        self.handle.core.queues.lock().keys().cloned().collect()
    }

    /// The group.
    pub fn group(&self) -> &Group {
        &self.handle.core.group
    }

    /// Every queue with its lag, its last progress, and why it stands still if it does. Without I/O.
    pub fn health(&self) -> ConsumerHealth {
        self.handle.core.health()
    }

    /// Stops pulling, lets handlers finish, commits, and unregisters. Within the builder's `shutdown_timeout`, or what
    /// [`ShuttingDown::within`] says.
    ///
    /// # Errors
    ///
    /// What was left undone.
    pub fn shutdown(&self) -> ShuttingDown {
        let core = self.handle.core.clone();
        ShuttingDown::new(core.options.shutdown_timeout, move |deadline| {
            Box::pin(async move {
                match core.shut_down(deadline).await {
                    leftovers if leftovers.is_empty() => Ok(()),
                    leftovers => Err(ShutdownError::new(leftovers, deadline)),
                }
            })
        })
    }
}

impl fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushConsumer").field("group", self.group()).finish_non_exhaustive()
    }
}
