use std::sync::Arc;

use ferrocket_backend::BoxFuture;
use ferrocket_model::{BoxError, Group, MessageQueue};

/// Where a group's progress is kept. An offset is the next one to consume.
pub trait OffsetStore: Send + Sync + 'static {
    /// `Ok(None)` means "nothing stored"; a failed read is an `Err` and starts no pull.
    fn read(&self, group: &Group, queue: &MessageQueue) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send;

    /// Must be durable when it returns. Called with only what changed.
    fn write(
        &self,
        group: &Group,
        offsets: &[(MessageQueue, u64)],
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

impl<S: OffsetStore> OffsetStore for Arc<S> {
    fn read(&self, group: &Group, queue: &MessageQueue) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send {
        (**self).read(group, queue)
    }

    fn write(
        &self,
        group: &Group,
        offsets: &[(MessageQueue, u64)],
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        (**self).write(group, offsets)
    }
}

/// The object-safe twin; made by builders, never written by a user.
#[doc(hidden)]
pub trait DynOffsetStore: Send + Sync + 'static {
    fn read<'a>(&'a self, group: &'a Group, queue: &'a MessageQueue) -> BoxFuture<'a, Result<Option<u64>, BoxError>>;
    fn write<'a>(&'a self, group: &'a Group, offsets: &'a [(MessageQueue, u64)])
    -> BoxFuture<'a, Result<(), BoxError>>;
}

impl<S: OffsetStore> DynOffsetStore for S {
    fn read<'a>(&'a self, group: &'a Group, queue: &'a MessageQueue) -> BoxFuture<'a, Result<Option<u64>, BoxError>> {
        Box::pin(OffsetStore::read(self, group, queue))
    }

    fn write<'a>(
        &'a self,
        group: &'a Group,
        offsets: &'a [(MessageQueue, u64)],
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(OffsetStore::write(self, group, offsets))
    }
}
