use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, side_by_side};
use ferrocket_model::{BoxError, BrokerName, Group, MessageQueue};
use parking_lot::Mutex;

use crate::{DynOffsetStore, OffsetTable};

/// The progress of one consumer: its table, and the store behind it.
#[derive(Clone)]
pub struct Progress {
    group: Group,
    store: Arc<dyn DynOffsetStore>,
    table: Arc<Mutex<OffsetTable>>,
}

impl Progress {
    /// An empty table in front of a store.
    pub fn new(group: Group, store: Arc<dyn DynOffsetStore>) -> Self {
        Self { group, store, table: Arc::default() }
    }

    /// What the store has for a queue. A failed read is an error and starts nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot say.
    pub async fn read(&self, queue: &MessageQueue) -> Result<Option<u64>, BoxError> {
        self.store.read(&self.group, queue).await
    }

    /// Looks at or changes the table. Short synchronous work only.
    pub fn with<T>(&self, work: impl FnOnce(&mut OffsetTable) -> T) -> T {
        work(&mut self.table.lock())
    }

    /// Writes what changed, the brokers side by side: one that is away holds up nobody else (R12). Gives back the queues that could
    /// not be written; they stay changed.
    pub async fn flush(&self, timeout: Duration) -> Vec<MessageQueue> {
        let changed = self.with(|table| table.changed());
        self.write(changed, timeout).await
    }

    /// Writes what changed in these queues.
    pub async fn flush_queues(&self, queues: &[MessageQueue], timeout: Duration) -> Vec<MessageQueue> {
        let changed = self
            .with(|table| queues.iter().filter_map(|queue| Some((queue.clone(), table.changed_in(queue)?))).collect());
        self.write(changed, timeout).await
    }

    async fn write(&self, changed: Vec<(MessageQueue, u64)>, timeout: Duration) -> Vec<MessageQueue> {
        let mut brokers: BTreeMap<BrokerName, Vec<(MessageQueue, u64)>> = BTreeMap::new();
        for (queue, offset) in changed {
            brokers.entry(queue.broker().clone()).or_default().push((queue, offset));
        }
        let writes = brokers.into_values().map(|offsets| -> BoxFuture<'static, Vec<MessageQueue>> {
            let this = self.clone();
            Box::pin(async move { this.write_broker(offsets, timeout).await })
        });
        side_by_side(writes).await.into_iter().flatten().collect()
    }

    async fn write_broker(&self, offsets: Vec<(MessageQueue, u64)>, timeout: Duration) -> Vec<MessageQueue> {
        let mut failed = Vec::new();
        let mut first_error = None;
        let deadline = tokio::time::Instant::now() + timeout;
        for (queue, offset) in offsets {
            let one = [(queue.clone(), offset)];
            let error = match tokio::time::timeout_at(deadline, self.store.write(&self.group, &one)).await {
                Ok(Ok(())) => {
                    self.with(|table| table.written(&queue, offset));
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {timeout:?}"),
            };
            first_error.get_or_insert(error);
            failed.push(queue);
        }
        // One line, however many queues the broker has: they mostly fail for one reason.
        if let (Some(error), Some(queue)) = (first_error, failed.first()) {
            let (group, queues) = (&self.group, failed.len());
            tracing::warn!(%group, %queue, queues, error, "offsets could not be stored; they are tried again");
        }
        failed
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("group", &self.group).finish_non_exhaustive()
    }
}
