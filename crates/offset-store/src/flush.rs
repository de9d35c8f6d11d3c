use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, side_by_side};
use ferrocket_model::{BoxError, BrokerName, Group, MessageQueue};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{DynOffsetStore, OffsetTable, Turn, turn::Turns};

/// How many offsets a broker is given at once.
const WRITTEN_AT_ONCE: usize = 256;

/// The progress of one consumer: its table, and the store behind it.
#[derive(Clone)]
pub struct Progress {
    group: Group,
    store: Arc<dyn DynOffsetStore>,
    table: Arc<Mutex<OffsetTable>>,
    turns: Arc<Turns>,
    is_one_place: bool,
}

impl Progress {
    /// An empty table in front of the brokers: each queue is written by itself, so that one that cannot be is known, and holds up
    /// no other.
    pub fn new(group: Group, store: Arc<dyn DynOffsetStore>) -> Self {
        Self { group, store, table: Arc::default(), turns: Arc::default(), is_one_place: false }
    }

    /// An empty table in front of a store that is one place for all queues, such as a file or a database: what changed goes there
    /// in one call, which works or fails for all of them.
    pub fn in_one_place(group: Group, store: Arc<dyn DynOffsetStore>) -> Self {
        Self { is_one_place: true, ..Self::new(group, store) }
    }

    /// Whether one call stores all queues.
    pub fn is_in_one_place(&self) -> bool {
        self.is_one_place
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

    /// The turn to write a queue in another way than by [`flush`](Self::flush), which waits meanwhile. `None`: a write is under way.
    pub fn turn(&self, queue: &MessageQueue) -> Option<Turn> {
        self.turns.take(queue)
    }

    /// Whether a write of a queue is under way.
    pub fn is_being_written(&self, queue: &MessageQueue) -> bool {
        self.turns.is_taken(queue)
    }

    /// Writes what changed, brokers side by side: one that is away holds up nobody else (R12). Gives back the queues that could
    /// not be written; they stay changed.
    pub async fn flush(&self, timeout: Duration) -> Vec<MessageQueue> {
        let changed = self.with(|table| table.changed());
        self.write(changed.into_iter().map(|(queue, _)| queue).collect(), timeout).await
    }

    /// Writes what changed in these queues.
    pub async fn flush_queues(&self, queues: &[MessageQueue], timeout: Duration) -> Vec<MessageQueue> {
        let has_changed = |queue: &&MessageQueue| self.with(|table| table.changed_in(queue)).is_some();
        self.write(queues.iter().filter(has_changed).cloned().collect(), timeout).await
    }

    async fn write(&self, changed: Vec<MessageQueue>, timeout: Duration) -> Vec<MessageQueue> {
        if self.is_one_place {
            return if changed.is_empty() { Vec::new() } else { self.write_at_once(changed, timeout).await };
        }
        let mut brokers: BTreeMap<BrokerName, Vec<MessageQueue>> = BTreeMap::new();
        for queue in changed {
            brokers.entry(queue.broker().clone()).or_default().push(queue);
        }
        let writes = brokers.into_values().map(|queues| -> BoxFuture<'static, Vec<MessageQueue>> {
            let this = self.clone();
            Box::pin(async move { this.write_broker(queues, timeout).await })
        });
        side_by_side(writes).await.into_iter().flatten().collect()
    }

    /// The first one by itself, so that a broker that is away is asked once; the others side by side, so that what each answer takes
    /// does not add up. Those that wait for a write under way come last.
    async fn write_broker(&self, mut queues: Vec<MessageQueue>, timeout: Duration) -> Vec<MessageQueue> {
        let (mut failed, mut first_error) = (Vec::new(), None);
        let deadline = Instant::now() + timeout;
        queues.sort_by_cached_key(|queue| self.is_being_written(queue));
        let mut waiting = queues.into_iter();
        let mut at_once = 1;
        while !waiting.as_slice().is_empty() {
            let writes = waiting.by_ref().take(at_once).map(|queue| -> BoxFuture<'static, _> {
                let this = self.clone();
                Box::pin(async move {
                    let Some(_turn) = this.turns.wait(&queue, deadline).await else {
                        return Some((queue, "the write before had no answer in time".to_owned()));
                    };
                    // As it is now: it may have been stored and handed over while others were written.
                    let offset = this.with(|table| table.changed_in(&queue))?;
                    let written = this.store_until(deadline, &[(queue.clone(), offset)]).await;
                    written.err().map(|error| (queue, error))
                })
            });
            for (queue, error) in side_by_side(writes).await.into_iter().flatten() {
                first_error.get_or_insert(error);
                failed.push(queue);
            }
            at_once = WRITTEN_AT_ONCE;
        }
        self.warn(first_error, &failed);
        failed
    }

    async fn write_at_once(&self, mut queues: Vec<MessageQueue>, timeout: Duration) -> Vec<MessageQueue> {
        let deadline = Instant::now() + timeout;
        // Everybody in the same order, so that no two wait for each other.
        queues.sort_unstable();
        let mut turns = Vec::with_capacity(queues.len());
        for queue in &queues {
            match self.turns.wait(queue, deadline).await {
                Some(turn) => turns.push(turn),
                None => {
                    self.warn(Some("the write before had no answer in time".to_owned()), &queues);
                    return queues;
                }
            }
        }
        let changed = |queue: &MessageQueue| Some((queue.clone(), self.with(|table| table.changed_in(queue))?));
        let offsets: Vec<_> = queues.iter().filter_map(changed).collect();
        if offsets.is_empty() {
            return Vec::new();
        }
        let Err(error) = self.store_until(deadline, &offsets).await else { return Vec::new() };
        self.warn(Some(error), &queues);
        queues
    }

    /// One call to the store; what it has written is no longer ahead of it.
    async fn store_until(&self, deadline: Instant, offsets: &[(MessageQueue, u64)]) -> Result<(), String> {
        match tokio::time::timeout_at(deadline, self.store.write(&self.group, offsets)).await {
            Ok(Ok(())) => {
                self.with(|table| offsets.iter().for_each(|(queue, offset)| table.written(queue, *offset)));
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    fn warn(&self, first_error: Option<String>, failed: &[MessageQueue]) {
        // One line, however many queues the broker has: they mostly fail for one reason.
        if let (Some(error), Some(queue)) = (first_error, failed.first()) {
            let (group, queues) = (&self.group, failed.len());
            tracing::warn!(%group, %queue, queues, error, "offsets could not be stored; they are tried again");
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("group", &self.group).finish_non_exhaustive()
    }
}
