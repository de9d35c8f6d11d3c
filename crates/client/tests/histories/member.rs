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

use crate::{
    common::wire::{Wire, wired_over},
    history::History,
    world::{GROUP, Kind},
};

/// Some listeners take longer.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Member {
    pub(crate) number: usize,
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
    ) -> Option<Self> {
        let (client, wire) = wired_over(cluster, cluster.connector().named(number.to_string()));
        let client = client.instance_name(format!("m{number}")).connect().await.ok()?;
        let is_dead = Arc::new(AtomicBool::new(false));
        let builder = client.push_consumer(GROUP).subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
        let listener = {
            let (history, is_dead) = (history.clone(), is_dead.clone());
            move |message: ReceivedMessage| {
                let (history, is_dead) = (history.clone(), is_dead.clone());
                async move {
                    let rng = history.lock().draws_for(seed, &message);
                    let handling = Handling { kind, history, is_dead, message };
                    handling.run(number, rng).await
                }
            }
        };
        let builder = builder
            .concurrency(Rng::with_seed(seed.wrapping_add(number as u64)).usize(1..8))
            .commit_interval(Duration::from_millis(700));
        let consumer = match kind {
            Kind::Concurrent => {
                builder.max_attempts(5).concurrent(listener).handler_timeout(HANDLER_TIMEOUT).build().await
            }
            Kind::Orderly => builder.max_attempts(6).orderly(listener).build().await,
        };
        Some(Self { number, client, _consumer: consumer.ok()?, wire, is_dead })
    }

    /// Its process ends without a word.
    pub(crate) fn crash(self, history: &Mutex<History>) {
        self.is_dead.store(true, Ordering::SeqCst);
        history.lock().died(self.number);
        self.wire.unplug();
    }
}

/// One call of the listener.
struct Handling {
    kind: Kind,
    history: Arc<Mutex<History>>,
    is_dead: Arc<AtomicBool>,
    message: ReceivedMessage,
}

impl Handling {
    async fn run(self, member: usize, mut rng: Rng) -> Outcome {
        self.history.lock().seen(member, &self.message);
        if self.kind == Kind::Orderly && self.is_alive() {
            self.history.lock().begins_in_order(member, &self.message);
        }
        // From here on it ends in the history however it ends.
        let _running = Running { handling: &self, member };
        let dawdles = match rng.u32(0..100) {
            0 => rng.u64(5_000..40_000),
            1..10 => rng.u64(100..2_000),
            _ => rng.u64(0..20),
        };
        tokio::time::sleep(Duration::from_millis(dawdles)).await;
        if !self.is_alive() {
            return Outcome::consumed();
        }
        match rng.u32(0..100) {
            0..2 => std::panic::resume_unwind(Box::new("a panic of this test")),
            2..10 => Outcome::retry("a failure of this test").after(Duration::from_millis(rng.u64(10..3_000))),
            10 => Outcome::dead_letter("a failure of this test"),
            _ => {
                self.history.lock().handled(&self.message);
                Outcome::consumed()
            }
        }
    }

    fn is_alive(&self) -> bool {
        !self.is_dead.load(Ordering::SeqCst)
    }
}

struct Running<'a> {
    handling: &'a Handling,
    member: usize,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Handling { kind, history, message, .. } = self.handling;
        if *kind == Kind::Orderly && self.handling.is_alive() {
            history.lock().ends_in_order(self.member, message.queue());
        }
    }
}
