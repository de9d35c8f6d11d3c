//! Who owns which queue: a pure difference, and the one task that applies it.

pub(crate) mod agreement;
mod difference;
pub(crate) mod hand_over;
pub(crate) mod locks;
pub(crate) mod standstill;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferrocket_backend::{BoxFuture, side_by_side};
use ferrocket_model::{Error, ErrorKind, MessageQueue, Revocation, Route, Source, Topic};
use tokio::time::Instant;

use crate::{
    Allocation, AssignmentChange, QueueState,
    core::{Core, Order},
    queue::{Lease, Queue, begin, puller},
};
use difference::difference;

/// The net, should a notice be lost.
const INTERVAL: Duration = Duration::from_secs(20);
/// After a round in which something failed: soon, because a queue changes hands within milliseconds, and then ever later.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(25)..=Duration::from_millis(500);
/// That pause is made up to here whoever asks: what fails may itself make brokers ask, as a connection does that is lost each time.
const UNASKED: Duration = Duration::from_millis(100);
/// How many first offsets a broker is asked for at once.
const ASKED_AT_ONCE: usize = 1024;
/// A retry topic that has no route by then is looked for at every interval only.
const RETRY_TOPIC_WITHIN: Duration = Duration::from_secs(10);

/// Asks for a rebalance whenever the route of a topic changes, as long as the topic is wanted.
pub(crate) async fn watch(core: Arc<Core>, topic: Topic) {
    let mut route = core.stack.routes.watch(&topic);
    while route.changed().await.is_some() && core.subscriptions.of(&topic).is_some() {
        core.rebalance.notify_one();
    }
}

/// One round after the other: at once when somebody asks, and at every interval. In between come the topics that something failed
/// for: one that does not exist costs a look-up now and then, and no questions about the others.
pub(crate) async fn run(core: Arc<Core>) {
    let began = Instant::now();
    let mut pause = *RETRY.start();
    let mut all_until = began + INTERVAL;
    let mut topics = core.subscriptions.topics();
    loop {
        let open = round(&core, topics, began.elapsed() > RETRY_TOPIC_WITHIN).await;
        let until = if open.is_empty() { all_until } else { all_until.min(Instant::now() + pause) };
        if !open.is_empty() {
            tokio::time::sleep(pause.min(UNASKED)).await;
        }
        let wait = tokio::time::timeout_at(until, core.rebalance.notified());
        let Some(asked) = core.ending.run_until_cancelled(wait).await else { return };
        pause = if open.is_empty() { *RETRY.start() } else { (pause * 2).min(*RETRY.end()) };
        topics = if asked.is_ok() || until == all_until {
            all_until = Instant::now() + INTERVAL;
            core.subscriptions.topics()
        } else {
            open
        };
    }
}

/// Gives queues up whose locks are gone: what is in listeners is dropped, nothing is stored, and they are asked for anew.
pub(crate) fn lose(core: &Arc<Core>, lost: &[Arc<Queue>], now: Instant) {
    for queue in lost {
        tracing::error!(group = %core.group, queue = %queue.id(), "the lock of a queue is lost; it is given up");
        core.queues.lock().remove(queue.id());
        core.missing.lock().insert(queue.id().clone(), QueueState::LockLost { since: now });
    }
    forget(core, lost);
    tell_lost(core, lost);
}

/// Ends what is known of queues that are not owned any more. Nothing is stored.
fn forget(core: &Core, lost: &[Arc<Queue>]) {
    for queue in lost {
        core.let_go(queue);
        core.progress.with(|table| table.end(queue.id()));
    }
}

/// Tells of queues that are not owned any more, and asks for a rebalance.
fn tell_lost(core: &Core, lost: &[Arc<Queue>]) {
    let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for queue in lost {
        topics.entry(queue.id().topic().clone()).or_default().push(queue.id().clone());
    }
    for (topic, revoked) in topics {
        tell(core, AssignmentChange { topic, assigned: Vec::new(), revoked });
    }
    core.rebalance.notify_one();
}

