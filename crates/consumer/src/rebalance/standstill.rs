//! A process that stood still, because somebody stopped it or its machine: brokers may have given its queues to others meanwhile
//! (R10). Locks say so by themselves, see [`Lease`](crate::queue::Lease); without them only the clock does.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{core::Core, rebalance};

const BEAT: Duration = Duration::from_secs(5);
/// Brokers forget members after two minutes without a heartbeat, and the last one may be half a minute old.
const STOOD_STILL: Duration = Duration::from_secs(60);

/// When this process was last seen to run.
pub(crate) struct Pulse {
    last: Mutex<Instant>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()) }
    }
}

/// Sees to it that a pause is noticed, whatever else happens.
pub(crate) async fn watch(core: Arc<Core>) {
    while core.ending.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
        check(&core);
    }
}

/// Gives all queues up if the process stood still: what is in listeners does not count any more, and nothing is stored, for the others
/// may be further. To be called before anything is stored.
pub(crate) fn check(core: &Arc<Core>) {
    if core.options.is_broadcast || core.needs_locks() {
        return;
    }
    let now = Instant::now();
    let (paused, owned) = {
        // Held until queues are given up, so that nobody stores anything before that.
        let mut last = core.pulse.last.lock();
        let paused = now.saturating_duration_since(*last);
        *last = now.max(*last);
        if paused <= STOOD_STILL {
            return;
        }
        let owned: Vec<_> = std::mem::take(&mut *core.queues.lock()).into_values().collect();
        let leaving: Vec<_> = core.leaving.lock().values().cloned().collect();
        rebalance::forget(core, &owned);
        rebalance::forget(core, &leaving);
        (paused, owned)
    };
    tracing::warn!(group = %core.group, ?paused, "this process stood still: others may have its queues, which are given up");
    rebalance::tell_lost(core, &owned);
}
