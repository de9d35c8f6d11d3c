use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Two buckets per power of two, from 1 µs to over 30 s: 24 powers.
const BUCKETS: usize = 50;

/// Counts how long things took: two buckets per power of two, from a microsecond on. Recording is one addition.
#[derive(Debug)]
pub struct Latencies {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl Latencies {
    /// Something took this long.
    pub fn record(&self, took: Duration) {
        if let Some(bucket) = self.buckets.get(bucket(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was recorded so far.
    pub fn snapshot(&self) -> LatencyHistogram {
        LatencyHistogram { counts: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect() }
    }
}

/// The bucket of a latency: its power of two in microseconds, and which half of it.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(power) = micros.checked_ilog2() else { return 0 };
    let half = if power == 0 { 0 } else { (micros >> (power - 1)) & 1 };
    (1 + 2 * power as usize + half as usize).min(BUCKETS - 1)
}

/// The upper bound of a bucket.
fn bound(bucket: usize) -> Duration {
    let Some(place) = bucket.checked_sub(1) else { return Duration::from_micros(1) };
    let power = 1u64 << (place / 2);
    Duration::from_micros(if place % 2 == 0 { power + power.div_ceil(2) } else { 2 * power })
}

/// How long things took, as counts per bucket. A picture of a moment; add several together with [`add`](Self::add).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyHistogram {
    counts: Vec<u64>,
}

impl LatencyHistogram {
    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The buckets that are not empty: their upper bounds (exclusive; the last one has none, and is given as 32 s), and how many
    /// fell into them.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, count)| (bound(at), *count))
    }

    /// The latency that this share did not exceed, such as 0.99: the upper bound of its bucket. Zero when there is nothing.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bound, count) in self.buckets() {
            seen += count;
            if seen >= wanted {
                return bound;
            }
        }
        Duration::ZERO
    }

    /// Adds the counts of another one.
    pub fn add(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_below_the_bound_of_its_bucket_and_at_most_a_third_below() {
        for micros in (0..4_000).chain([10_000, 123_456, 1_000_000, 16_000_000]) {
            let took = Duration::from_micros(micros);
            let bound = bound(bucket(took));
            assert!(took < bound, "{took:?} in the bucket below {bound:?}");
            assert!(micros < 2 || took.as_secs_f64() > bound.as_secs_f64() * 0.66, "{took:?} below {bound:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_buckets_and_histograms_add_up() {
        let latencies = Latencies::default();
        for _ in 0..99 {
            latencies.record(Duration::from_micros(100));
        }
        latencies.record(Duration::from_millis(50));
        let mut histogram = latencies.snapshot();
        assert_eq!(histogram.count(), 100);
        assert_eq!(histogram.quantile(0.5), Duration::from_micros(128));
        assert_eq!(histogram.quantile(0.99), Duration::from_micros(128));
        assert!(histogram.quantile(1.0) > Duration::from_millis(50));
        histogram.add(&histogram.clone());
        assert_eq!(histogram.count(), 200);
        assert_eq!(LatencyHistogram::default().quantile(0.5), Duration::ZERO);
    }
}
