//! A cluster, a group, somebody who sends, and what goes wrong.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use ferrocket::{Message, MessageQueue, Producer};
use ferrocket_testkit::{Action, Call, ResponseCode, TestCluster};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    books::Books,
    common::{SECOND, client_of, wire::Wire},
    history::{History, Line, Topics},
    member::Member,
    seat::Seat,
    servers,
    watch::{Orders, end_of, watch},
};

pub(crate) const GROUP: &str = "billing";
/// Once everything is well again, nothing may take longer.
const RECOVERY: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Concurrent,
    Orderly,
    Broadcast,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Concurrent, Self::Orderly, Self::Broadcast];

    pub(crate) fn max_attempts(self) -> u32 {
        match self {
            Self::Concurrent => 5,
            Self::Orderly => 6,
            Self::Broadcast => 3,
        }
    }

    fn topics(self) -> &'static Topics {
        match self {
            Self::Broadcast => &Topics { consumed: &["Orders"], dead_letters: "%DLQ%billing" },
            _ => &Topics { consumed: &["Orders", "%RETRY%billing"], dead_letters: "%DLQ%billing" },
        }
    }
}

/// What a run did.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) delivered: usize,
    /// Messages that were handled more than once.
    pub(crate) again: usize,
    /// Messages that were set past, or that a client could not know of.
    pub(crate) passed: usize,
    /// Confirmed messages that were lost with their brokers.
    pub(crate) gone: usize,
    /// Messages that were passed over after their last attempt, in broadcasting.
    pub(crate) skipped: usize,
    pub(crate) faults: usize,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { delivered, again, passed, gone, skipped, faults } = other;
        self.delivered += delivered;
        self.again += again;
        self.passed += passed;
        self.gone += gone;
        self.skipped += skipped;
        self.faults += faults;
    }
}

pub(crate) struct World {
    seed: u64,
    /// What happens, whatever the client draws in between: the order of things that happen at the same time may differ from run to run,
    /// because `watch` of tokio and hash tables choose one.
    rng: Rng,
    cluster: Arc<TestCluster>,
    kind: Kind,
    books: Books,
    members: Vec<Member>,
    /// Of all that were ever there: who is dropped may still be about to end.
    wires: Vec<Arc<Wire>>,
    queues: u32,
    joined: usize,
    /// Seats that nobody has now, and how many there are.
    free: Vec<Seat>,
    seats: usize,
    faults: usize,
    orders: Orders,
    /// Whether a broker was replaced by an empty one.
    replaced: bool,
}

impl World {
    /// One run. Panics with the seed, what happened, and what may not have.
    pub(crate) fn run(seed: u64, kind: Kind) -> Summary {
        let (summary, broken, log) = Self::play(seed, kind);
        let is_alone = std::env::var_os("FERROCKET_SEED").is_some();
        if is_alone || !broken.is_empty() {
            let shown = log.iter().filter(|line| is_alone || !line.is_detail);
            shown.for_each(|line| println!("{}", line.text));
        }
        assert!(broken.is_empty(), "{kind:?}, seed {seed}:\n{}", broken.join("\n"));
        summary
    }

