use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::{Latencies, LatencyHistogram};
use ferrocket_model::Topic;

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

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SendOutcome {
    /// A broker has it.
    Sent,
    /// It is not stored.
    Failed,
    /// It may be stored.
    Unknown,
}

/// How long sends to one topic took that ended alike. A batch counts as one, a request until its reply.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SendLatency {
    /// The topic.
    pub topic: Topic,
    /// How they ended.
    pub outcome: SendOutcome,
    /// How long they took.
    pub histogram: LatencyHistogram,
}

/// The latencies of one topic; those of an outcome from the first one on.
#[derive(Debug, Default)]
pub(crate) struct TopicLatencies {
    sent: OnceLock<Box<Latencies>>,
    failed: OnceLock<Box<Latencies>>,
    unknown: OnceLock<Box<Latencies>>,
}

impl TopicLatencies {
    pub(crate) fn record(&self, outcome: SendOutcome, took: Duration) {
        let latencies = match outcome {
            SendOutcome::Sent => &self.sent,
            SendOutcome::Failed => &self.failed,
            SendOutcome::Unknown => &self.unknown,
        };
        latencies.get_or_init(Box::default).record(took);
    }

    pub(crate) fn read(&self, topic: &Topic, into: &mut Vec<SendLatency>) {
        let all = [
            (SendOutcome::Sent, &self.sent),
            (SendOutcome::Failed, &self.failed),
            (SendOutcome::Unknown, &self.unknown),
        ];
        for (outcome, latencies) in all {
            let Some(latencies) = latencies.get() else { continue };
            into.push(SendLatency { topic: topic.clone(), outcome, histogram: latencies.snapshot() });
        }
    }
}

/// A producer's health and counters. For the client.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct ProducerReport {
    pub health: ProducerHealth,
    pub counters: SendCounters,
    pub latencies: Vec<SendLatency>,
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
