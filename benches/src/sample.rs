//! One measurement of a client: messages, CPU, time and latencies.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::cpu;

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Messages.
    pub count: u64,
    /// CPU time of the process, user and system.
    pub cpu_ns: u64,
    /// Time on the clock.
    pub wall_ns: u64,
    /// Median latency; 0 when it was not measured.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The 99.9th percentile.
    pub p999_ns: u64,
    /// Bytes of the process in memory at the end; 0 where that is not known.
    #[serde(default)]
    pub resident: u64,
    #[serde(skip)]
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    begun: Instant,
    cpu: Duration,
    latencies: Histogram<u64>,
}

impl Sample {
    /// From now on.
    pub fn begin() -> Self {
        let latencies = Histogram::new(3).expect("3 digits are possible");
        let open = Open { cpu: cpu::used().unwrap_or_default(), latencies, begun: Instant::now() };
        Self { count: 0, cpu_ns: 0, wall_ns: 0, p50_ns: 0, p99_ns: 0, p999_ns: 0, resident: 0, open: Some(open) }
    }

    /// Something took this long.
    pub fn latency(&mut self, took: Duration) {
        if let Some(open) = &mut self.open {
            let _ = open.latencies.record(took.as_nanos() as u64);
        }
    }

    /// Until now.
    pub fn end(mut self) -> Self {
        if let Some(open) = self.open.take() {
            self.wall_ns = open.begun.elapsed().as_nanos() as u64;
            self.cpu_ns = cpu::used().unwrap_or_default().saturating_sub(open.cpu).as_nanos() as u64;
            self.resident = cpu::resident_bytes().unwrap_or_default();
            self.p50_ns = open.latencies.value_at_quantile(0.5);
            self.p99_ns = open.latencies.value_at_quantile(0.99);
            self.p999_ns = open.latencies.value_at_quantile(0.999);
        }
        self
    }

    /// Microseconds of CPU per message.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.count.max(1) as f64
    }

    /// Messages per second.
    pub fn rate(&self) -> f64 {
        self.count as f64 * 1e9 / self.wall_ns.max(1) as f64
    }

    /// Median latency in microseconds.
    pub fn p50_us(&self) -> f64 {
        self.p50_ns as f64 / 1e3
    }

    /// The 99th percentile in microseconds.
    pub fn p99_us(&self) -> f64 {
        self.p99_ns as f64 / 1e3
    }

    /// The 99.9th percentile in microseconds.
    pub fn p999_us(&self) -> f64 {
        self.p999_ns as f64 / 1e3
    }
}
