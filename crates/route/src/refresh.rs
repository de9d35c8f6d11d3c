use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{RouteTable, table::TRIGGER_INTERVAL};

/// Topics that nobody used or watched for this many periods are forgotten.
const FORGET_AFTER_PERIODS: u32 = 20;

/// Refreshes each topic once per period, one after the other, spread over the period; a topic that is watched for the first time
/// at once.
pub(crate) async fn run(table: Weak<RouteTable>, changed: Arc<Notify>) {
    loop {
        let Some(strong) = table.upgrade() else { return };
        strong.forget_unused(strong.period * FORGET_AFTER_PERIODS);
        let topics: Vec<_> = strong.topics.read().values().cloned().collect();
        let period = strong.period;
        drop(strong);
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

/// Waits, and looks up what is watched for the first time meanwhile. Holds nothing of the table while it waits.
async fn wait(table: &Weak<RouteTable>, changed: &Notify, until: Instant) {
    while tokio::time::timeout_at(until, changed.notified()).await.is_ok() {
        let Some(strong) = table.upgrade() else { return };
        let topics: Vec<_> = strong.topics.read().values().cloned().collect();
        for entry in topics.iter().filter(|entry| entry.was_never_looked_up()) {
            let _ = strong.look_up(entry, Duration::ZERO).await;
        }
    }
}
