//! Two programs, interleaved in one run: what can be said about time on a machine that is never quiet.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::{
    child,
    child::Asked,
    load::Kind,
    report::{Row, Verdict, shown},
    sample::Sample,
};

/// A client that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// What it does.
    #[serde(skip)]
    pub kind: Kind,
    /// Requests in flight.
    pub in_flight: usize,
    /// Worker threads.
    pub workers: usize,
    /// Whether it has a core of its own; so has its server then.
    pub pinned: bool,
    /// Whether headers are binary.
    pub binary: bool,
    /// Whether it sends at half of the rate that it is able to, instead of as fast as answers come.
    pub open: bool,
    /// How many queues its topic has.
    pub queues: u32,
    /// How many messages it has buffered before it is measured.
    pub buffered: usize,
}

impl Spec {
    /// On one pinned core, with JSON headers and 4 queues.
    pub const fn new(kind: Kind, in_flight: usize) -> Self {
        Self { kind, in_flight, workers: 1, pinned: true, binary: false, open: false, queues: 4, buffered: 0 }
    }

    /// With so many queues.
    pub const fn queues(mut self, queues: u32) -> Self {
        self.queues = queues;
        self
    }

    /// On two workers, not pinned.
    pub const fn free(mut self) -> Self {
        self.workers = 2;
        self.pinned = false;
        self
    }

    /// On one worker, not pinned.
    pub const fn unpinned(mut self) -> Self {
        self.pinned = false;
        self
    }

    /// With binary headers.
    pub const fn binary(mut self) -> Self {
        self.binary = true;
        self
    }

    /// At half of its own maximum, by a clock.
    pub const fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// Its name in the results.
    pub fn name(&self) -> String {
        let kind = self.kind.to_possible_value();
        let kind = kind.as_ref().map_or("?", |kind| kind.get_name());
        let place = if self.pinned { "pinned" } else { "free" };
        let format = if self.binary { " binary" } else { "" };
        let open = if self.open { ", half of the rate" } else { "" };
        let queues = if self.queues == 4 { String::new() } else { format!(", {} queues", self.queues) };
        format!("{kind} {} in flight, {} worker, {place}{format}{open}{queues}", self.in_flight, self.workers)
    }

    /// Starts its process.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(&self, address: &str) -> Result<Asked> {
        let kind = self.kind.to_possible_value().context("a kind without a name")?;
        let mut command = child::myself(self.pinned.then_some(0))?;
        command.args(["client", "--kind", kind.get_name(), "--address", address]);
        command.args(["--in-flight", &self.in_flight.to_string(), "--workers", &self.workers.to_string()]);
        command.args(["--queues", &self.queues.to_string(), "--buffered", &self.buffered.to_string()]);
        if self.binary {
            command.arg("--binary");
        }
        if self.open {
            command.arg("--open");
        }
        let (client, first) = Asked::start(command)?;
        if first != "ready" {
            bail!("{}: {first}", self.name());
        }
        Ok(client)
    }
}

/// Measures once.
///
/// # Errors
///
/// When the client has ended.
pub fn measure(client: &mut Asked, length: Duration) -> Result<Sample> {
    let answer = client.ask(&length.as_millis().to_string())?;
    serde_json::from_str(&answer).with_context(|| format!("not a sample: {answer}"))
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// CPU per message; less is better.
    Cpu,
    /// Messages per second; more is better, so the ratio is turned round.
    Rate,
    /// Median latency; less is better.
    P50,
    /// The 99th percentile of latencies; less is better.
    P99,
    /// The 99.9th percentile.
    P999,
}

impl Figure {
    fn ratio(self, ours: &Sample, base: &Sample) -> f64 {
        match self {
            Self::Rate => base.rate() / ours.rate(),
            _ => self.value(ours) / self.value(base),
        }
    }

    /// With its unit.
    pub fn shown(self, sample: &Sample) -> String {
        match self {
            Self::Rate => format!("{}k/s", shown(sample.rate() / 1e3)),
            _ => format!("{} us", shown(self.value(sample))),
        }
    }

