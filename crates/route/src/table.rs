use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use ferrocket_backend::{Backend, BoxFuture, Outcome, RouteRequest, spawn};
use ferrocket_model::{ErrorKind, Failure, Route, Topic};
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{RouteView, RouteWatch, vanished::Vanished};

/// The most topics that are remembered. Beyond it, those that were not used for longest are forgotten.
const MAX_TOPICS: usize = 100_000;
/// A look-up that failed is not repeated for this long, so that a mistyped topic does not become a load.
const NEGATIVE_FOR: Duration = Duration::from_millis(200);
/// A route is not looked up again on demand sooner than this.
pub(crate) const TRIGGER_INTERVAL: Duration = Duration::from_millis(200);

/// What is the shortest and the longest period, so that the task neither spins nor counts beyond what clocks can say.
const PERIODS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(365 * 24 * 60 * 60));

/// The routes of a cluster: immutable pictures, swapped whole. Looked up at first use, then refreshed, each topic once per
/// period, spread over it; at once when somebody says that a route is wrong. A broker that vanished from a route is looked for
/// every second for ten minutes.
///
/// A route that was found stays in use while name servers are away, or say "not found": they also do so while they restart.
#[doc(alias = "topicRouteTable")]
pub struct RouteTable {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) topics: RwLock<HashMap<Topic, Arc<Entry>>>,
    /// Brokers that are expected to come back.
    pub(crate) vanished: Mutex<Vanished>,
    /// Tells the refreshing task that something else is to be looked up, or sooner.
    changed: Arc<Notify>,
    ending: CancellationToken,
    refreshed: Mutex<Option<Instant>>,
}

pub(crate) struct Entry {
    pub(crate) topic: Topic,
    snapshot: watch::Sender<Option<Arc<Route>>>,
    state: Mutex<EntryState>,
}

#[derive(Default)]
struct EntryState {
    /// Set while a look-up is under way: who joins waits for its end.
    looking: Option<watch::Receiver<bool>>,
    new_topic_queues: Option<u32>,
    failed: Option<Box<Failure>>,
    looked_up: Option<Instant>,
    used: Option<Instant>,
}

/// Who makes the next look-up of a topic.
enum Turn {
    /// Nobody: the last one is recent enough.
    Known(Outcome<Arc<Route>>),
    /// We; others wait until this is dropped.
    Ours(watch::Sender<bool>),
    /// Somebody else is at it.
    Theirs(watch::Receiver<bool>),
}

impl Entry {
    fn known(&self) -> Option<Arc<Route>> {
        self.snapshot.borrow().clone()
    }

    pub(crate) fn was_never_looked_up(&self) -> bool {
        self.state.lock().looked_up.is_none()
    }

    fn turn(&self, interval: Duration) -> Turn {
        let mut state = self.state.lock();
        let known = self.snapshot.borrow().clone();
        if state.looked_up.is_some_and(|at| Instant::now() < at + interval) {
            match (known, &state.failed) {
                (Some(route), _) => return Turn::Known(Ok(route)),
                (None, Some(failure)) => return Turn::Known(Err(failure.clone())),
                (None, None) => {}
            }
        }
        match &state.looking {
            // A look-up whose caller was dropped closes its channel: then it is ours to make.
            Some(looking) if looking.has_changed().is_ok() => Turn::Theirs(looking.clone()),
            _ => {
                let (done, looking) = watch::channel(false);
                state.looking = Some(looking);
                Turn::Ours(done)
            }
        }
    }
}

