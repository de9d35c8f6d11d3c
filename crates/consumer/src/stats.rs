use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::ConsumerHealth;

/// What one consumer has done since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumeCounters {
    /// Messages that brokers handed out.
    pub received: u64,
    /// Messages that listeners handled.
    pub consumed: u64,
    /// Messages that listeners failed.
    pub failed: u64,
    /// Messages that went to the dead-letter topic: at a listener's word, or after their last attempt.
    pub dead_lettered: u64,
    /// Broadcast messages that failed for good and were passed over.
    pub skipped: u64,
    /// Times that a broker set another offset than the one that was asked for.
    pub moves: u64,
    /// Listeners that panicked.
    pub panics: u64,
    /// Time in listeners, added up.
    pub time_total: Duration,
}

/// A consumer's health and counters. For the client.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct ConsumerReport {
    pub health: ConsumerHealth,
    pub counters: ConsumeCounters,
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    received: AtomicU64,
    consumed: AtomicU64,
    failed: AtomicU64,
    dead_lettered: AtomicU64,
    skipped: AtomicU64,
    moves: AtomicU64,
    panics: AtomicU64,
    nanos: AtomicU64,
}

impl Stats {
    pub(crate) fn received(&self, messages: usize) {
        self.received.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn consumed(&self, messages: usize) {
        self.consumed.fetch_add(messages as u64, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dead_lettered(&self) {
        self.dead_lettered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn handled(&self, took: Duration) {
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> ConsumeCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConsumeCounters {
            received: read(&self.received),
            consumed: read(&self.consumed),
            failed: read(&self.failed),
            dead_lettered: read(&self.dead_lettered),
            skipped: read(&self.skipped),
            moves: read(&self.moves),
            panics: read(&self.panics),
            time_total: Duration::from_nanos(read(&self.nanos)),
        }
    }
}
