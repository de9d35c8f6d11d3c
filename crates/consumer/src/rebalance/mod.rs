//! Who owns which queue: a pure difference, and the one task that applies it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ferrocket_backend::{EventStream, Subscription};
use ferrocket_model::{MessageQueue, Revocation, Source};
use tokio::time::Instant;

use crate::{
    Allocation,
    core::Core,
    queue::{Queue, begin, puller},
};

/// The net, should a notice be lost.
const INTERVAL: Duration = Duration::from_secs(20);
/// After a round in which something failed.
const RETRY: Duration = Duration::from_millis(500);
/// A retry topic that has no route by then is looked for at every interval only.
const RETRY_TOPIC_WITHIN: Duration = Duration::from_secs(10);
/// How long a queue's running handlers may take before it is handed over without their results.
const HAND_OVER: Duration = Duration::from_millis(300);

/// What changes: queues to give up, and queues to take over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) revoked: Vec<MessageQueue>,
    pub(crate) assigned: Vec<MessageQueue>,
}

/// From what is owned to what should be. Sans-IO.
pub(crate) fn difference<'a>(
    owned: impl IntoIterator<Item = &'a MessageQueue>,
    wanted: impl IntoIterator<Item = MessageQueue>,
) -> Difference {
    let owned: BTreeSet<_> = owned.into_iter().cloned().collect();
    let wanted: BTreeSet<_> = wanted.into_iter().collect();
    Difference {
        revoked: owned.difference(&wanted).cloned().collect(),
        assigned: wanted.difference(&owned).cloned().collect(),
    }
}

/// Forwards the notices of servers.
pub(crate) async fn forward(core: Arc<Core>, mut events: EventStream) {
    while std::future::poll_fn(|cx| events.as_mut().poll_next(cx)).await.is_some() {
        core.rebalance.notify_one();
    }
}

/// Asks for a rebalance whenever the route of a topic changes.
pub(crate) async fn watch(core: Arc<Core>, subscription: Subscription) {
    let mut route = core.stack.routes.watch(&subscription.topic);
    while route.changed().await.is_some() {
        core.rebalance.notify_one();
    }
}

/// One round after the other: at once when somebody asks, and at every interval.
pub(crate) async fn run(core: Arc<Core>) {
    let began = Instant::now();
    loop {
        let complete = round(&core, began.elapsed() > RETRY_TOPIC_WITHIN).await;
        let until = Instant::now() + if complete { INTERVAL } else { RETRY };
        let _ = tokio::time::timeout_at(until, core.rebalance.notified()).await;
    }
}

/// Returns whether everything could be done.
async fn round(core: &Arc<Core>, settled_in: bool) -> bool {
    let mut complete = true;
    for subscription in &core.subscriptions {
        complete &= topic(core, subscription, settled_in).await;
    }
    complete
}

async fn topic(core: &Arc<Core>, subscription: &Subscription, settled_in: bool) -> bool {
    let topic = &subscription.topic;
    let timeout = core.stack.request_timeout;
    let route = match core.stack.routes.route(topic, None, timeout).await {
        Ok(route) if route.is_template => return false, // it does not exist yet
        Ok(route) => route,
        // The retry topic comes into being with the first heartbeat, a moment later, and others when somebody creates them.
        Err(failure) => {
            tracing::debug!(%topic, %failure, "no route yet");
            return topic.is_retry() && settled_in;
        }
    };
    let members = match core.stack.backend.members(&core.group, topic).await {
        Ok(members) => members,
        Err(failure) => {
            // We are a member, so there is one: the broker does not know us, or cannot be asked. Nothing changes.
            tracing::debug!(%topic, %failure, "the members of the group are not known");
            core.stack.backend.announce().await;
            return false;
        }
    };
    let client_id = core.stack.backend.client_id();
    if !members.iter().any(|member| member == client_id) {
        core.stack.backend.announce().await;
        return false;
    }
    let allocation = Allocation::new(&core.group, topic, client_id, &route.subscribe, &members);
    let strategy = core.strategy.clone();
    let wanted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| strategy.allocate(&allocation)));
    let Ok(wanted) = wanted else {
        tracing::error!(%topic, strategy = core.strategy.name(), "the allocation strategy panicked; nothing changes");
        return false;
    };
    let change = {
        let owned = core.queues.lock();
        difference(owned.keys().filter(|queue| queue.topic() == topic), wanted)
    };
    if change == Difference::default() {
        return true;
    }
    tracing::info!(group = %core.group, %topic, members = members.len(), assigned = ?change.assigned, revoked = ?change.revoked, "rebalanced");
    give_up(core, &change.revoked).await;
    let mut complete = true;
    for queue in change.assigned {
        complete &= take_over(core, subscription, queue).await;
    }
    complete
}

/// Stops the queues, gives running handlers a moment, commits, and lets go.
async fn give_up(core: &Arc<Core>, revoked: &[MessageQueue]) {
    if revoked.is_empty() {
        return;
    }
    let queues: Vec<_> = {
        let mut owned = core.queues.lock();
        revoked.iter().filter_map(|queue| owned.remove(queue)).collect()
    };
    for queue in &queues {
        queue.stop.cancel();
    }
    let until = Instant::now() + HAND_OVER;
    loop {
        let idle = core.idle.notified();
        if queues.iter().all(|queue| queue.is_idle()) || tokio::time::timeout_at(until, idle).await.is_err() {
            break;
        }
    }
    for queue in &queues {
        queue.source.revocation.revoke(); // from here on no late result counts
    }
    core.progress.flush_queues(revoked, core.stack.request_timeout).await;
    for queue in &queues {
        core.let_go(queue);
        core.progress.with(|table| table.end(queue.id()));
    }
}

/// Finds where the queue begins, and starts its pull loop. When the offset cannot be read nothing starts.
async fn take_over(core: &Arc<Core>, subscription: &Subscription, queue: MessageQueue) -> bool {
    let (offset, stored) = match begin::position(core, &queue).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%queue, %error, "where to begin is not known; the queue is not started yet");
            return false;
        }
    };
    core.progress.with(|table| {
        if stored { table.start(queue.clone(), offset) } else { table.start_unstored(queue.clone(), offset) }
    });
    let source = Arc::new(Source { queue: queue.clone(), revocation: Revocation::new() });
    let owned = Queue::new(source, subscription.clone(), offset, core.ending.child_token());
    core.queues.lock().insert(queue, owned.clone());
    core.spawn_to_its_end(Box::pin(puller::run(core.clone(), owned, offset)));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(ids: &[u32]) -> Vec<MessageQueue> {
        ids.iter().map(|id| MessageQueue::new("T", "b", *id)).collect()
    }

    #[test]
    fn only_what_changes_is_touched() {
        let change = difference(&queues(&[0, 1, 2]), queues(&[2, 3, 3]));
        assert_eq!(change, Difference { revoked: queues(&[0, 1]), assigned: queues(&[3]) });
        assert_eq!(difference(&queues(&[1]), queues(&[1])), Difference::default());
    }
}
