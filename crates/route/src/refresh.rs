use std::sync::{Arc, Weak};

use tokio::{sync::Notify, time::Instant};

use crate::{
    RouteTable,
    table::{Entry, TRIGGER_INTERVAL},
};

/// Topics that nobody used or watched for this many periods are forgotten.
const FORGET_AFTER_PERIODS: u32 = 20;

/// Refreshes each topic once per period, one after the other, spread over the period; a topic that is watched for the first time
/// at once.
pub(crate) async fn run(table: Weak<RouteTable>, changed: Arc<Notify>) {
    loop {
        let Some(strong) = table.upgrade() else { return };
        strong.forget_unused(strong.period * FORGET_AFTER_PERIODS);
        let topics = in_order(&strong);
        let period = strong.period;
        drop(strong);
        if topics.is_empty() {
            // The first topic begins a round, so that it need not wait for the end of an empty one.
            let is_woken = tokio::time::timeout(period, changed.notified()).await.is_ok();
            if is_woken && table.upgrade().is_some_and(|table| !table.topics.read().is_empty()) {
                changed.notify_one(); // for what the round does with it
            }
            continue;
        }
        let round_ends = Instant::now() + period;
        let gap = period / u32::try_from(topics.len()).unwrap_or(u32::MAX).max(1);
        let mut next = Instant::now() + gap;
        for entry in topics {
            wait(&table, &changed, next).await;
            next += gap;
            let Some(strong) = table.upgrade() else { return };
            // Those who need the route see the failure themselves; the old route stays.
            let _ = strong.look_up(&entry, TRIGGER_INTERVAL).await;
        }
        wait(&table, &changed, round_ends).await;
    }
}

/// In the order of the names, so that each topic has its time, and a simulation plays the same every time.
fn in_order(table: &RouteTable) -> Vec<Arc<Entry>> {
    let mut topics: Vec<_> = table.topics.read().values().cloned().collect();
    topics.sort_unstable_by(|one, other| one.topic.cmp(&other.topic));
    topics
}

/// Waits, and meanwhile looks up what is watched for the first time, and where brokers vanished. Holds nothing of the table while it
/// waits.
async fn wait(table: &Weak<RouteTable>, changed: &Notify, until: Instant) {
    loop {
        let Some(strong) = table.upgrade() else { return };
        let missing = strong.vanished.lock().next();
        drop(strong);
        let next = missing.map_or(until, |next| next.min(until));
        let is_woken = tokio::time::timeout_at(next, changed.notified()).await.is_ok();
        if !is_woken && next == until {
            return;
        }
        let Some(strong) = table.upgrade() else { return };
        let new = if is_woken { in_order(&strong) } else { Vec::new() };
        for entry in new.iter().filter(|entry| entry.was_never_looked_up()) {
            let _ = strong.look_up(entry, TRIGGER_INTERVAL).await;
        }
        let due = strong.vanished.lock().due(Instant::now());
        for topic in due {
            let entry = strong.topics.read().get(&topic).cloned();
            match entry {
                Some(entry) => drop(strong.look_up(&entry, TRIGGER_INTERVAL).await),
                None => strong.vanished.lock().forget(&topic),
            }
        }
    }
}
