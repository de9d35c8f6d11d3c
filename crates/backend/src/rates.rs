use std::{
    array,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ferrocket_model::Topic;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

/// How fast the topics of a consumer are pulled and consumed, for administrators. Memory is bounded by the topics that
/// somebody asked for and did not [`retain`](Self::retain) away: a kilobyte each.
///
/// Nothing here reads a clock: every method takes the time.
#[derive(Debug)]
#[doc(alias = "ConsumerStatsManager")]
pub struct Rates {
    start: Instant,
    topics: RwLock<BTreeMap<Topic, Arc<TopicRates>>>,
}

impl Rates {
    /// Of a consumer that begins now.
    pub fn new(now: Instant) -> Self {
        Self { start: now, topics: RwLock::default() }
    }

    /// The rates of a topic; made when it is asked for first. Looked up in a map: whoever records often keeps what this returns.
    pub fn of(&self, topic: &Topic) -> Arc<TopicRates> {
        if let Some(known) = self.topics.read().get(topic) {
            return Arc::clone(known);
        }
        let mut topics = self.topics.write();
        Arc::clone(topics.entry(topic.clone()).or_insert_with(|| Arc::new(TopicRates::new(self.start))))
    }

    /// Forgets the topics that this says no to; what still records them is not seen any more.
    pub fn retain(&self, keep: impl Fn(&Topic) -> bool) {
        self.topics.write().retain(|topic, _| keep(topic));
    }

    /// Every topic and how fast it is.
    pub fn snapshot(&self, now: Instant) -> BTreeMap<Topic, Pace> {
        self.topics.read().iter().map(|(topic, rates)| (topic.clone(), rates.snapshot(now))).collect()
    }
}

/// How fast one topic is pulled and consumed, within the last minute and the last hour.
///
/// Recording is some additions to atomics. The counters only grow; once in ten seconds whoever records first notes where they
/// stood, so a window is the difference to an old note. Nothing is recorded between two records, so those who come late note
/// exactly what a timer would have noted, and no timer is needed.
#[derive(Debug)]
#[doc(alias = "StatsItem")]
pub struct TopicRates {
    start: Instant,
    totals: [AtomicU64; COUNTERS],
    /// When the next note is due, in seconds since the start.
    due: AtomicU64,
    windows: Mutex<Windows>,
}

impl TopicRates {
    /// Of a topic that is consumed from now on.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            totals: array::from_fn(|_| AtomicU64::new(0)),
            due: AtomicU64::new(MINUTE_STEP),
            windows: Mutex::new(Windows { minute: Window::new(MINUTE_STEP), hour: Window::new(HOUR_STEP) }),
        }
    }

    /// A pull brought this many messages.
    pub fn pulled(&self, now: Instant, messages: usize, took: Duration) {
        self.keep_up(now);
        self.add(PULLS, 1);
        self.add(PULLED, messages as u64);
        self.add(PULL_MICROS, micros(took));
    }

    /// A call of the listener took this long, and so many of its messages were consumed and failed. What it neither consumed
    /// nor failed, such as what came too late, counts for nothing but the time.
    pub fn handled(&self, now: Instant, took: Duration, consumed: usize, failed: usize) {
        self.keep_up(now);
        self.add(CALLS, 1);
        self.add(CALL_MICROS, micros(took));
        // Most calls do only one of the two, and an addition is dear when many threads add.
        if consumed > 0 {
            self.add(CONSUMED, consumed as u64);
        }
        if failed > 0 {
            self.add(FAILED, failed as u64);
        }
    }

    /// How fast it is.
    pub fn snapshot(&self, now: Instant) -> Pace {
        self.keep_up(now);
        let (at, totals) = (self.since_start(now), self.totals());
        let (minute, hour) = {
            let windows = self.windows.lock();
            (windows.minute.until(at, &totals), windows.hour.until(at, &totals))
        };
        let [calls_of, hour_calls_of] = [&minute, &hour].map(|window| window.mean_ms(CALL_MICROS, CALLS));
        Pace {
            pull_ms: minute.mean_ms(PULL_MICROS, PULLS).unwrap_or(0.0),
            pulled_per_second: minute.per_second(PULLED),
            consume_ms: calls_of.or(hour_calls_of).unwrap_or(0.0),
            consumed_per_second: minute.per_second(CONSUMED),
            failed_per_second: minute.per_second(FAILED),
            failed_messages: hour.sum(FAILED),
        }
    }

    #[inline]
    fn add(&self, counter: usize, more: u64) {
        if let Some(total) = self.totals.get(counter) {
            total.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Notes where the counters stand, if that is due. Called before anything is added.
    #[inline]
    fn keep_up(&self, now: Instant) {
        let second = self.since_start(now).as_secs();
        if second >= self.due.load(Ordering::Relaxed) {
            self.note(second);
        }
    }

    #[cold]
    fn note(&self, second: u64) {
        let mut windows = self.windows.lock();
        let totals = self.totals();
        windows.hour.note(second, &totals);
        windows.minute.note(second, &totals);
        self.due.store(windows.minute.due(), Ordering::Relaxed);
    }

    fn totals(&self) -> Totals {
        array::from_fn(|counter| self.totals.get(counter).map_or(0, |total| total.load(Ordering::Relaxed)))
    }

    #[inline]
    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

/// How fast a topic is: per second and on average within the last minute, unless it is said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
#[doc(alias = "ConsumeStatus")]
pub struct Pace {
    /// How long a pull took that brought messages, in milliseconds; 0 without any.
    pub pull_ms: f64,
    /// Messages that were pulled.
    pub pulled_per_second: f64,
    /// How long a call of the listener took, in milliseconds: within the last hour, if there was none within the last minute;
    /// 0 if there was none then either.
    pub consume_ms: f64,
    /// Messages that were consumed.
    pub consumed_per_second: f64,
    /// Messages that failed.
    pub failed_per_second: f64,
    /// How many messages failed within the last hour.
    pub failed_messages: u64,
}

// The counters of a topic.
const PULLS: usize = 0;
const PULLED: usize = 1;
const PULL_MICROS: usize = 2;
const CALLS: usize = 3;
const CALL_MICROS: usize = 4;
const CONSUMED: usize = 5;
const FAILED: usize = 6;
const COUNTERS: usize = 7;

/// Where the counters stood.
type Totals = [u64; COUNTERS];

/// A note each ten seconds for the minute, and each ten minutes for the hour, as in Java.
const MINUTE_STEP: u64 = 10;
const HOUR_STEP: u64 = 600;
/// So many notes that a window is never shorter than six steps.
const NOTES: u64 = 7;

#[derive(Debug)]
struct Windows {
    minute: Window,
    hour: Window,
}

#[derive(Debug)]
struct Window {
    /// In seconds, as all times here.
    step: u64,
    /// The number of the newest note: it was due after so many steps.
    newest: u64,
    /// The note of step `n` stands at `n % NOTES`. Before the first one everything was 0.
    notes: [Totals; NOTES as usize],
}

impl Window {
    fn new(step: u64) -> Self {
        Self { step, newest: 0, notes: [[0; COUNTERS]; NOTES as usize] }
    }

    fn due(&self) -> u64 {
        (self.newest + 1).saturating_mul(self.step)
    }

    /// These are the totals at every step since the newest one.
    fn note(&mut self, second: u64, totals: &Totals) {
        let now = second / self.step;
        for step in (now.saturating_sub(NOTES - 1)).max(self.newest + 1)..=now {
            if let Some(note) = self.notes.get_mut((step % NOTES) as usize) {
                *note = *totals;
            }
            self.newest = step;
        }
    }

    /// What was added since the oldest note, and how long that is.
    fn until(&self, at: Duration, totals: &Totals) -> Passed {
        let oldest = self.newest.saturating_sub(NOTES - 1);
        let before = self.notes.get((oldest % NOTES) as usize).copied().unwrap_or_default();
        // Counters are read one by one while others add to them, so a note can be ahead of what was read before it.
        let more = |counter: usize| {
            let [total, before] = [totals, &before].map(|totals| totals.get(counter).copied().unwrap_or_default());
            total.saturating_sub(before)
        };
        // As in Java, the first moments count as a whole step: one message is not a thousand per second.
        let time = at.saturating_sub(Duration::from_secs(oldest.saturating_mul(self.step)));
        Passed { added: array::from_fn(more), time: time.max(Duration::from_secs(self.step)) }
    }
}

/// What was added within a window.
struct Passed {
    added: Totals,
    time: Duration,
}

impl Passed {
    fn sum(&self, counter: usize) -> u64 {
        self.added.get(counter).copied().unwrap_or_default()
    }

    fn per_second(&self, counter: usize) -> f64 {
        self.sum(counter) as f64 / self.time.as_secs_f64()
    }

    fn mean_ms(&self, micros: usize, times: usize) -> Option<f64> {
        let times = self.sum(times);
        (times > 0).then(|| self.sum(micros) as f64 / 1000.0 / times as f64)
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "rates_tests.rs"]
mod tests;
