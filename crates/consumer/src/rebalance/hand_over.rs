//! Queues that go to another member: their running listeners get a moment, what they settle is stored, then the queue is free.

use std::{sync::Arc, time::Duration};

use ferrocket_model::MessageQueue;
use tokio::{sync::oneshot, time::Instant};

use super::locks;
use super::until_idle;
use crate::{
    core::{Core, Order},
    queue::Queue,
};

/// How long running listeners may take. The next owner does not wait for us, and gets the message again if they take longer.
const WITHOUT_LOCK: Duration = Duration::from_millis(300);
/// The same where the next owner waits for the lock (CON-ORD-15).
const WITH_LOCK: Duration = Duration::from_secs(20);

/// In broadcasting, where an order is kept: nobody else takes the queue, and we may not before they have ended.
const ALONE: Duration = Duration::from_secs(u32::MAX as u64);

/// Begins the hand-over of these queues. It goes on in the background, so that a slow listener holds up nothing else.
pub(super) fn begin(core: &Arc<Core>, revoked: &[MessageQueue]) {
    let queues: Vec<_> = {
        let mut owned = core.queues.lock();
        revoked.iter().filter_map(|queue| owned.remove(queue)).collect()
    };
    if queues.is_empty() {
        return;
    }
    core.leaving.lock().extend(queues.iter().map(|queue| (queue.id().clone(), queue.clone())));
    for queue in &queues {
        queue.stop.cancel();
    }
    // Where an order is kept, a listener may take long: it holds up no other queue.
    let (busy, others): (Vec<_>, Vec<_>) =
        queues.into_iter().partition(|queue| core.options.order == Order::Kept && !queue.is_idle());
    let alone = busy.into_iter().map(|queue| vec![queue]);
    // Nor does a broker that is away hold up others (R12).
    for queues in alone.chain(core.by_place(others).into_values()) {
        core.spawn_to_its_end(Box::pin(finish(core.clone(), queues)));
    }
}

/// Drops what still runs under a lock: who gets it next begins at once, and nothing of ours may run then.
pub(crate) async fn fence(core: &Core, queues: &[Arc<Queue>]) {
    for queue in queues.iter().filter(|queue| queue.lease.is_some() && !queue.is_idle()) {
        queue.fence.cancel();
        until_idle(core, queue).await;
    }
}

async fn finish(core: Arc<Core>, queues: Vec<Arc<Queue>>) {
    let patience = match core.options.order {
        _ if core.needs_locks() => WITH_LOCK,
        Order::Kept => ALONE,
        _ => WITHOUT_LOCK,
    };
    let until = Instant::now() + patience;
    let ids: Vec<_> = queues.iter().map(|queue| queue.id().clone()).collect();
    if !core.needs_locks() {
        // The next owner does not wait for our listeners: what is settled by now need not come to it again.
        // It cannot be taken back, and goes on to its end.
        let (stored, is_stored) = oneshot::channel();
        let (storing, ids) = (core.clone(), ids.clone());
        core.spawn_to_its_end(Box::pin(async move {
            storing.progress.flush_queues(&ids, storing.stack.request_timeout).await;
            let _ = stored.send(());
        }));
        let _ = tokio::time::timeout_at(until, is_stored).await;
    }
    loop {
        let idle = core.idle.notified();
        if queues.iter().all(|queue| queue.is_idle()) || tokio::time::timeout_at(until, idle).await.is_err() {
            break;
        }
    }
    fence(&core, &queues).await;
    for queue in &queues {
        queue.source.revocation.revoke(); // from here on no late result counts
    }
    let timeout = core.stack.request_timeout;
    let turns = core.progress.turns(ids.iter().cloned(), timeout / 2).await;
    // Where a lock ended meanwhile, or without locks, somebody else may be further by now.
    let ours =
        if core.needs_locks() || core.options.is_broadcast { queues.clone() } else { untouched(&core, &queues).await };
    core.store_turns(&ours, turns, timeout).await;
    for queue in &queues {
        core.let_go(queue);
        core.progress.with(|table| table.end(queue.id()));
    }
    locks::release(&core, &queues, timeout).await;
    core.leaving.lock().retain(|queue, _| !ids.contains(queue));
    core.rebalance.notify_one();
}

/// The queues with something to store whose next owner has stored nothing yet: what is committed does not go back (R-I5).
async fn untouched(core: &Core, queues: &[Arc<Queue>]) -> Vec<Arc<Queue>> {
    let mut untouched = Vec::new();
    for queue in queues {
        let (changed, stored) = core.progress.with(|table| (table.changed_in(queue.id()), table.stored(queue.id())));
        // What a pull carried may be there, and its answer not here.
        let is_ours = |found: Option<u64>| found == stored || found.is_some() && found == queue.carried_last();
        if changed.is_some() && core.progress.read(queue.id()).await.is_ok_and(is_ours) {
            untouched.push(queue.clone());
        }
    }
    untouched
}