/// Returns the topics for which something could not be done.
async fn round(core: &Arc<Core>, mut topics: Vec<Topic>, settled_in: bool) -> Vec<Topic> {
    let wanted = core.subscriptions.topics();
    topics.retain(|topic| wanted.contains(topic));
    let mut open = Vec::new();
    for topic in topics {
        if !rebalance_topic(core, &topic, settled_in).await {
            open.push(topic);
        }
    }
    let unwanted: BTreeSet<_> =
        core.queues.lock().keys().map(MessageQueue::topic).filter(|topic| !wanted.contains(topic)).cloned().collect();
    for topic in unwanted {
        apply(core, &topic, Vec::new()).await;
    }
    open
}

async fn rebalance_topic(core: &Arc<Core>, topic: &Topic, settled_in: bool) -> bool {
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
    match share(core, topic, &route).await {
        Some(wanted) => apply(core, topic, wanted).await,
        None => false,
    }
}

/// The queues that should be ours. `None` when that is not known: then nothing changes (CON-REB-07).
async fn share(core: &Core, topic: &Topic, route: &Route) -> Option<Vec<MessageQueue>> {
    if core.options.is_broadcast {
        return Some(route.subscribe.clone());
    }
    let members = members(core, topic).await?;
    let client_id = core.stack.backend.client_id();
    let ourselves = members.iter().filter(|member| *member == client_id).count();
    let found = (ourselves > 1).then(|| {
        format!(
            "the group has {ourselves} members with the client id {client_id}: they take the same queues, and nobody takes the others; \
             give each client an `instance_name` of its own"
        )
    });
    // For a moment after a reconnect that is so, too.
    let known = core.warn("client id", found.iter().cloned().collect());
    if let Some(text) = found.filter(|text| !known.contains(text)) {
        tracing::error!(group = %core.group, "{text}");
    }
    let allocation = Allocation::new(&core.group, topic, client_id, &route.subscribe, &members);
    let strategy = core.strategy.clone();
    let wanted = catch_unwind(AssertUnwindSafe(|| strategy.allocate(&allocation)));
    if wanted.is_err() {
        tracing::error!(%topic, strategy = core.strategy.name(), "the allocation strategy panicked; nothing changes");
    }
    // Asking it again at once would not help: what is owned stays, and the round is complete.
    let as_it_is = || core.queues.lock().keys().filter(|queue| queue.topic() == topic).cloned().collect();
    // A queue of another topic, or none at all, is nothing that we could consume.
    let is_there = |queue: &MessageQueue| route.subscribe.binary_search(queue).is_ok();
    Some(wanted.unwrap_or_else(|_| as_it_is()).into_iter().filter(is_there).collect())
}

/// Who is in the group, with us among them. A broker that does not know us, as one that has just started, is told who we are and asked
/// once more.
async fn members(core: &Core, topic: &Topic) -> Option<Vec<String>> {
    let client_id = core.stack.backend.client_id();
    for _ in 0..2 {
        let is_there = match core.backend.members(&core.group, topic).await {
            Ok(members) => {
                core.members.store(members.len(), Ordering::Release);
                if members.iter().any(|member| member == client_id) {
                    return Some(members);
                }
                true
            }
            Err(failure) => {
                tracing::debug!(%topic, %failure, "the members of the group are not known");
                !matches!(failure.kind(), ErrorKind::BrokerUnreachable | ErrorKind::Timeout)
            }
        };
        core.stack.backend.announce().await;
        if !is_there {
            break;
        }
    }
    None
}

