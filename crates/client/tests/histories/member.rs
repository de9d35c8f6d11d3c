//! One member of the group, with its client and its wire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use ferrocket::{Client, ConsumeFrom, Outcome, PushConsumer, ReceivedMessage};
use ferrocket_testkit::TestCluster;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    common::wire::{Wire, wired_over},
    history::History,
    seat::{COMMIT_INTERVAL, Seat},
    world::{GROUP, Kind},
};

/// Some listeners take longer.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Member {
    pub(crate) number: usize,
    /// What it leaves to its next process, in broadcasting.
    pub(crate) seat: Option<Seat>,
    began: Instant,
    pub(crate) client: Client,
    _consumer: PushConsumer,
    pub(crate) wire: Arc<Wire>,
    /// Its process is dead: what its listeners do does not count.
    is_dead: Arc<AtomicBool>,
}

impl Member {
    /// Joins the group. `None` when its wire or the servers fail it.
    pub(crate) async fn join(
        cluster: &TestCluster,
        kind: Kind,
        number: usize,
        seed: u64,
        history: &Arc<Mutex<History>>,
        seat: Option<Seat>,
    ) -> Option<Self> {
        let who = seat.as_ref().map_or(number, |seat| seat.number);
        let (client, wire) = wired_over(cluster, cluster.connector().named(who.to_string()));
        let began = Instant::now();
        let client = client.instance_name(format!("m{number}")).connect().await.ok()?;
        let is_dead = Arc::new(AtomicBool::new(false));
        let builder = client.push_consumer(GROUP).subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
        let is_orderly = kind == Kind::Orderly || seat.as_ref().is_some_and(Seat::is_orderly);
        let listener = {
            let (history, is_dead) = (history.clone(), is_dead.clone());
            move |message: ReceivedMessage| {
                let (history, is_dead) = (history.clone(), is_dead.clone());
                async move {
                    let rng = history.lock().draws_for(seed, &message);
                    let handling = Handling { kind, is_orderly, history, is_dead, message };
                    handling.run(number, rng).await
                }
            }
        };
        let builder = builder
            .concurrency(Rng::with_seed(seed.wrapping_add(number as u64)).usize(1..8))
            .commit_interval(COMMIT_INTERVAL);
        let builder = match &seat {
            Some(seat) => builder.consume_from(seat.begins()).broadcast(seat.store(&is_dead)),
            None => builder,
        };
        let builder = builder.max_attempts(kind.max_attempts());
        let consumer = match is_orderly {
            false => builder.concurrent(listener).handler_timeout(HANDLER_TIMEOUT).build().await,
            true => builder.orderly(listener).build().await,
        };
        Some(Self { number, seat, began, client, _consumer: consumer.ok()?, wire, is_dead })
    }

    /// Whose history its own is.
    pub(crate) fn who(&self) -> usize {
        self.seat.as_ref().map_or(self.number, |seat| seat.number)
    }

    /// Its process ends without a word.
    pub(crate) fn crash(self, history: &Mutex<History>) -> Option<Seat> {
        self.is_dead.store(true, Ordering::SeqCst);
        history.lock().died(self.number);
        self.wire.unplug();
        // What was settled since it stored last is not stored.
        self.seat.as_ref().inspect(|seat| seat.ended(self.began, Instant::now() - 2 * COMMIT_INTERVAL));
        self.seat
    }

    /// It ends well, within some time, or not. The seat is free again.
    pub(crate) async fn leave(self, within: Duration) -> Option<Seat> {
        let went_well = self.client.shutdown().within(within).await.is_ok();
        self.seat.as_ref().filter(|_| went_well).inspect(|seat| seat.ended(self.began, Instant::now()));
        self.seat
    }
}

/// One call of the listener.
struct Handling {
    kind: Kind,
    is_orderly: bool,
    history: Arc<Mutex<History>>,
    is_dead: Arc<AtomicBool>,
    message: ReceivedMessage,
}

impl Handling {
    async fn run(self, member: usize, mut rng: Rng) -> Outcome {
        if self.is_alive() {
            self.history.lock().seen(member, &self.message);
        }
        if self.is_orderly && self.is_alive() {
            self.history.lock().begins_in_order(member, &self.message);
        }
        // From here on it ends in the history however it ends.
        let mut running = Running { handling: &self, member, began: Instant::now(), has_returned: false };
        let dawdles = match rng.u32(0..100) {
            0 => rng.u64(5_000..40_000),
            1..10 => rng.u64(100..2_000),
            _ => rng.u64(0..20),
        };
        tokio::time::sleep(Duration::from_millis(dawdles)).await;
        running.has_returned = true;
        if !self.is_alive() {
            return Outcome::consumed();
        }
        match rng.u32(0..100) {
            0..2 => {
                self.fails(false);
                std::panic::resume_unwind(Box::new("a panic of this test"))
            }
            2..10 => {
                self.fails(false);
                Outcome::retry("a failure of this test").after(Duration::from_millis(rng.u64(10..3_000)))
            }
            10 => {
                self.fails(true);
                Outcome::dead_letter("a failure of this test")
            }
            _ => {
                self.history.lock().handled(&self.message);
                Outcome::consumed()
            }
        }
    }

    /// In broadcasting nobody takes a message back: after its last attempt it is passed over.
    fn fails(&self, for_good: bool) {
        let is_last = for_good || self.message.attempt() >= self.kind.max_attempts();
        if self.kind == Kind::Broadcast && is_last && !self.message.is_revoked() {
            self.history.lock().skips(&self.message);
        }
    }

    fn is_alive(&self) -> bool {
        !self.is_dead.load(Ordering::SeqCst)
    }
}

struct Running<'a> {
    handling: &'a Handling,
    member: usize,
    began: Instant,
    has_returned: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Handling { is_orderly, history, message, .. } = self.handling;
        if !self.handling.is_alive() {
            return;
        }
        if *is_orderly {
            history.lock().ends_in_order(self.member, message.queue());
        } else if !self.has_returned && self.began.elapsed() >= HANDLER_TIMEOUT {
            self.handling.fails(false);
        }
    }
}
