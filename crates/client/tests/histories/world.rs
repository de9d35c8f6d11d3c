//! A cluster, a group, somebody who sends, and what goes wrong.

use std::{sync::Arc, time::Duration};

use ferrocket::{Message, Producer};
use ferrocket_testkit::{Action, Call, ResponseCode, TestCluster};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    common::{SECOND, client_of},
    history::{History, body_of},
    member::Member,
    watch::{Orders, watch},
};

pub(crate) const GROUP: &str = "billing";
const TOPICS: [&str; 2] = ["Orders", "%RETRY%billing"];
const DEAD_LETTERS: &str = "%DLQ%billing";
/// Once everything is well again, nothing may take longer.
const RECOVERY: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Concurrent,
    Orderly,
}

/// What a run did.
pub(crate) struct Summary {
    pub(crate) delivered: usize,
    /// Messages that were handled more than once.
    pub(crate) again: usize,
    pub(crate) faults: usize,
}

pub(crate) struct World {
    cluster: TestCluster,
    kind: Kind,
    history: Arc<Mutex<History>>,
    members: Vec<Member>,
    queues: u32,
    joined: usize,
    faults: usize,
    orders: Orders,
    stalled_until: Option<Instant>,
}

impl World {
    /// One run. Panics with the seed, what happened, and what may not have.
    pub(crate) fn run(seed: u64, kind: Kind) -> Summary {
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let (summary, broken, log) = runtime.expect("a runtime").block_on(async {
            let mut world = Self::start(kind).await;
            world.live().await;
            world.judge().await
        });
        if std::env::var_os("FERROCKET_SEED").is_some() || !broken.is_empty() {
            log.iter().for_each(|line| println!("{line}"));
        }
        assert!(broken.is_empty(), "{kind:?}, seed {seed}:\n{}", broken.join("\n"));
        summary
    }

    async fn start(kind: Kind) -> Self {
        let queues = fastrand::u32(1..4);
        let builder = TestCluster::builder().in_memory().brokers(fastrand::usize(1..4)).topic("Orders", queues);
        let cluster = builder.retry_delay(Duration::from_millis(200)).start().await.expect("it starts");
        let history = Arc::new(Mutex::new(History::new()));
        let orders = Orders::default();
        watch(&cluster, &history, &orders);
        Self { cluster, kind, history, members: Vec::new(), queues, joined: 0, faults: 0, orders, stalled_until: None }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.history.lock().note(&what.to_string());
    }

    /// Messages are sent while members come and go and things break; then everything is well again.
    async fn live(&mut self) {
        let sender = client_of(&self.cluster).instance_name("sender").connect().await.expect("it connects");
        let producer = sender.producer("shop").build().await.expect("it builds");
        let sending = tokio::spawn(send(producer, self.history.clone(), fastrand::usize(150..350)));
        for _ in 0..fastrand::usize(1..4) {
            self.join().await;
        }
        for _ in 0..fastrand::usize(6..20) {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(50..6_000))).await;
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
        if self.members.is_empty() {
            self.join().await;
        }
        sending.await.expect("no panic");
        let waiting = Instant::now();
        while waiting.elapsed() < RECOVERY && !self.history.lock().missing(&self.cluster, DEAD_LETTERS).is_empty() {
            tokio::time::sleep(SECOND / 10).await;
        }
        self.note(format_args!("everything is handled {:?} later", waiting.elapsed()));
    }

    async fn join(&mut self) {
        self.joined += 1;
        let number = self.joined;
        self.note(format_args!("member {number} joins"));
        if let Some(member) = Member::join(&self.cluster, self.kind, number, &self.history).await {
            self.members.push(member);
        }
    }

    fn take_member(&mut self) -> Option<Member> {
        (!self.members.is_empty()).then(|| self.members.swap_remove(fastrand::usize(..self.members.len())))
    }

    /// One thing goes wrong, or changes.
    async fn fault(&mut self) {
        self.faults += 1;
        let names = self.cluster.broker_names();
        let name = names[fastrand::usize(..names.len())].clone();
        let millis = |range| Duration::from_millis(fastrand::u64(range));
        match fastrand::u32(0..14) {
            0..2 if self.members.len() < 4 => self.join().await,
            2 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} leaves", member.number));
                    let deadline = millis(100..20_000);
                    let _ = member.client.shutdown().within(deadline).await;
                }
            }
            3 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} crashes", member.number));
                    member.crash(&self.history);
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
                    self.stalled_until = self.stalled_until.max(Some(Instant::now() + time));
                    self.history.lock().prolong_excuse(31 * SECOND);
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
                let _ = if fastrand::bool() { broker.restart().await } else { broker.restart_on_same_port().await };
                // Who is well hears of it with its next connection, which may take 5 s, and a question a second later; who stalls, when
                // its lease ends.
                let is_stalled = self.stalled_until.is_some_and(|until| Instant::now() < until);
                self.history.lock().excuse(SECOND * if is_stalled { 31 } else { 8 });
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
                let call = calls[fastrand::usize(..calls.len())];
                let times = fastrand::usize(1..6);
                let action = match kind {
                    10 => Action::Answer(ResponseCode::SYSTEM_ERROR, "a fault of this test".to_owned()),
                    11 => Action::ApplyThenDisconnect,
                    12 => Action::DropRequest,
                    _ => Action::Delay(millis(10..4_000)),
                };
                self.note(format_args!("{times} times {call:?}: {action:?}"));
                self.orders.add(call, times, action);
            }
        }
    }

    /// Ends the run, and holds it against the promises.
    async fn judge(mut self) -> (Summary, Vec<String>, Vec<String>) {
        for member in std::mem::take(&mut self.members) {
            let _ = member.client.shutdown().within(60 * SECOND).await;
        }
        let history = self.history.lock();
        let mut broken = history.violations(&self.cluster, &TOPICS);
        let lost = history.missing(&self.cluster, DEAD_LETTERS);
        if !lost.is_empty() {
            let there: Vec<_> = self
                .cluster
                .messages("Orders")
                .iter()
                .filter(|message| lost.contains(&body_of(message)))
                .map(|message| format!("{} {}", message.queue(), message.offset()))
                .collect();
            broken.push(format!("R-I3: lost {lost:?}, stored at {there:?}"));
        }
        let again = history.handled.values().filter(|times| **times > 1).count();
        let summary = Summary { delivered: history.handled.len(), again, faults: self.faults };
        (summary, broken, history.log().to_vec())
    }
}

/// Sends messages with keys, some close together and some not.
async fn send(producer: Producer, history: Arc<Mutex<History>>, count: usize) {
    for n in 0..count {
        let body = format!("m{n}");
        let message = Message::new("Orders", body.clone()).with_sharding_key(n % 5);
        let message = if n % 3 == 0 { Message::new("Orders", body.clone()) } else { message };
        if producer.send(message).await.is_ok() {
            history.lock().sent.insert(body);
        }
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..1_500))).await;
        }
    }
}
