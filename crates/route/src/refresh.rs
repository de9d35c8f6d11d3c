use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::{RouteTable, table::TRIGGER_INTERVAL};

/// Topics that nobody used or watched for this many periods are forgotten.
const FORGET_AFTER_PERIODS: u32 = 20;

/// Refreshes each topic once per period, one after the other, spread over the period.
pub(crate) async fn run(table: Weak<RouteTable>) {
    loop {
        let Some(strong) = table.upgrade() else { return };
        strong.forget_unused(strong.period * FORGET_AFTER_PERIODS);
        let topics: Vec<_> = strong.topics.read().values().cloned().collect();
        let period = strong.period;
        let round_ends = Instant::now() + period;
        drop(strong);
        if topics.is_empty() {
            if pause(&table, round_ends).await.is_none() {
                return;
            }
            continue;
        }
        let gap = period / u32::try_from(topics.len()).unwrap_or(u32::MAX);
        let mut next = Instant::now() + gap;
        for entry in topics {
            if gap >= Duration::from_millis(1) {
                tokio::time::sleep_until(next).await;
            }
            next += gap;
            let Some(strong) = table.upgrade() else { return };
            // Those who need the route see the failure themselves; the old route stays.
            let _ = strong.look_up(&entry, TRIGGER_INTERVAL).await;
        }
        tokio::time::sleep_until(round_ends).await;
    }
}

/// Waits for the end of the round, or until a topic is watched that was not known.
async fn pause(table: &Weak<RouteTable>, until: Instant) -> Option<()> {
    let strong: Arc<RouteTable> = table.upgrade()?;
    let changed = strong.changed.notified();
    let _ = tokio::time::timeout_at(until.min(Instant::now() + Duration::from_secs(1)), changed).await;
    Some(())
}
