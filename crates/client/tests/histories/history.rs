//! What happened in a run, and what may not have.

mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use ferrocket::{MessageQueue, ReceivedMessage};
use ferrocket_testkit::TestCluster;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    ledger::{Ledger, Place},
    lives::Lives,
    replays::Replays,
};

/// Everything that a run did, in order.
pub(crate) struct History {
    began: Instant,
    /// Bodies that a broker confirmed.
    pub(crate) sent: Arc<Mutex<BTreeSet<String>>>,
    /// Whose it is, where each member has its own.
    seat: Option<usize>,
    /// Bodies that were handed out, and how often.
    calls: HashMap<String, u64>,
    /// Bodies that a listener handled, and how often.
    pub(crate) handled: BTreeMap<String, usize>,
    has_flips: bool,
    /// What listeners were given, by place.
    bodies: HashMap<Place, String>,
    /// Whether it began at the end of a queue.
    begins_late: bool,
    /// Bodies that were passed over after their last attempt, in broadcasting.
    skipped: BTreeSet<String>,
    replays: Replays,
    /// What became of each message.
    ledger: Ledger,
    lives: Lives,
    /// The lowest offset that was stored since a log began.
    lowest: HashMap<MessageQueue, u64>,
    /// Bodies that were stored on a broker that is gone, and dead letters that were.
    gone: BTreeSet<String>,
    gone_dead: BTreeSet<String>,
    /// Where the messages lie that a listener saw, by broker, the number of its log, and offset in that.
    places: HashMap<(String, usize, i64), Place>,
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
    log: Arc<Mutex<Vec<Line>>>,
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
            sent: Arc::default(),
            seat: None,
            calls: HashMap::new(),
            handled: BTreeMap::new(),
            has_flips: false,
            bodies: HashMap::new(),
            begins_late: false,
            skipped: BTreeSet::new(),
            replays: Replays::default(),
            ledger: Ledger::default(),
            lives: Lives::default(),
            lowest: HashMap::new(),
            gone: BTreeSet::new(),
            gone_dead: BTreeSet::new(),
            places: HashMap::new(),
            running: HashMap::new(),
            excused_until: None,
            excused: 0,
            broken: Vec::new(),
            clock: 0,
            log: Arc::default(),
        }
    }

    /// That of one member of a broadcasting group, which begins now.
    pub(crate) fn of_seat(&self, number: usize) -> Self {
        let (sent, log) = (self.sent.clone(), self.log.clone());
        let (gone, lives) = (self.gone.clone(), self.lives.elsewhere());
        Self { began: self.began, sent, seat: Some(number), gone, lives, log, ..Self::new() }
    }

    pub(crate) fn note(&mut self, what: impl Display) {
        self.write(what, false);
    }

    pub(crate) fn detail(&mut self, what: impl Display) {
        self.write(what, true);
    }

    fn write(&mut self, what: impl Display, is_detail: bool) {
        let text = format!("{:>9.3} {what}", self.began.elapsed().as_secs_f64());
        self.log.lock().push(Line { text, is_detail });
    }

    pub(crate) fn take_log(&self) -> Vec<Line> {
        std::mem::take(&mut self.log.lock())
    }

    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    /// A listener begins, where an order is kept: alone, and after everything before it.
    pub(crate) fn begins_in_order(&mut self, member: usize, message: &ReceivedMessage) {
        let place = self.place_of(message);
        let queue = &place.queue;
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
        if let Some(missing) = self.ledger.open_before(&place) {
            self.broken.push(format!("R-I5: {queue} {} is handed out before {missing} was settled", place.offset));
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

    /// Somebody stalls. Who has not heard of forgotten locks by then holds on until its lease ends.
    pub(crate) fn stalls(&mut self) {
        if self.excused_until.is_some_and(|until| Instant::now() < until) {
            self.excuse(Duration::from_secs(31));
        }
    }

    /// A listener sees a message.
    pub(crate) fn seen(&mut self, member: usize, message: &ReceivedMessage) {
        let (queue, offset, attempt) = (message.queue(), message.offset(), message.attempt());
        self.detail(format_args!("member {member} sees {queue} {offset}: {}, attempt {attempt}", body_of(message)));
        let place = self.place_of(message);
        if self.seat.is_some() && !self.replays.may_come(&place) {
            self.broken.push(format!("{queue} {offset} comes again, which was settled, for no reason"));
        }
        self.bodies.insert(place.clone(), body_of(message));
        self.places.insert((queue.broker().to_string(), place.life, message.commit_log_offset()), place);
    }

    fn place_of(&self, message: &ReceivedMessage) -> Place {
        Place { queue: message.queue().clone(), life: self.lives.of(message), offset: message.offset() }
    }

    /// What a listener draws for a message: the same for the n-th time that it is handed out, whoever handles it and whenever.
    pub(crate) fn draws_for(&mut self, seed: u64, message: &ReceivedMessage) -> Rng {
        let body = body_of(message);
        let number: u64 = body.trim_start_matches('m').parse().unwrap_or_default();
        let times = self.calls.entry(body).or_default();
        *times += 1;
        let seed = seed.wrapping_add(self.seat.unwrap_or_default() as u64 * 7_919);
        Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number).wrapping_mul(1_009).wrapping_add(*times))
    }

    /// A listener is done with a message.
    pub(crate) fn handled(&mut self, message: &ReceivedMessage) {
        *self.handled.entry(body_of(message)).or_default() += 1;
        // A late result, which counts for nobody: it comes again.
        if self.seat.is_none() || !message.is_revoked() {
            self.settle(self.place_of(message));
        }
    }

    /// A message has failed for the last time, where nobody takes it back.
    pub(crate) fn skips(&mut self, message: &ReceivedMessage) {
        self.skipped.insert(body_of(message));
        self.settle(self.place_of(message));
    }

    /// How many bodies were passed over after their last attempt.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped.len()
    }

    /// A process goes on where its store says.
    pub(crate) fn begins_anew(&mut self, who: usize, queue: &MessageQueue, offset: u64) {
        self.detail(format_args!("{queue} begins at {offset} for {who}"));
        self.lives.reads(who, queue);
        self.replays.begins(queue.clone(), offset, Duration::ZERO);
    }

    /// An offset is stored, elsewhere than on a broker.
    pub(crate) fn stored(&mut self, who: usize, queue: &MessageQueue, offset: u64) {
        self.lives.stored(who, queue, offset);
    }

    /// What is stored elsewhere of a queue.
    pub(crate) fn position(&self, queue: &MessageQueue) -> Option<u64> {
        self.lives.valid().find(|(known, _)| *known == queue).map(|(_, offset)| offset)
    }

    /// An administrator tells the member where to go on.
    pub(crate) fn is_told(&mut self, queue: &MessageQueue, offset: u64) {
        self.jump(queue, offset, "an administrator said so");
        self.replays.begins(queue.clone(), offset, Duration::from_secs(1));
    }

    /// A process has ended, and everything that it has settled by then should be stored: so much and no more comes again.
    pub(crate) fn process_ended(&mut self, began: Instant, then: Instant) {
        let place = |queue: &MessageQueue, offset| Place {
            queue: queue.clone(),
            life: self.lives.now(queue.broker().as_str()),
            offset,
        };
        let behind: Vec<_> = self
            .lives
            .valid()
            .map(|(queue, offset)| place(queue, offset))
            .filter(|place| self.replays.is_behind(place, began..=then))
            .map(|place| format!("{} of {} is stored, and that was settled long ago", place.offset, place.queue))
            .collect();
        self.broken.extend(behind);
    }

    /// Bits are turned from now on: messages may fail that no listener has seen.
    pub(crate) fn expects_flips(&mut self) {
        self.has_flips = true;
    }

    /// A broker takes a message back that failed: it comes again, or is a dead letter. `stored`: what it has at that place.
    pub(crate) fn given_back(
        &mut self,
        broker: &str,
        commit_log_offset: i64,
        stored: impl FnOnce() -> Option<ReceivedMessage>,
    ) {
        let life = self.lives.now(broker);
        let find = |life| self.places.get(&(broker.to_owned(), life, commit_log_offset)).cloned();
        if let Some(place) = find(life) {
            return self.settle(place);
        }
        let is_of_before = (0..life).any(|life| find(life).is_some());
        match stored() {
            // One whose body was broken on the way; or it means one of the log of before, and gives this one back.
            Some(message) if self.has_flips || is_of_before => self.settle(self.place_of(&message)),
            // The message is gone with its log.
            None if is_of_before => {}
            _ => self.broken.push(format!("{broker} got {commit_log_offset} back, which no listener has seen")),
        }
    }

    fn settle(&mut self, place: Place) {
        self.detail(format_args!("{} {} is settled", place.queue, place.offset));
        let now = self.tick();
        self.replays.settle(place.clone());
        self.ledger.settle(place, now);
    }

    /// Somebody asks where a queue begins.
    pub(crate) fn reads(&mut self, who: usize, queue: &MessageQueue) {
        self.lives.reads(who, queue);
    }

    /// An offset reaches a broker.
    pub(crate) fn commits(&mut self, who: usize, queue: MessageQueue, offset: u64) {
        self.detail(format_args!("{queue} is committed at {offset} by {who}"));
        let now = self.tick();
        let lowest = self.lowest.entry(queue.clone()).or_insert(offset);
        *lowest = offset.min(*lowest);
        if self.lives.commits(who, &queue, offset) {
            let life = self.lives.now(queue.broker().as_str());
            self.ledger.commit(queue, life, offset, now);
        }
    }

    /// A pull reaches a broker. `end` says where the queue ends.
    pub(crate) fn pulls(&mut self, who: usize, queue: &MessageQueue, offset: u64, end: impl FnOnce() -> u64) {
        if let Some(to) = self.lives.pulls(who, queue, offset, end) {
            self.jump(queue, to, format_args!("member {who} cannot know that the log is another"));
        }
    }

    /// The progress of a queue is set. What is below and not settled by now is passed over, by no fault of the client's; nothing else is.
    pub(crate) fn jump(&mut self, queue: &MessageQueue, to: u64, why: impl Display) {
        self.detail(format_args!("{queue} jumps to {to}: {why}"));
        let (life, now) = (self.lives.now(queue.broker().as_str()), self.tick());
        self.ledger.jump(queue, life, to, now);
    }
}

/// Where a group's messages are.
pub(crate) struct Topics {
    /// What it consumes.
    pub(crate) consumed: &'static [&'static str],
    pub(crate) dead_letters: &'static str,
}

impl Topics {
    fn messages(&self, cluster: &TestCluster) -> Vec<ReceivedMessage> {
        self.consumed.iter().flat_map(|topic| cluster.messages(topic)).collect()
    }
}

pub(crate) fn body_of(message: &ReceivedMessage) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}
