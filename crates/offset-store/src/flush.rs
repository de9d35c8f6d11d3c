use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

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

    /// The turn to write one queue, as by a pull that carries its offset. `None`: a write is under way.
    pub fn turn(&self, queue: &MessageQueue) -> Option<Turn> {
        self.turns.take(queue)
    }

    /// The turns to write these queues, for who writes them last. Waits for writes under way, but no longer than `limit`: what has had no
    /// answer by then is more likely lost than late. Nobody may begin new ones, or this waits for those, too.
    pub async fn turns(&self, queues: impl IntoIterator<Item = MessageQueue>, limit: Duration) -> Vec<Turn> {
        let until = Instant::now() + limit;
        // Everybody in the same order, so that no two wait for each other.
        let queues: BTreeSet<_> = queues.into_iter().collect();
        let mut turns = Vec::with_capacity(queues.len());
        for queue in &queues {
            turns.push(self.turns.wait(queue, until).await);
        }
        turns
    }

    /// Writes what changed, brokers side by side: one that is away holds up nobody else (R12). Gives back the queues that could
    /// not be written; they stay changed. What is being written already is left out.
    pub async fn flush(&self, timeout: Duration) -> Vec<MessageQueue> {
        let changed = self.with(|table| table.changed());
        let turns = changed.iter().filter_map(|(queue, _)| self.turn(queue)).collect();
        self.flush_turns(turns, timeout).await
    }

    /// The same for these queues.
    pub async fn flush_queues(&self, queues: &[MessageQueue], timeout: Duration) -> Vec<MessageQueue> {
        let has_changed = |queue: &&MessageQueue| self.with(|table| table.changed_in(queue)).is_some();
        let turns = queues.iter().filter(has_changed).filter_map(|queue| self.turn(queue)).collect();
        self.flush_turns(turns, timeout).await
    }

    /// Writes what changed in queues whose turn one has.
    pub async fn flush_turns(&self, mut turns: Vec<Turn>, timeout: Duration) -> Vec<MessageQueue> {
        let deadline = Instant::now() + timeout;
        turns.retain(|turn| self.with(|table| table.changed_in(turn.queue())).is_some());
        if self.is_one_place {
            return self.write_at_once(turns, deadline).await;
        }
        let mut brokers: BTreeMap<BrokerName, Vec<Turn>> = BTreeMap::new();
        for turn in turns {
            brokers.entry(turn.queue().broker().clone()).or_default().push(turn);
        }
        let writes = brokers.into_values().map(|turns| -> BoxFuture<'static, Vec<MessageQueue>> {
            let this = self.clone();
            Box::pin(async move { this.write_broker(turns, deadline).await })
        });
        side_by_side(writes).await.into_iter().flatten().collect()
    }

    /// The first one by itself, so that a broker that is away is asked once; the others side by side, so that what each answer takes
    /// does not add up.
    async fn write_broker(&self, turns: Vec<Turn>, deadline: Instant) -> Vec<MessageQueue> {
        let (mut failed, mut first_error) = (Vec::new(), None);
        let mut waiting = turns.into_iter();
        let mut at_once = 1;
        while !waiting.as_slice().is_empty() {
            let writes = waiting.by_ref().take(at_once).map(|turn| -> BoxFuture<'static, _> {
                let this = self.clone();
                Box::pin(async move {
                    let queue = turn.queue();
                    // As it is when it comes to it: it may have been handed over while others were written.
                    let offset = this.with(|table| table.changed_in(queue))?;
                    let written = this.store_until(deadline, &[(queue.clone(), offset)]).await;
                    written.err().map(|error| (queue.clone(), error))
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

    async fn write_at_once(&self, turns: Vec<Turn>, deadline: Instant) -> Vec<MessageQueue> {
        let changed = |turn: &Turn| Some((turn.queue().clone(), self.with(|table| table.changed_in(turn.queue()))?));
        let offsets: Vec<_> = turns.iter().filter_map(changed).collect();
        if offsets.is_empty() {
            return Vec::new();
        }
        let Err(error) = self.store_until(deadline, &offsets).await else { return Vec::new() };
        let failed: Vec<_> = offsets.into_iter().map(|(queue, _)| queue).collect();
        self.warn(Some(error), &failed);
        failed
    }

    /// One call to the store; what it has written is no longer ahead of it.
    async fn store_until(&self, deadline: Instant, offsets: &[(MessageQueue, u64)]) -> Result<(), String> {
        if Instant::now() >= deadline {
            // Not even begun: nobody waits for its end.
            return Err("there was no time left".to_owned());
        }
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
