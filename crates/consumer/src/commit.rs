//! What is settled is stored: at every interval, and last of all when queues are given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ferrocket_backend::{BoxFuture, side_by_side};
use ferrocket_model::{BrokerName, MessageQueue};
use ferrocket_offset_store::Turn;
use tokio::time::{Instant, sleep};

use crate::{
    core::Core,
    queue::Queue,
    rebalance::{hand_over, locks, standstill},
};

/// Stores what changed, at every interval and once more at the end.
pub(crate) async fn regularly(core: Arc<Core>) {
    let mut writes = Writes::default();
    loop {
        let pause = core.ending.run_until_cancelled(sleep(core.options.commit_interval));
        if writes.go_on_during(pause).await.is_some() {
            standstill::check(&core);
            writes.begin(&core);
            continue;
        }
        if core.shutdown.has_begun() {
            return writes.finish().await; // the shutdown commits
        }
        // The last handle was dropped: handlers run on, and what they settle is stored.
        writes.go_on_during(core.until_idle(Instant::now() + core.options.shutdown_timeout)).await;
        hand_over::fence(&core, &core.locked()).await;
        standstill::check(&core);
        writes.finish().await;
        let queues: Vec<_> = core.queues.lock().values().cloned().collect();
        core.store_last(&queues, core.stack.request_timeout).await;
        let queues: Vec<_> = core.queues.lock().values().filter(|queue| queue.is_idle()).cloned().collect();
        core.queues.lock().clear();
        core.doubt.notify_one(); // there is nothing to keep any more
        locks::release(&core, &queues, core.stack.request_timeout).await;
        // The others need not wait until brokers notice.
        return core.backend.withdraw(&core.group, core.stack.request_timeout).await;
    }
}

impl Core {
    /// Queues by where their progress is written: by broker, or all together where there is one place for all.
    pub(crate) fn by_place(
        &self,
        queues: impl IntoIterator<Item = Arc<Queue>>,
    ) -> BTreeMap<Option<BrokerName>, Vec<Arc<Queue>>> {
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for queue in queues {
            let place = (!self.progress.is_in_one_place()).then(|| queue.id().broker().clone());
            places.entry(place).or_default().push(queue);
        }
        places
    }

    /// Stores what changed in queues, but of none that somebody else may have by now, who is further; nor where a write is under way.
    pub(crate) async fn store(&self, queues: &[Arc<Queue>], timeout: Duration) {
        let safe: Vec<_> = queues.iter().filter(|queue| queue.is_safe()).map(|queue| queue.id().clone()).collect();
        self.progress.flush_queues(&safe, timeout).await;
    }

    /// The same for queues that are not pulled any more, behind the writes under way, so that none of them lands later. Brokers side
    /// by side (R12). Gives back the queues that could not be written.
    pub(crate) async fn store_last(self: &Arc<Self>, queues: &[Arc<Queue>], timeout: Duration) -> Vec<MessageQueue> {
        let places = self.by_place(queues.iter().cloned());
        let writes = places.into_values().map(|queues| -> BoxFuture<'static, Vec<MessageQueue>> {
            let core = self.clone();
            Box::pin(async move {
                let until = Instant::now() + timeout;
                let turns = core.progress.turns(queues.iter().map(|queue| queue.id().clone()), timeout / 2).await;
                let left = until.saturating_duration_since(Instant::now());
                core.store_turns(&queues, turns, left).await
            })
        });
        side_by_side(writes).await.into_iter().flatten().collect()
    }

    /// Stores what changed in those of the queues whose turns these are, but of none that somebody else may have by now.
    pub(crate) async fn store_turns(
        &self,
        queues: &[Arc<Queue>],
        mut turns: Vec<Turn>,
        timeout: Duration,
    ) -> Vec<MessageQueue> {
        let safe: BTreeSet<_> = queues.iter().filter(|queue| queue.is_safe()).map(|queue| queue.id()).collect();
        turns.retain(|turn| safe.contains(turn.queue()));
        self.progress.flush_turns(turns, timeout).await
    }
}

/// The writes under way. There is one per broker at most, so that none overtakes another; a broker that says nothing holds up its own
/// queues only (R12). A store that is one place for all queues is written to as if it were one broker.
#[derive(Default)]
struct Writes(BTreeMap<Option<BrokerName>, BoxFuture<'static, ()>>);

impl Writes {
    /// Begins to store what changed, wherever the write before is over. What is leaving is stored by its hand-over, which knows how
    /// far others may be.
    fn begin(&mut self, core: &Arc<Core>) {
        let queues: Vec<_> = core.queues.lock().values().cloned().collect();
        for (place, queues) in core.by_place(queues) {
            self.0.entry(place).or_insert_with(|| {
                let core = core.clone();
                Box::pin(async move { core.store(&queues, core.stack.request_timeout).await })
            });
        }
    }

    /// Does something else, and goes on with the writes meanwhile.
    async fn go_on_during<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|cx| {
            let _ = self.poll(cx);
            other.as_mut().poll(cx)
        })
        .await
    }

    /// Waits for all of them, each of which has its own time.
    async fn finish(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.retain(|_, write| Pin::new(write).poll(cx).is_pending());
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}
