//! What happened in a run, and what may not have.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
    time::Duration,
};

use fastrand::Rng;
use ferrocket::{MessageQueue, ReceivedMessage};
use ferrocket_testkit::TestCluster;
use tokio::time::Instant;

/// One message in one queue.
type Place = (MessageQueue, u64);

/// Everything that a run did, in order.
pub(crate) struct History {
    began: Instant,
    /// Bodies that a broker confirmed.
    pub(crate) sent: BTreeSet<String>,
    /// Bodies that were handed out, and how often.
    calls: HashMap<String, u64>,
    /// Bodies that a listener handled, and how often.
    pub(crate) handled: BTreeMap<String, usize>,
    /// Places that were handled, or that their broker has taken back, and when.
    settled: HashMap<Place, usize>,
    /// Where the messages lie that a listener saw, by broker and offset in its commit log.
    places: HashMap<(String, i64), Place>,
    /// Offsets that reached a broker, and when.
    commits: Vec<(MessageQueue, u64, usize)>,
    /// Who handles a message of a queue right now, for kinds that keep an order.
    running: HashMap<MessageQueue, Vec<usize>>,
    /// Until then two members may hold one lock: its broker has forgotten it with a restart (CON-BUG-33), and who had it cannot have
    /// heard of that yet.
    excused_until: Option<Instant>,
    pub(crate) excused: usize,
    /// What went wrong already.
    broken: Vec<String>,
    /// Counts events, so that they have an order.
    clock: usize,
    log: Vec<Line>,
}

/// Something that happened.
pub(crate) struct Line {
    pub(crate) text: String,
    /// One of very many.
    pub(crate) is_detail: bool,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            sent: BTreeSet::new(),
            calls: HashMap::new(),
            handled: BTreeMap::new(),
            settled: HashMap::new(),
            places: HashMap::new(),
            commits: Vec::new(),
            running: HashMap::new(),
            excused_until: None,
            excused: 0,
            broken: Vec::new(),
            clock: 0,
            log: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, what: impl Display) {
        self.write(what, false);
    }

    pub(crate) fn detail(&mut self, what: impl Display) {
        self.write(what, true);
    }

    fn write(&mut self, what: impl Display, is_detail: bool) {
        let text = format!("{:>9.3} {what}", self.began.elapsed().as_secs_f64());
        self.log.push(Line { text, is_detail });
    }

    pub(crate) fn take_log(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.log)
    }

    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    /// A listener begins, where an order is kept: alone, and after everything before it.
    pub(crate) fn begins_in_order(&mut self, member: usize, queue: &MessageQueue, offset: u64) {
        let running = self.running.entry(queue.clone()).or_default();
        match running.first() {
            Some(_) if self.excused_until.is_some_and(|until| Instant::now() < until) => self.excused += 1,
            Some(other) => {
                let when = self.began.elapsed().as_secs_f64();
                self.broken.push(format!(
                    "R-I5: members {other} and {member} handle messages of {queue} at once, at {when:.3}"
                ));
            }
            None => {}
        }
        running.push(member);
        let missing = (0..offset).find(|before| !self.settled.contains_key(&(queue.clone(), *before)));
        if let Some(missing) = missing {
            self.broken.push(format!("R-I5: {queue} {offset} is handed out before {missing} was settled"));
        }
    }

    /// It has ended, or was dropped.
    pub(crate) fn ends_in_order(&mut self, member: usize, queue: &MessageQueue) {
        let running = self.running.entry(queue.clone()).or_default();
        if let Some(index) = running.iter().position(|known| *known == member) {
            running.swap_remove(index);
        }
    }

    /// Its process is dead, and so are its listeners.
    pub(crate) fn died(&mut self, member: usize) {
        self.running.values_mut().for_each(|running| running.retain(|known| *known != member));
    }

    /// A broker has forgotten its locks.
    pub(crate) fn excuse(&mut self, time: Duration) {
        self.excused_until = self.excused_until.max(Some(Instant::now() + time));
    }

    /// A listener sees a message.
    pub(crate) fn seen(&mut self, member: usize, message: &ReceivedMessage) {
        let (queue, offset, attempt) = (message.queue(), message.offset(), message.attempt());
        self.detail(format_args!("member {member} sees {queue} {offset}: {}, attempt {attempt}", body_of(message)));
        let broker = message.queue().broker().to_string();
        self.places.insert((broker, message.commit_log_offset()), (message.queue().clone(), message.offset()));
    }

    /// What a listener draws for a message: the same for the n-th time that it is handed out, whoever handles it and whenever.
    pub(crate) fn draws_for(&mut self, seed: u64, message: &ReceivedMessage) -> Rng {
        let body = body_of(message);
        let number: u64 = body.trim_start_matches('m').parse().unwrap_or_default();
        let times = self.calls.entry(body).or_default();
        *times += 1;
        Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number).wrapping_mul(1_009).wrapping_add(*times))
    }

    /// A listener is done with a message.
    pub(crate) fn handled(&mut self, message: &ReceivedMessage) {
        *self.handled.entry(body_of(message)).or_default() += 1;
        self.settle((message.queue().clone(), message.offset()));
    }

    /// A broker takes a message back that failed: it comes again, or is a dead letter.
    pub(crate) fn given_back(&mut self, broker: &str, commit_log_offset: i64) {
        match self.places.get(&(broker.to_owned(), commit_log_offset)).cloned() {
            Some(place) => self.settle(place),
            None => self.broken.push(format!("{broker} got {commit_log_offset} back, which no listener has seen")),
        }
    }

    fn settle(&mut self, place: Place) {
        self.detail(format_args!("{} {} is settled", place.0, place.1));
        let now = self.tick();
        self.settled.entry(place).or_insert(now);
    }

    /// An offset reaches a broker.
    pub(crate) fn commits(&mut self, queue: MessageQueue, offset: u64) {
        self.detail(format_args!("{queue} is committed at {offset}"));
        let now = self.tick();
        self.commits.push((queue, offset, now));
    }

    /// Bodies that were confirmed and are neither handled nor dead letters.
    pub(crate) fn missing(&self, cluster: &TestCluster, dead_letters: &str) -> Vec<String> {
        let dead: BTreeSet<_> = cluster.messages(dead_letters).iter().map(body_of).collect();
        self.sent.iter().filter(|body| !self.handled.contains_key(*body) && !dead.contains(*body)).cloned().collect()
    }

    /// Everything that is not as promised.
    pub(crate) fn violations(&self, cluster: &TestCluster, topics: &[&str]) -> Vec<String> {
        let mut broken = self.broken.clone();
        // R-I4: when an offset is stored, everything below it has been settled.
        for topic in topics {
            for message in cluster.messages(topic) {
                let place = (message.queue().clone(), message.offset());
                let settled = self.settled.get(&place).copied().unwrap_or(usize::MAX);
                let early = self
                    .commits
                    .iter()
                    .find(|(queue, offset, when)| *queue == place.0 && *offset > place.1 && *when < settled);
                if let Some((queue, offset, _)) = early {
                    broken
                        .push(format!("R-I4: {queue} was committed at {offset}, and {} was not settled then", place.1));
                }
            }
        }
        broken
    }
}

pub(crate) fn body_of(message: &ReceivedMessage) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}
