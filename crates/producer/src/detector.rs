use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::{BoxFuture, Probed, side_by_side, spawn};
use ferrocket_model::BrokerName;

use crate::core::Core;

/// How brokers that are away are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl Default for Probe {
    fn default() -> Self {
        Self { interval: Duration::from_millis(500), timeout: Duration::from_millis(200) }
    }
}

/// Looks whether brokers that are away are back: one task, which runs only while there are such brokers (PRO-FLT-06).
#[derive(Debug, Default)]
pub(crate) struct Detector {
    is_running: AtomicBool,
}

impl Detector {
    /// A broker could not be reached. Starts the task, unless it runs. Called under the lock of the fault table.
    pub(crate) fn start(core: &Arc<Core>) {
        if !core.detector.is_running.swap(true, Ordering::AcqRel) {
            drop(spawn(Box::pin(run(Arc::downgrade(core), core.options.probe))));
        }
    }
}

async fn run(core: Weak<Core>, probe: Probe) {
    loop {
        tokio::time::sleep(probe.interval).await;
        // Ends with the producer.
        let Some(core) = core.upgrade() else { return };
        let now = core.clock();
        let away = core.with_faults(|faults| faults.unreachable_brokers(now));
        // Side by side: one that hangs holds up nobody.
        side_by_side(
            away.into_iter().map(|broker| -> BoxFuture<'static, ()> { Box::pin(look(core.clone(), broker, probe)) }),
        )
        .await;
        let now = core.clock();
        let is_over = core.with_faults(|faults| {
            // Under the lock that failures are recorded under: one that comes next starts the task anew.
            let is_over = core.is_closed() || faults.unreachable_brokers(now).is_empty();
            if is_over {
                core.detector.is_running.store(false, Ordering::Release);
            }
            is_over
        });
        if is_over {
            return;
        }
    }
}

/// Looks for one broker.
async fn look(core: Arc<Core>, broker: BrokerName, probe: Probe) {
    let mut probed = core.stack.backend.probe(&broker, probe.timeout).await;
    if probed == Probed::Unreachable
        && let Some(topic) = core.topics.on(&broker)
        // It may be back at another address, and nobody who avoids it would learn that. One topic is enough.
        && let Ok(Ok(_)) = tokio::time::timeout(probe.interval, core.stack.routes.refresh(&topic)).await
    {
        probed = core.stack.backend.probe(&broker, probe.timeout).await;
    }
    if probed != Probed::Unreachable {
        tracing::debug!(%broker, "a broker is back, or gone for good");
        let now = core.clock();
        core.with_faults(|faults| faults.reachable(&broker, now));
    }
}
