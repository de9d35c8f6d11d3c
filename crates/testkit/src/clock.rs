use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Delay levels of a broker: level 1 is the first.
const LEVELS_S: [u64; 18] = [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// Longer than any test, and short enough to be added to any time.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The wall clock, for what is stored.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Levels above the last mean the last.
pub(crate) fn known_level(level: i32) -> i32 {
    level.clamp(1, LEVELS_S.len() as i32)
}

/// How long a delay level means.
pub(crate) fn level_delay(level: i32) -> Duration {
    let index = usize::try_from(known_level(level) - 1).unwrap_or(0);
    Duration::from_secs(LEVELS_S[index])
}

type Job = Box<dyn FnOnce() + Send>;

/// What is to happen later, on tokio's clock, which a test may move on.
#[derive(Default)]
pub(crate) struct Schedule {
    jobs: Mutex<Jobs>,
    /// Held while jobs run, so that they run in order and `advance` returns after those that another task had taken.
    running: Mutex<()>,
    changed: Notify,
}

#[derive(Default)]
struct Jobs {
    /// How much time was skipped.
    skipped: Duration,
    next_id: u64,
    due: BTreeMap<(Instant, u64), Job>,
}

impl Jobs {
    fn now(&self) -> Instant {
        Instant::now() + self.skipped
    }
}

impl Schedule {
    /// Does `job` after this time.
    pub(crate) fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) {
        let mut jobs = self.jobs.lock();
        jobs.next_id += 1;
        let key = (jobs.now().checked_add(delay).unwrap_or_else(|| jobs.now() + FAR), jobs.next_id);
        jobs.due.insert(key, Box::new(job));
        drop(jobs);
        self.changed.notify_one();
    }

    /// The time of this schedule: tokio's, and what was skipped.
    pub(crate) fn now(&self) -> Instant {
        self.jobs.lock().now()
    }

    /// As if this much time had passed.
    pub(crate) fn advance(&self, time: Duration) {
        let mut jobs = self.jobs.lock();
        jobs.skipped = jobs.skipped.saturating_add(time).min(FAR);
        drop(jobs);
        self.run_due();
        self.changed.notify_one();
    }

    fn run_due(&self) {
        let _running = self.running.lock();
        loop {
            let job = {
                let mut jobs = self.jobs.lock();
                let now = jobs.now();
                match jobs.due.first_entry() {
                    Some(entry) if entry.key().0 <= now => entry.remove(),
                    _ => return,
                }
            };
            job();
        }
    }

    /// Runs jobs as they become due, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.run_due();
            let next = {
                let jobs = self.jobs.lock();
                let now = jobs.now();
                jobs.due.first_key_value().map(|((due, _), _)| due.saturating_duration_since(now))
            };
            match next {
                Some(wait) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(wait) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }
}