/// Gives up and takes over until what is owned of a topic is what is wanted. Returns whether it is.
async fn apply(core: &Arc<Core>, topic: &Topic, wanted: Vec<MessageQueue>) -> bool {
    core.missing.lock().retain(|queue, _| queue.topic() != topic || wanted.contains(queue));
    let change = {
        let owned: BTreeSet<_> = core.queues.lock().keys().filter(|queue| queue.topic() == topic).cloned().collect();
        let leaving = core.leaving.lock().keys().cloned().collect();
        difference(&owned, &leaving, wanted)
    };
    if change.assigned.is_empty() && change.revoked.is_empty() {
        return !change.later;
    }
    let asked = change.assigned.len();
    hand_over::begin(core, &change.revoked);
    let assigned = take_over(core, change.assigned).await;
    let complete = assigned.len() == asked && !change.later;
    if !assigned.is_empty() || !change.revoked.is_empty() {
        tracing::info!(group = %core.group, %topic, ?assigned, revoked = ?change.revoked, "rebalanced");
        tell(core, AssignmentChange { topic: topic.clone(), assigned, revoked: change.revoked });
    }
    complete
}

/// Takes queues over. Gives back those that could be: the others are said to be missing, with the reason.
async fn take_over(core: &Arc<Core>, queues: Vec<MessageQueue>) -> Vec<MessageQueue> {
    let won: Vec<(MessageQueue, Option<Lease>)> = if core.needs_locks() {
        let won = locks::win(core, &queues).await;
        let locked: BTreeSet<_> = won.iter().map(|(queue, _)| queue).collect();
        for queue in queues.iter().filter(|queue| !locked.contains(queue)) {
            miss(core, queue, |since| QueueState::LockLost { since });
        }
        won.into_iter().map(|(queue, lease)| (queue, Some(lease))).collect()
    } else {
        queues.into_iter().map(|queue| (queue, None)).collect()
    };
    let mut brokers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (queue, lease) in won {
        brokers.entry(queue.broker().clone()).or_default().push((queue, lease));
    }
    // The brokers side by side: one that is away holds up nobody else (R12).
    let starting = brokers.into_values().map(|queues| -> BoxFuture<'static, Vec<MessageQueue>> {
        let core = core.clone();
        Box::pin(async move { start_all(&core, queues).await })
    });
    side_by_side(starting).await.into_iter().flatten().collect()
}

/// Starts queues of one broker. When a first offset cannot be read, those behind it are left for the next round. The first one is
/// alone, so that a broker that is away is asked once. The others are asked for side by side: an answer comes behind those to the
/// pulls of all that were started before, and one question at a time would take longer with each queue.
async fn start_all(core: &Arc<Core>, queues: Vec<(MessageQueue, Option<Lease>)>) -> Vec<MessageQueue> {
    let locked: Vec<_> = queues.iter().filter(|(_, lease)| lease.is_some()).map(|(queue, _)| queue.clone()).collect();
    let mut started = Vec::with_capacity(queues.len());
    let mut waiting = queues.into_iter();
    let mut at_once = 1;
    while !waiting.as_slice().is_empty() {
        let asked = at_once.min(waiting.len());
        let starting = waiting.by_ref().take(asked).map(|(queue, lease)| -> BoxFuture<'static, Option<MessageQueue>> {
            let core = core.clone();
            Box::pin(async move {
                let has_started = start(&core, queue.clone(), lease).await;
                if !has_started {
                    miss(&core, &queue, |since| QueueState::OffsetUnknown { since });
                }
                has_started.then_some(queue)
            })
        });
        let begun = side_by_side(starting).await.into_iter().flatten();
        let before = started.len();
        started.extend(begun);
        if started.len() < before + asked {
            for (queue, _) in waiting.by_ref() {
                miss(core, &queue, |since| QueueState::OffsetUnknown { since });
            }
        }
        at_once = ASKED_AT_ONCE;
    }
    started.sort_unstable();
    if core.ending.is_cancelled() {
        // There is no next round, and the shutdown does not know of these.
        let ours: BTreeSet<_> = core.locked().iter().map(|queue| queue.id().clone()).collect();
        let left = locked.into_iter().filter(|queue| !ours.contains(queue));
        locks::unlock(core, left, core.stack.request_timeout).await;
    }
    started
}

