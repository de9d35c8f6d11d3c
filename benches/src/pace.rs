//! When messages of an open loop are due: at a fixed rate, however late the sender is.

use std::time::{Duration, Instant};

/// The times at which messages are due.
#[derive(Debug)]
pub struct Pace {
    begun: Instant,
    each: Duration,
    next: u32,
    count: u32,
}

impl Pace {
    /// So many a second, from now on and for this long.
    pub fn begin(rate: f64, length: Duration) -> Self {
        let each = Duration::from_secs_f64(1.0 / rate.max(1.0));
        let count = (length.as_nanos() / each.as_nanos().max(1)).clamp(1, u128::from(u32::MAX)) as u32;
        Self { begun: Instant::now(), each, next: 0, count }
    }

    /// When the next message was due, if that is now or earlier.
    #[expect(clippy::should_implement_trait, reason = "`None` is not the end, only not yet")]
    pub fn next(&mut self) -> Option<Instant> {
        self.due_at(Instant::now())
    }

    fn due_at(&mut self, now: Instant) -> Option<Instant> {
        let due = self.begun + self.each * self.next;
        if self.is_over() || due > now {
            return None;
        }
        self.next += 1;
        Some(due)
    }

    /// Whether all were given out.
    pub fn is_over(&self) -> bool {
        self.next >= self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_gets_the_times_at_which_messages_were_due() {
        let mut pace = Pace::begin(1_000.0, Duration::from_millis(5));
        let begun = pace.begun;
        let due = |pace: &mut Pace, ms| pace.due_at(begun + Duration::from_millis(ms)).map(|due| due - begun);
        assert_eq!(due(&mut pace, 0), Some(Duration::ZERO));
        assert_eq!(due(&mut pace, 0), None, "the second is due after 1 ms");
        // A stall of 9 ms: all that were due meanwhile, with their own times.
        let late: Vec<_> = std::iter::from_fn(|| due(&mut pace, 9)).map(|due| due.as_millis()).collect();
        assert_eq!(late, [1, 2, 3, 4]);
        assert!(pace.is_over());
    }
}
