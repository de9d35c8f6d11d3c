use std::time::Duration;

/// How long to wait before the next dial: 50 ms doubling to 5 s, with full jitter (R-I13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(5);
/// A call that needs the connection may dial this long after the last dial, whatever the backoff says.
pub(crate) const CALL_INTERVAL: Duration = Duration::from_millis(250);

impl Backoff {
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The longest pause at this point.
    pub(crate) fn ceiling(self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            n => FIRST.saturating_mul(1 << (n - 1).min(16)).min(LAST),
        }
    }

    /// A pause between nothing and the ceiling. `random` is in `0.0..1.0`.
    pub(crate) fn pause(self, random: f64) -> Duration {
        self.ceiling().mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_i13_the_pause_doubles_up_to_five_seconds_and_starts_anew_after_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.ceiling(), Duration::ZERO);
        let mut seen = Vec::new();
        for _ in 0..9 {
            backoff.failed();
            seen.push(backoff.ceiling().as_millis());
        }
        assert_eq!(seen, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.pause(0.5), Duration::from_millis(2500));
        backoff.succeeded();
        assert_eq!(backoff.ceiling(), Duration::ZERO);
    }
}
