use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// For so long the wall clock is told from the producer's own; then it is asked again, so that one that was set shows soon.
const TOLD: Duration = Duration::from_millis(100);

/// Unix milliseconds, for ids and birth times. Each send needs them, and to ask the system is the dearest thing in a send.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    /// How far the wall clock is ahead of the producer's own.
    ahead: AtomicU64,
    /// Until when that counts, by the producer's own.
    until: AtomicU64,
}

impl WallClock {
    /// The time when the producer's own clock says `now`.
    pub(crate) fn ms(&self, now: Duration) -> u64 {
        self.told(now, || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            millis(since)
        })
    }

    fn told(&self, now: Duration, ask: impl FnOnce() -> u64) -> u64 {
        let own = millis(now);
        if own < self.until.load(Ordering::Acquire) {
            return self.ahead.load(Ordering::Relaxed).wrapping_add(own);
        }
        let wall = ask();
        self.ahead.store(wall.wrapping_sub(own), Ordering::Relaxed);
        self.until.store(own + millis(TOLD), Ordering::Release);
        wall
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_asked_every_100_ms_and_told_in_between() {
        let clock = WallClock::default();
        let at = |own: u64, wall: u64| {
            let mut asked = false;
            let told = clock.told(Duration::from_millis(own), || {
                asked = true;
                wall
            });
            (told, asked)
        };
        assert_eq!(at(5, 1_000_005), (1_000_005, true));
        assert_eq!(at(60, 0), (1_000_060, false));
        assert_eq!(at(104, 0), (1_000_104, false));
        assert_eq!(at(105, 900_000), (900_000, true), "it was set back");
        assert_eq!(at(106, 0), (900_001, false));
    }

    #[test]
    fn it_says_what_the_system_says() {
        let ms = WallClock::default().ms(Duration::ZERO);
        let system = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        assert!(system.abs_diff(ms) < 10_000, "{ms}, and the system says {system}");
    }
}