    /// One run: what it did, what may not have been, and what happened.
    pub(crate) fn play(seed: u64, kind: Kind) -> (Summary, Vec<String>, Vec<Line>) {
        // What the client draws for itself.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut world = Self::start(seed, kind).await;
            world.live().await;
            world.judge().await
        })
    }

    async fn start(seed: u64, kind: Kind) -> Self {
        let mut rng = Rng::with_seed(seed);
        let queues = rng.u32(1..4);
        let builder = TestCluster::builder().in_memory().brokers(rng.usize(1..4)).topic("Orders", queues);
        let cluster = Arc::new(builder.retry_delay(Duration::from_millis(200)).start().await.expect("it starts"));
        let books = Books::new(kind == Kind::Broadcast);
        let orders = Orders::default();
        watch(&cluster, &books, &orders);
        Self {
            seed,
            rng,
            cluster,
            kind,
            books,
            members: Vec::new(),
            wires: Vec::new(),
            queues,
            joined: 0,
            free: Vec::new(),
            seats: 0,
            faults: 0,
            orders,
            replaced: false,
        }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.books.base.lock().note(what);
    }

    /// Messages are sent while members come and go and things break; then everything is well again.
    async fn live(&mut self) {
        let sender = client_of(&self.cluster).instance_name("sender").connect().await.expect("it connects");
        let producer = sender.producer("shop").build().await.expect("it builds");
        let sending = tokio::spawn(send(producer, self.books.base.clone(), self.rng.usize(150..350), self.rng.fork()));
        for _ in 0..self.rng.usize(1..4) {
            self.join().await;
        }
        for _ in 0..self.rng.usize(6..20) {
            tokio::time::sleep(Duration::from_millis(self.rng.u64(50..6_000))).await;
            self.fault().await;
        }
        self.note("heals");
        self.orders.clear();
        for name in self.cluster.broker_names() {
            let broker = self.cluster.broker(&name);
            broker.resume();
            if !broker.is_running() {
                broker.restart().await.expect("it starts");
            }
        }
        self.members.iter().for_each(|member| {
            member.wire.plug();
            member.wire.thaw();
        });
        // Who was there is there again, and goes on.
        for seat in std::mem::take(&mut self.free) {
            self.join_on(Some(seat)).await;
        }
        if self.members.is_empty() {
            self.join().await;
        }
        sending.await.expect("no panic");
        let waiting = Instant::now();
        while waiting.elapsed() < RECOVERY && !self.is_done() {
            tokio::time::sleep(SECOND / 2).await;
        }
        self.note(format_args!("everything is handled {:?} later", waiting.elapsed()));
        if self.replaced {
            // Locks of the dead have ended by then, and everybody has pulled, and stored what it was told.
            tokio::time::sleep(75 * SECOND).await;
        }
    }

    async fn join(&mut self) {
        let seat = (self.kind == Kind::Broadcast).then(|| self.seat());
        self.join_on(seat).await;
    }

    async fn join_on(&mut self, seat: Option<Seat>) {
        self.joined += 1;
        let number = self.joined;
        let history = self.books.of(seat.as_ref().map_or(number, |seat| seat.number));
        match &seat {
            Some(seat) => self.note(format_args!("member {number} joins on seat {}", seat.number)),
            None => self.note(format_args!("member {number} joins")),
        }
        if let Some(member) = Member::join(&self.cluster, self.kind, number, self.seed, &history, seat.clone()).await {
            self.wires.push(member.wire.clone());
            self.members.push(member);
        } else {
            self.free.extend(seat);
        }
    }

    /// One that was left, or a new one.
    fn seat(&mut self) -> Seat {
        if self.free.is_empty() || (self.seats < 5 && self.rng.bool()) {
            self.seats += 1;
            // A real disk now and then: it takes real time.
            let has_folder = self.seed.is_multiple_of(10) && self.seats == 2;
            return Seat::new(self.seats, self.books.of(self.seats), has_folder);
        }
        self.free.swap_remove(self.rng.usize(..self.free.len()))
    }

    /// The histories of those who are there.
    fn histories(&self) -> Vec<Arc<Mutex<History>>> {
        if self.kind != Kind::Broadcast {
            return self.books.all();
        }
        self.members.iter().filter_map(|member| Some(member.seat.as_ref()?.history.clone())).collect()
    }

    fn is_done(&self) -> bool {
        let topics = self.kind.topics();
        self.histories().iter().all(|history| history.lock().missing(&self.cluster, topics).is_empty())
    }

    fn take_member(&mut self) -> Option<Member> {
        (!self.members.is_empty()).then(|| self.members.swap_remove(self.rng.usize(..self.members.len())))
    }

    /// One thing goes wrong, or changes.
    async fn fault(&mut self) {
        self.faults += 1;
        // Of its own for each fault, so that one that draws more changes none of the others.
        let mut rng = self.rng.fork();
        let names = self.cluster.broker_names();
        let name = names[self.rng.usize(..names.len())].clone();
        let mut millis = |range| Duration::from_millis(rng.u64(range));
        match self.rng.u32(0..17) {
            0..2 if self.members.len() < 4 => self.join().await,
            2 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} leaves", member.number));
                    let deadline = millis(100..20_000);
                    self.free.extend(member.leave(deadline).await);
                }
            }
            3 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} crashes", member.number));
                    let history = self.books.of(member.who());
                    self.free.extend(member.crash(&history));
                }
            }
            4 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} is dropped", member.number));
                    drop(member);
                }
            }
            5 => {
                if let Some(member) = self.members.first() {
                    let time = millis(100..70_000);
                    self.note(format_args!("member {} stalls for {time:?}", member.number));
                    let wire = member.wire.clone();
                    wire.freeze();
                    self.books.base.lock().stalls();
                    tokio::spawn(async move {
                        tokio::time::sleep(time).await;
                        wire.thaw();
                    });
                }
            }
            6 => {
                if let Some(member) = self.members.last() {
                    self.note(format_args!("member {} is cut off for a moment", member.number));
                    member.wire.cut();
                }
            }
            7 => {
                self.note(format_args!("{name} stops and starts"));
                let broker = self.cluster.broker(&name);
                broker.stop();
                tokio::time::sleep(millis(10..8_000)).await;
                let _ = if self.rng.bool() { broker.restart().await } else { broker.restart_on_same_port().await };
                // The broker has forgotten its locks. Who had one hears of that with its connection; a member on whose wire nothing
                // moves cannot, and holds on until its lease ends (CON-BUG-33).
                self.locks_are_forgotten();
            }
            8 => {
                self.note(format_args!("{name} is silent"));
                self.cluster.broker(&name).pause();
                tokio::time::sleep(millis(100..10_000)).await;
                self.cluster.broker(&name).resume();
            }
            9 => {
                self.queues += 1;
                self.note(format_args!("the topic grows to {} queues", self.queues));
                self.cluster.create_topic("Orders", self.queues);
            }
            10 => {
                if let Some(member) = self.members.first() {
                    let (number, id) = (member.number, member.client.client_id().to_owned());
                    let what = servers::ask(&self.cluster, &id, rng.u32(..)).await;
                    self.note(format_args!("member {number} is asked {what}"));
                }
            }
            11 => {
                let queue = MessageQueue::new("Orders", name, rng.u32(..self.queues));
                // Forward in every third run, so that in the others nobody may pass over anything.
                let may_skip = self.seed.is_multiple_of(3);
                // Who stalls would hear of it much later.
                let (by, by_broker) = (rng.i64(if may_skip { -20..40 } else { -20..1 }), rng.bool() || self.stalls());
                self.note(format_args!("{queue} is set by {by}, by the broker: {by_broker}"));
                self.set(&queue, by, by_broker);
            }
            // In every second run, so that in the others nothing at all may be lost.
            12 if self.seed.is_multiple_of(2) => {
                self.note(format_args!("{name} is replaced by an empty one"));
                let broker = self.cluster.broker(&name);
                let port = broker.address().rsplit(':').next().and_then(|port| port.parse().ok());
                self.replaced = true;
                self.books.lose_log(&name, port.expect("it runs"), &self.cluster, self.kind.topics());
                broker.erase();
                tokio::time::sleep(millis(10..8_000)).await;
                broker.restart().await.expect("it starts");
                self.locks_are_forgotten();
            }
            13 if self.kind == Kind::Broadcast => {
                if let Some(member) = self.members.first() {
                    let times = rng.usize(1..8);
                    self.note(format_args!("the disk of member {} fails {times} times", member.number));
                    member.seat.as_ref().inspect(|seat| seat.fail(times));
                }
            }
            kind => {
                let calls = [
                    Call::SendBack,
                    Call::CommitOffset,
                    Call::ReadOffset,
                    Call::ConsumerList,
                    Call::Lock,
                    Call::Unlock,
                    Call::Pull,
                    Call::Heartbeat,
                ];
                let call = calls[self.rng.usize(..calls.len())];
                let times = self.rng.usize(1..6);
                let action = match kind {
                    12 | 13 => Action::Answer(ResponseCode::SYSTEM_ERROR, "a fault of this test".to_owned()),
                    14 => Action::ApplyThenDisconnect,
                    15 => Action::DropRequest,
                    _ => Action::Delay(millis(10..4_000)),
                };
                self.note(format_args!("{times} times {call:?}: {action:?}"));
                self.orders.add(call, times, action);
            }
        }
    }

    /// An administrator sets an offset.
    fn set(&self, queue: &MessageQueue, by: i64, by_broker: bool) {
        if self.kind != Kind::Broadcast {
            let stored = self.cluster.committed_offset(GROUP, queue);
            let Some(offset) = servers::place_near(&self.cluster, queue, stored, by) else { return };
            self.books.base.lock().jump(queue, offset, "an administrator said so");
            return servers::set(&self.cluster, queue, offset, by_broker);
        }
        // A broker says it to one member only, and to those that do not stall at once.
        let seats: Vec<_> = self.members.iter().filter_map(|member| member.seat.as_ref()).collect();
        let stored = seats.first().and_then(|seat| seat.history.lock().position(queue));
        let Some(offset) = servers::place_near(&self.cluster, queue, stored, by).filter(|_| !self.stalls()) else {
            return;
        };
        seats.iter().for_each(|seat| seat.history.lock().is_told(queue, offset));
        servers::set(&self.cluster, queue, offset, false);
    }

    /// Whether nothing moves on somebody's wire.
    fn stalls(&self) -> bool {
        self.wires.iter().any(|wire| wire.is_frozen())
    }

    /// A broker began anew. Who had a lock hears of that with its next connection there, or when its lease ends.
    fn locks_are_forgotten(&self) {
        self.books.base.lock().excuse(if self.stalls() { 31 * SECOND } else { 6 * SECOND });
    }

    /// Ends the run, and holds it against the promises.
    async fn judge(mut self) -> (Summary, Vec<String>, Vec<Line>) {
        let there = self.histories();
        for member in std::mem::take(&mut self.members) {
            member.leave(60 * SECOND).await;
        }
        let topics = self.kind.topics();
        let mut summary = Summary { faults: self.faults, ..Summary::default() };
        let mut broken = Vec::new();
        for history in self.books.all() {
            let history = history.lock();
            broken.extend(history.violations(&self.cluster, topics));
            summary.delivered += history.handled.len();
            summary.again += history.handled.values().filter(|times| **times > 1).count();
            let (passed, gone) = history.excuses();
            summary.passed += passed;
            summary.gone += gone;
            summary.skipped += history.skipped();
        }
        for id in 0..self.queues {
            for name in self.cluster.broker_names() {
                let queue = MessageQueue::new("Orders", name, id);
                let end = end_of(&self.cluster, &queue);
                if self.books.base.lock().is_uncorrected(&queue, end) {
                    broken.push(format!("R-I4: {queue} ends at {end}, and more is stored at the end of all"));
                }
            }
        }
        for history in there {
            broken.extend(history.lock().lost(&self.cluster, topics));
        }
        let log = self.books.base.lock().take_log();
        (summary, broken, log)
    }
}

/// Sends messages with keys, some close together and some not.
async fn send(producer: Producer, history: Arc<Mutex<History>>, count: usize, mut rng: Rng) {
    for n in 0..count {
        let body = format!("m{n}");
        let message = Message::new("Orders", body.clone()).with_sharding_key(n % 5);
        let message = if n % 3 == 0 { Message::new("Orders", body.clone()) } else { message };
        if producer.send(message).await.is_ok() {
            history.lock().sent.lock().insert(body);
        }
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..1_500))).await;
        }
    }
}