    fn value(self, sample: &Sample) -> f64 {
        match self {
            Self::Cpu => sample.cpu_us(),
            Self::Rate => sample.rate(),
            Self::P50 => sample.p50_us(),
            Self::P99 => sample.p99_us(),
            Self::P999 => sample.p999_us(),
        }
    }
}

/// The verdict over pairs: missed only when the whole bootstrap interval (90 %) of the median ratio lies past the bar.
pub fn judge(id: &str, what: &str, figure: Figure, ours: &[Sample], base: &[Sample], bar: f64) -> Row {
    let ratios: Vec<f64> = ours.iter().zip(base).map(|(ours, base)| figure.ratio(ours, base)).collect();
    let ratio = median(ratios.clone());
    let (low, high) = interval(&ratios);
    let verdict = match ratio {
        _ if ratios.is_empty() || ratio.is_nan() => Verdict::Skipped,
        ratio if ratio <= bar => Verdict::Met,
        _ if low > bar => Verdict::Missed,
        _ => Verdict::Unclear,
    };
    // A rate is better when it is higher, and so is its bar.
    let times = |value: f64| if figure == Figure::Rate && bar < 1.0 { 1.0 / value } else { value };
    let (least, most) = if times(low) > times(high) { (high, low) } else { (low, high) };
    let (direction, bar_text) = match figure {
        Figure::Rate if bar < 1.0 => ("", format!(">= {} x base", shown(1.0 / bar))),
        Figure::Rate => ("1/", format!(">= 1/{bar} of base")),
        _ => ("", format!("<= {} x base", shown(bar))),
    };
    Row {
        id: id.to_owned(),
        what: what.to_owned(),
        bar: bar_text,
        figure: format!(
            "{} / {} = {direction}{} ({}-{})",
            middle(figure, ours),
            middle(figure, base),
            shown(times(ratio)),
            shown(times(least)),
            shown(times(most))
        ),
        ratio: Some(ratio / bar),
        verdict,
    }
}

/// The figure of the sample in the middle, with its unit; empty, when there are none.
pub fn middle(figure: Figure, samples: &[Sample]) -> String {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|one, two| figure.value(one).total_cmp(&figure.value(two)));
    sorted.get(sorted.len() / 2).map(|sample| figure.shown(sample)).unwrap_or_default()
}

/// The median; not a number, when there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => f64::NAN,
    }
}

/// The 90 % interval of the median, by drawing again with replacement. The same for the same values.
fn interval(values: &[f64]) -> (f64, f64) {
    const DRAWS: usize = 2_000;
    if values.is_empty() {
        return (f64::NAN, f64::NAN);
    }
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let mut medians: Vec<f64> =
        (0..DRAWS).map(|_| median((0..values.len()).map(|_| values[next() % values.len()]).collect())).collect();
    medians.sort_by(f64::total_cmp);
    (medians[DRAWS / 20], medians[DRAWS - DRAWS / 20])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_missed_only_when_the_whole_interval_is_past_it() {
        let sample = |cpu| {
            let mut sample = Sample::begin().end();
            (sample.count, sample.cpu_ns) = (1, cpu);
            sample
        };
        let base: Vec<_> = (0..5).map(|_| sample(1_000)).collect();
        let verdict = |cpus: [u64; 5]| {
            let ours: Vec<_> = cpus.into_iter().map(sample).collect();
            judge("P", "", Figure::Cpu, &ours, &base, 4.0).verdict
        };
        assert_eq!(verdict([3_000, 3_500, 3_900, 5_000, 9_000]), Verdict::Met);
        assert_eq!(verdict([3_000, 3_500, 4_100, 5_000, 9_000]), Verdict::Unclear);
        assert_eq!(verdict([4_100, 4_200, 4_300, 5_000, 9_000]), Verdict::Missed);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
