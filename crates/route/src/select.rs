use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use ferrocket_model::{BrokerName, MessageQueue, java_string_hash};

use crate::FaultTable;

/// Goes round the queues of one topic, from a random start, so that many clients do not march in step (PRO-TPI-02).
#[derive(Debug)]
#[doc(alias = "ThreadLocalIndex")]
pub struct QueueChooser {
    next: AtomicUsize,
}

impl Default for QueueChooser {
    fn default() -> Self {
        Self { next: AtomicUsize::new(fastrand::usize(..)) }
    }
}

impl QueueChooser {
    /// Starts at this position, for tests.
    pub fn starting_at(index: usize) -> Self {
        Self { next: AtomicUsize::new(index) }
    }

    /// The next queue: on an available broker other than `last` if there is one, else on a reachable one other than `last`, else
    /// any (PRO-FLT-04). `None` only for an empty list.
    pub fn choose<'a>(
        &self,
        queues: &'a [MessageQueue],
        last: Option<&BrokerName>,
        faults: &FaultTable,
        now: Duration,
    ) -> Option<&'a MessageQueue> {
        if queues.is_empty() {
            return None;
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let at = |step: usize| queues.get(start.wrapping_add(step) % queues.len());
        if last.is_none() && faults.is_clean() {
            return at(0);
        }
        let other = |queue: &MessageQueue| last != Some(queue.broker());
        let round = || (0..queues.len()).filter_map(|step| Some((step, at(step)?)));
        let (passed, queue) = round()
            .find(|(_, queue)| other(queue) && faults.is_available(queue.broker(), now))
            .or_else(|| round().find(|(_, queue)| other(queue) && faults.is_reachable(queue.broker(), now)))
            .or_else(|| round().find(|(_, queue)| other(queue)))
            .or_else(|| Some((0, at(0)?)))?;
        // The next turn begins behind this queue. Else the first queue behind those of a broker that is away gets their share too.
        self.next.fetch_add(passed, Ordering::Relaxed);
        Some(queue)
    }
}

/// The queue of a sharding key: Java's string hash modulo the number of queues (PRO-SEL-02), so that clients in both languages
/// agree. `None` only for an empty list.
#[doc(alias = "SelectMessageQueueByHash")]
pub fn queue_of_key<'a>(queues: &'a [MessageQueue], key: &str) -> Option<&'a MessageQueue> {
    let count = i32::try_from(queues.len()).ok().filter(|count| *count > 0)?;
    let index = (java_string_hash(key) % count).unsigned_abs();
    queues.get(index as usize)
}