/// Finds where the queue begins, and starts its pull loop. When the offset cannot be read nothing starts. Where there is a lock, it is
/// ours by now: nobody stores another offset any more (CON-BUG-01).
async fn start(core: &Arc<Core>, queue: MessageQueue, lease: Option<Lease>) -> bool {
    let (offset, stored) = match begin::position(core, &queue).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%queue, %error, "where to begin is not known; the queue is not started yet");
            if let Some(error) = error.downcast_ref::<Error>() {
                core.look_elsewhere(error.kind(), Some(&queue)).await;
            }
            return false;
        }
    };
    core.missing.lock().remove(&queue);
    core.progress.with(|table| {
        if stored { table.start(queue.clone(), offset) } else { table.start_unstored(queue.clone(), offset) }
    });
    let owned = own(core, queue.clone(), lease.map(Arc::new), offset);
    let is_late = {
        let mut queues = core.queues.lock();
        let is_late = core.ending.is_cancelled();
        if !is_late {
            queues.insert(queue, owned.clone());
        }
        is_late
    };
    if is_late {
        return false;
    }
    core.spawn_to_its_end(puller::run(core.clone(), owned, offset));
    true
}

/// A new ownership of a queue.
fn own(core: &Core, id: MessageQueue, lease: Option<Arc<Lease>>, offset: u64) -> Arc<Queue> {
    let rates = core.rates.of(id.topic());
    let source = Arc::new(Source { queue: id, revocation: Revocation::new() });
    Queue::new(source, lease, rates, offset, core.ending.child_token())
}

/// Goes on at another place of a queue that stays ours: the broker or an administrator said so. What was fetched is dropped, and what
/// is in listeners does not count any more, as after a hand-over.
pub(crate) async fn restart(core: Arc<Core>, queue: Arc<Queue>, offset: u64) {
    core.let_go(&queue);
    if core.options.order == Order::Kept {
        // The old listener ends before the next one begins.
        until_idle(&core, &queue).await;
    }
    let is_ours = |owned: &BTreeMap<MessageQueue, Arc<Queue>>| {
        owned.get(queue.id()).is_some_and(|known| Arc::ptr_eq(known, &queue))
    };
    let timeout = core.stack.request_timeout;
    let turns = core.progress.turns([queue.id().clone()], timeout / 2).await;
    if !is_ours(&core.queues.lock()) {
        return; // given up meanwhile
    }
    core.progress.with(|table| table.reset(queue.id(), offset));
    core.progress.flush_turns(turns, timeout).await;
    let anew = own(&core, queue.id().clone(), queue.lease.clone(), offset);
    {
        let mut owned = core.queues.lock();
        if !is_ours(&owned) {
            return;
        }
        owned.insert(queue.id().clone(), anew.clone());
    }
    core.spawn_to_its_end(puller::run(core.clone(), anew, offset));
}

/// Waits until no message of a queue is in a listener.
async fn until_idle(core: &Core, queue: &Queue) {
    loop {
        let idle = core.idle.notified();
        if queue.is_idle() {
            return;
        }
        idle.await;
    }
}

/// A queue that should be ours and is not. Since when stays as it was.
fn miss(core: &Core, queue: &MessageQueue, state: impl FnOnce(Instant) -> QueueState) {
    let state = state(Instant::now());
    let mut missing = core.missing.lock();
    let is_known =
        missing.get(queue).is_some_and(|known| std::mem::discriminant(known) == std::mem::discriminant(&state));
    if !is_known {
        missing.insert(queue.clone(), state);
    }
}

/// Tells who wants to know. A panic there changes nothing here.
fn tell(core: &Core, change: AssignmentChange) {
    let Some(on_assignment) = &core.options.on_assignment else { return };
    if catch_unwind(AssertUnwindSafe(|| on_assignment(&change))).is_err() {
        tracing::error!(group = %core.group, "`on_assignment` panicked");
    }
}