impl RouteTable {
    /// A table with its refreshing task, which ends with the table. Periods longer than a year are a year.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn start(backend: Arc<dyn Backend>, period: Duration, timeout: Duration) -> Arc<Self> {
        let table = Arc::new(Self {
            backend,
            period: period.clamp(PERIODS.0, PERIODS.1),
            timeout,
            topics: RwLock::default(),
            vanished: Mutex::default(),
            changed: Arc::default(),
            ending: CancellationToken::new(),
            refreshed: Mutex::default(),
        });
        let (ending, changed) = (table.ending.clone(), table.changed.clone());
        let weak: Weak<Self> = Arc::downgrade(&table);
        spawn(Box::pin(async move {
            ending.run_until_cancelled(crate::refresh::run(weak, changed)).await;
        }));
        table
    }

    /// The route of a topic that is known, without any look-up.
    pub fn cached(&self, topic: &Topic) -> Option<Arc<Route>> {
        let entry = self.topics.read().get(topic).cloned()?;
        entry.known()
    }

    /// The route of a topic, looked up if it is not known. For producers, `new_topic_queues` says how many queues a topic gets
    /// that the first send creates.
    ///
    /// # Errors
    ///
    /// When the look-up fails and nothing was known before.
    pub async fn route(&self, topic: &Topic, new_topic_queues: Option<u32>, timeout: Duration) -> Outcome<Arc<Route>> {
        if let Some(route) = self.cached(topic) {
            // A route from the template lasts until the first send has created the topic; one without queues until there are some.
            let is_provisional = route.is_template || new_topic_queues.is_some() && route.publish.is_empty();
            if !is_provisional {
                return Ok(route);
            }
        }
        // Boxed: the rare case should not make every caller's future larger.
        Box::pin(self.find(topic, new_topic_queues, timeout)).await
    }

    async fn find(&self, topic: &Topic, new_topic_queues: Option<u32>, timeout: Duration) -> Outcome<Arc<Route>> {
        let entry = self.entry(topic);
        {
            let mut state = entry.state.lock();
            state.used = Some(Instant::now());
            if new_topic_queues.is_some() {
                if state.new_topic_queues.is_none() {
                    state.looked_up = None; // the last answer did not consider the template
                }
                state.new_topic_queues = new_topic_queues;
            }
        }
        match tokio::time::timeout(timeout, self.look_up(&entry, NEGATIVE_FOR)).await {
            Ok(found) => found,
            Err(_) => Err(Box::new(
                Failure::new(ErrorKind::NameServerUnreachable, format!("find topic {topic}"))
                    .with_detail(format!("no answer within {timeout:?}"))
                    .with_topic(topic),
            )),
        }
    }

    /// Looks a topic up again now, because its route turned out to be wrong; at most five times a second.
    ///
    /// # Errors
    ///
    /// When the look-up fails. The route that was known stays in use.
    pub async fn refresh(&self, topic: &Topic) -> Outcome<Arc<Route>> {
        let entry = self.entry(topic);
        self.look_up(&entry, TRIGGER_INTERVAL).await
    }

    /// As [`refresh`](Self::refresh), for those who can do nothing with the route that they have: where that is still the one that
    /// is known, and was looked up a moment ago, it waits until it may be looked up again.
    ///
    /// # Errors
    ///
    /// As [`refresh`](Self::refresh).
    pub async fn refresh_past(&self, topic: &Topic, wrong: &Arc<Route>) -> Outcome<Arc<Route>> {
        let entry = self.entry(topic);
        let last = entry.state.lock().looked_up;
        let found = self.look_up(&entry, TRIGGER_INTERVAL).await;
        let is_old = entry.state.lock().looked_up == last;
        match last {
            Some(last) if is_old && found.as_ref().is_ok_and(|found| Arc::ptr_eq(found, wrong)) => {
                tokio::time::sleep_until(last + TRIGGER_INTERVAL).await;
                self.look_up(&entry, TRIGGER_INTERVAL).await
            }
            _ => found,
        }
    }

    /// The route of a topic, each time it changes; the first one as soon as it is known.
    pub fn watch(&self, topic: &Topic) -> RouteWatch {
        if self.ending.is_cancelled() {
            return RouteWatch::new(watch::channel(None).1);
        }
        let entry = self.entry(topic);
        entry.state.lock().used = Some(Instant::now());
        self.changed.notify_one();
        RouteWatch::new(entry.snapshot.subscribe())
    }

    /// The route of a topic as it is known at each moment, for those who look often. The topic stays in the table, and is
    /// refreshed, as long as the view is kept.
    pub fn view(&self, topic: &Topic) -> RouteView {
        RouteView::new(self.entry(topic).snapshot.subscribe())
    }

    /// When a route was refreshed last.
    pub fn refreshed(&self) -> Option<Instant> {
        *self.refreshed.lock()
    }

    pub(crate) fn entry(&self, topic: &Topic) -> Arc<Entry> {
        if let Some(entry) = self.topics.read().get(topic) {
            return entry.clone();
        }
        let mut topics = self.topics.write();
        if topics.len() >= MAX_TOPICS {
            forget_oldest(&mut topics);
        }
        if topics.is_empty() {
            self.changed.notify_one();
        }
        let new = || {
            Arc::new(Entry {
                topic: topic.clone(),
                snapshot: watch::Sender::new(None),
                state: Mutex::new(EntryState { used: Some(Instant::now()), ..EntryState::default() }),
            })
        };
        topics.entry(topic.clone()).or_insert_with(new).clone()
    }

    /// One look-up at a time per topic: others wait for its end. Not repeated within `interval`.
    pub(crate) async fn look_up(&self, entry: &Arc<Entry>, interval: Duration) -> Outcome<Arc<Route>> {
        loop {
            let turn = entry.turn(interval);
            match turn {
                Turn::Known(outcome) => return outcome,
                Turn::Ours(_done) => return self.ask(entry).await,
                // Ends when the look-up that is under way does, whatever came of it.
                Turn::Theirs(mut ended) => drop(ended.changed().await),
            }
        }
    }

    fn ask<'a>(&'a self, entry: &'a Arc<Entry>) -> BoxFuture<'a, Outcome<Arc<Route>>> {
        let new_topic_queues = entry.state.lock().new_topic_queues;
        let request = RouteRequest { topic: entry.topic.clone(), new_topic_queues, timeout: self.timeout };
        Box::pin(async move {
            let answer = self.backend.route(request).await;
            let now = Instant::now();
            let mut state = entry.state.lock();
            state.looked_up = Some(now);
            match answer {
                Ok(route) => {
                    state.failed = None;
                    drop(state);
                    *self.refreshed.lock() = Some(now);
                    let route = Arc::new(route);
                    let mut current = route.clone();
                    self.compare(entry, Some(&route), now);
                    entry.snapshot.send_if_modified(|known| match known {
                        Some(known) if **known == *route => {
                            current = known.clone();
                            false
                        }
                        _ => {
                            tracing::debug!(topic = %entry.topic, queues = route.publish.len(), "route changed");
                            *known = Some(route);
                            true
                        }
                    });
                    Ok(current)
                }
                Err(failure) => {
                    tracing::debug!(topic = %entry.topic, %failure, "route look-up failed");
                    state.failed = Some(failure.clone());
                    if state.new_topic_queues != new_topic_queues {
                        // Meanwhile somebody came who would have the topic created, and this answer did not consider that.
                        state.looked_up = None;
                    }
                    drop(state);
                    if failure.kind() == ErrorKind::RouteNotFound {
                        // As after the last broker of a topic went away.
                        self.compare(entry, None, now);
                    }
                    Err(failure)
                }
            }
        })
    }

    /// What a look-up found, against what was known before.
    fn compare(&self, entry: &Entry, found: Option<&Route>, now: Instant) {
        let known = entry.known();
        if self.vanished.lock().compare(&entry.topic, known.as_deref(), found, now) {
            self.changed.notify_one();
        }
    }

    /// Forgets topics that nobody used or watches any more.
    pub(crate) fn forget_unused(&self, after: Duration) {
        let now = Instant::now();
        self.topics.write().retain(|_, entry| {
            entry.snapshot.receiver_count() > 0 || entry.state.lock().used.is_some_and(|used| now < used + after)
        });
    }

    /// Ends the refreshing task, and the watches.
    pub fn close(&self) {
        self.ending.cancel();
        self.topics.write().clear();
    }
}

impl Drop for RouteTable {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

fn forget_oldest(topics: &mut HashMap<Topic, Arc<Entry>>) {
    let unwatched = topics.values().filter(|entry| entry.snapshot.receiver_count() == 0);
    let oldest = unwatched.min_by_key(|entry| entry.state.lock().used).map(|entry| entry.topic.clone());
    if let Some(topic) = oldest {
        topics.remove(&topic);
    }
}

impl std::fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteTable").field("topics", &self.topics.read().len()).finish_non_exhaustive()
    }
}
