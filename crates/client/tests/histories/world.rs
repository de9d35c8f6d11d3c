//! A cluster, a group, somebody who sends, and what goes wrong.

mod faults;

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use ferrocket::{Message, MessageQueue, Producer};
use ferrocket_testkit::TestCluster;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    books::Books,
    common::{SECOND, client_of, wire::Wire},
    history::{History, Line, Topics},
    member::Member,
    seat::Seat,
    watch::{Orders, end_of, watch},
};

pub(crate) const GROUP: &str = "billing";
/// Once everything is well again, no message may take longer after the one before it.
const RECOVERY: Duration = Duration::from_secs(200);

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
            member.wire.flip_before(b"", 0);
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
        let (mut fewest, mut since) = (usize::MAX, Instant::now());
        while since.elapsed() < RECOVERY {
            let missing = self.missing();
            if missing == 0 {
                break;
            }
            if missing < fewest {
                (fewest, since) = (missing, Instant::now());
            }
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

    /// How many messages they have yet to handle.
    fn missing(&self) -> usize {
        let topics = self.kind.topics();
        self.histories().iter().map(|history| history.lock().missing(&self.cluster, topics).len()).sum()
    }

    fn take_member(&mut self) -> Option<Member> {
        (!self.members.is_empty()).then(|| self.members.swap_remove(self.rng.usize(..self.members.len())))
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
