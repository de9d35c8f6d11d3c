//! Locks of queues, where an order is kept: won before anything is handed out, kept while a queue is ours, given back after its
//! offset is stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ferrocket_backend::{BoxFuture, side_by_side};
use ferrocket_model::{BrokerName, MessageQueue};
use tokio::time::Instant;

use crate::{
    core::Core,
    queue::{Lease, Queue},
    rebalance,
};

/// Locks are asked for again this often; they hold three times as long (CON-ORD-04).
const KEEP_EVERY: Duration = Duration::from_secs(10);
/// A broker that did not answer is asked again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// Asks for locks, the brokers side by side. Gives back those that were won.
pub(super) async fn win(core: &Arc<Core>, queues: &[MessageQueue]) -> Vec<(MessageQueue, Lease)> {
    let asked = Instant::now();
    let calls = by_broker(queues.iter().cloned()).into_iter().map(|(broker, queues)| -> BoxFuture<'static, _> {
        let core = core.clone();
        Box::pin(async move {
            match core.backend.lock(&core.group, &broker, &queues).await {
                Ok(locked) => locked,
                Err(failure) => {
                    tracing::warn!(%failure, "queues could not be locked; they are asked for again");
                    core.look_elsewhere(failure.kind(), queues.first()).await;
                    Vec::new()
                }
            }
        })
    });
    let won = side_by_side(calls).await.into_iter().flatten();
    won.map(|queue| (queue, Lease::won(asked))).collect()
}

/// Gives locks back. Brokers that cannot be told end them by themselves: returns of how many queues.
pub(crate) async fn release(core: &Arc<Core>, queues: &[Arc<Queue>], timeout: Duration) -> usize {
    let now = Instant::now();
    // From here on nobody keeps them: a question behind this one would lock them again, for nobody.
    queues.iter().filter_map(|queue| queue.lease.as_ref()).for_each(|lease| lease.lost(now));
    let locked = queues.iter().filter(|queue| queue.lease.is_some()).map(|queue| queue.id().clone());
    unlock(core, locked, timeout).await
}

/// The same for queues that were not started.
pub(super) async fn unlock(
    core: &Arc<Core>,
    queues: impl IntoIterator<Item = MessageQueue>,
    timeout: Duration,
) -> usize {
    let calls = by_broker(queues).into_iter().map(|(broker, queues)| -> BoxFuture<'static, usize> {
        let core = core.clone();
        Box::pin(async move {
            let unlocked = core.backend.unlock(&core.group, &broker, &queues);
            match tokio::time::timeout(timeout, unlocked).await {
                Ok(Ok(())) => return 0,
                Ok(Err(failure)) => tracing::warn!(%failure, "queues stay locked until the broker ends that"),
                Err(_) => tracing::warn!(%broker, ?timeout, "queues stay locked until the broker ends that: no answer"),
            }
            queues.len()
        })
    });
    side_by_side(calls).await.into_iter().sum()
}

/// Brokers may have forgotten locks: nothing is handed out until they have confirmed them (CON-BUG-33).
pub(crate) fn doubt(core: &Core) {
    let now = Instant::now();
    for lease in core.locked().iter().filter_map(|queue| queue.lease.as_ref()) {
        lease.doubt(now);
    }
    core.doubt.notify_one();
}

/// Keeps the locks of what is owned. A queue whose lock is lost, or can no longer be proven, is given up at once: nothing of it is
/// handed out or stored any more. Goes on while the consumer ends, until nothing is left to keep: listeners may finish meanwhile.
pub(crate) async fn keep(core: Arc<Core>) {
    let mut next = Instant::now() + KEEP_EVERY;
    loop {
        if core.ending.is_cancelled() && core.locked().is_empty() {
            return;
        }
        let owned: Vec<_> = core.queues.lock().values().cloned().collect();
        let first_end = owned.iter().filter_map(|queue| Some(queue.lease.as_ref()?.until())).min();
        let until = first_end.map_or(next, |end| end.min(next));
        let is_in_doubt = tokio::time::timeout_at(until, core.doubt.notified()).await.is_ok();
        if is_in_doubt || Instant::now() >= next {
            let now = Instant::now();
            let mut locked = core.locked();
            locked.retain(|queue| queue.lease.as_ref().is_some_and(|lease| !lease.has_ended(now)));
            let all_answered = ask_again(&core, &locked).await;
            // Who ends hears no more of lost connections, with which brokers may have forgotten locks.
            next = Instant::now() + if all_answered && !core.ending.is_cancelled() { KEEP_EVERY } else { AGAIN };
        }
        let now = Instant::now();
        let lost: Vec<_> = {
            let owned = core.queues.lock();
            let is_lost = |queue: &&Arc<Queue>| queue.lease.as_ref().is_some_and(|lease| lease.has_ended(now));
            owned.values().filter(is_lost).cloned().collect()
        };
        if !lost.is_empty() {
            rebalance::lose(&core, &lost, now);
        }
    }
}

/// Returns whether all brokers answered.
async fn ask_again(core: &Arc<Core>, locked: &[Arc<Queue>]) -> bool {
    let asked = Instant::now();
    let brokers = by_broker(locked.iter().map(|queue| queue.id().clone()));
    let calls = brokers.into_iter().map(|(broker, queues)| -> BoxFuture<'static, bool> {
        let core = core.clone();
        Box::pin(async move {
            match core.backend.lock(&core.group, &broker, &queues).await {
                Ok(kept) => {
                    let now = Instant::now();
                    let (queues, kept) = (BTreeSet::from_iter(queues), BTreeSet::from_iter(kept));
                    for queue in core.locked().iter().filter(|queue| queues.contains(queue.id())) {
                        match &queue.lease {
                            Some(lease) if kept.contains(queue.id()) => lease.kept(asked, now),
                            Some(lease) if lease.asked() <= asked => lease.lost(now),
                            _ => {} // won meanwhile
                        }
                    }
                    true
                }
                Err(failure) => {
                    tracing::warn!(%failure, "locks could not be kept; they are asked for again");
                    core.look_elsewhere(failure.kind(), queues.first()).await;
                    false
                }
            }
        })
    });
    side_by_side(calls).await.into_iter().all(|answered| answered)
}

fn by_broker(queues: impl IntoIterator<Item = MessageQueue>) -> BTreeMap<BrokerName, Vec<MessageQueue>> {
    let mut brokers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for queue in queues {
        brokers.entry(queue.broker().clone()).or_default().push(queue);
    }
    brokers
}
