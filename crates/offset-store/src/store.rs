use std::sync::Arc;

use ferrocket_backend::BoxFuture;
use ferrocket_model::{BoxError, Group, MessageQueue};

/// Where a group's progress is kept. An offset is the next one to consume.
///
/// ```
/// use std::{collections::HashMap, sync::Mutex};
///
/// use ferrocket_model::{BoxError, Group, MessageQueue};
/// use ferrocket_offset_store::OffsetStore;
///
/// #[derive(Default)]
/// struct InMyDatabase {
///     offsets: Mutex<HashMap<MessageQueue, u64>>, // imagine a table
/// }
///
/// impl OffsetStore for InMyDatabase {
///     async fn read(&self, _: &Group, queue: &MessageQueue) -> Result<Option<u64>, BoxError> {
///         Ok(self.offsets.lock().unwrap().get(queue).copied())
///     }
///
///     async fn write(&self, _: &Group, offsets: &[(MessageQueue, u64)]) -> Result<(), BoxError> {
///         self.offsets.lock().unwrap().extend(offsets.iter().cloned());
///         Ok(())
///     }
/// }
/// ```
pub trait OffsetStore: Send + Sync + 'static {
    /// `Ok(None)` means "nothing stored"; a failed read is an `Err` and starts no pull.
    fn read(&self, group: &Group, queue: &MessageQueue) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send;

    /// Must be durable when it returns: all of it, or it fails. Called with only what changed; an offset may go back, when it was reset.
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
