use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a pool, or of one connection.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) opened: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) failed_dials: AtomicU64,
    pub(crate) late_answers: AtomicU64,
    pub(crate) refused_events: AtomicU64,
}

/// [`Stats`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Connections made.
    pub opened: u64,
    /// Connections that ended otherwise than by us.
    pub lost: u64,
    /// Dials that failed.
    pub failed_dials: u64,
    /// Answers that nobody waited for: late, twice, or never asked for.
    pub late_answers: u64,
    /// Requests from servers that found the event queue full or nobody listening.
    pub refused_events: u64,
}

impl Stats {
    /// The counters now.
    pub fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            opened: read(&self.opened),
            lost: read(&self.lost),
            failed_dials: read(&self.failed_dials),
            late_answers: read(&self.late_answers),
            refused_events: read(&self.refused_events),
        }
    }

    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }
}
