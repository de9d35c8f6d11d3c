use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::ProducerHealth;

/// What one producer has done since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendCounters {
    /// Messages that a broker has accepted, each of a batch; and one-way ones that were handed over.
    pub sent: u64,
    /// Messages whose send failed, each of a batch; those with an unknown outcome, and requests without a reply, included.
    pub failed: u64,
    /// Messages whose outcome is unknown.
    pub unknown: u64,
    /// Attempts beyond the first. A batch counts as one.
    pub retries: u64,
    /// Questions of brokers about transactions that were answered.
    pub checks: u64,
    /// Time that successful sends took, added up. A batch counts as one, a request until its reply.
    pub time_total: Duration,
}

/// A producer's health and counters. For the client.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct ProducerReport {
    pub health: ProducerHealth,
    pub counters: SendCounters,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    sent: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    retries: AtomicU64,
    checks: AtomicU64,
    nanos: AtomicU64,
}

impl Stats {
    pub(crate) fn succeeded(&self, messages: usize, took: Duration, attempts: u32) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.retried(attempts);
    }

    pub(crate) fn failed(&self, messages: usize, unknown: bool, attempts: u32) {
        self.failed.fetch_add(messages as u64, Ordering::Relaxed);
        if unknown {
            self.unknown.fetch_add(messages as u64, Ordering::Relaxed);
        }
        self.retried(attempts);
    }

    pub(crate) fn checked(&self) {
        self.checks.fetch_add(1, Ordering::Relaxed);
    }

    fn retried(&self, attempts: u32) {
        if attempts > 1 {
            self.retries.fetch_add(u64::from(attempts - 1), Ordering::Relaxed);
        }
    }

    pub(crate) fn counters(&self) -> SendCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SendCounters {
            sent: read(&self.sent),
            failed: read(&self.failed),
            unknown: read(&self.unknown),
            retries: read(&self.retries),
            checks: read(&self.checks),
            time_total: Duration::from_nanos(read(&self.nanos)),
        }
    }
}
