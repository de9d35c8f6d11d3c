use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use ferrocket_backend::ServerEvent;
use ferrocket_model::{BrokerName, java_string_hash};
use ferrocket_protocol::{
    body::HeartbeatData,
    request::{Heartbeat, HeartbeatAnswer},
};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use crate::backend::Shared;

/// So many heartbeats in a row may be light; then one is full all the same, should a broker have lost something unnoticed.
const LIGHT_IN_A_ROW: u32 = 3;

/// What brokers have been told in full, so that the next heartbeat to them can be light: without subscriptions (INS-HB-05).
/// Bounded by the brokers that routes name.
#[derive(Default)]
pub(crate) struct Told {
    brokers: Mutex<HashMap<Arc<str>, Full>>,
}

#[derive(Clone, Copy)]
struct Full {
    /// The connection that it was told on: a broker that restarted has forgotten it (EDGE-09).
    connection: Instant,
    fingerprint: i32,
    light: u32,
}

impl Told {
    /// Whether a broker that understands it knows all this from before, over the same connection.
    fn knows(&self, address: &str, connection: Option<Instant>, fingerprint: i32) -> bool {
        self.brokers.lock().get(address).is_some_and(|full| {
            Some(full.connection) == connection && full.fingerprint == fingerprint && full.light < LIGHT_IN_A_ROW
        })
    }

    fn answered(
        &self,
        address: &Arc<str>,
        connection: Option<Instant>,
        fingerprint: i32,
        answer: &HeartbeatAnswer,
        was_light: bool,
    ) {
        let mut brokers = self.brokers.lock();
        match (connection, brokers.get_mut(address)) {
            (Some(_), Some(full)) if was_light && !answer.subscription_changed => full.light += 1,
            (Some(connection), _) if !was_light && answer.supports_v2 && !answer.subscription_changed => {
                brokers.insert(address.clone(), Full { connection, fingerprint, light: 0 });
            }
            _ => {
                brokers.remove(address);
            }
        }
    }

    fn forget(&self) {
        self.brokers.lock().clear();
    }
}

/// Heartbeats that have no answer yet, by broker. Brokers do what they are asked in any order: one that comes after the word that
/// somebody leaves makes him a member again, for two minutes. So whoever leaves waits for those of before (as with Java's lock of
/// heartbeats). Bounded by the brokers that routes name.
#[derive(Default)]
pub(crate) struct Unanswered {
    brokers: Mutex<HashMap<Arc<str>, Arc<watch::Sender<()>>>>,
}

impl Unanswered {
    /// A heartbeat is under way until what this gives back is dropped.
    fn begin(&self, address: &Arc<str>) -> watch::Receiver<()> {
        self.brokers.lock().entry(address.clone()).or_default().subscribe()
    }

    /// Forgets brokers that have answered everything.
    fn tidy(&self) {
        self.brokers.lock().retain(|_, heartbeats| !heartbeats.is_closed());
    }

    /// Waits until a broker has answered everything, as long as one may wait.
    pub(crate) async fn answered(&self, address: &str, limit: Duration) {
        let heartbeats = self.brokers.lock().get(address).cloned();
        if let Some(heartbeats) = heartbeats {
            // Otherwise it says nothing, and need not be expected to do anything.
            let _ = tokio::time::timeout(limit, heartbeats.closed()).await;
        }
    }
}

/// Any hash will do that is stable and not 0: brokers compare it with the one before. They keep one for each group, whichever member it
/// came from: it is the same for all members that want the same (INS-HB-05).
fn fingerprint(data: &HeartbeatData) -> i32 {
    let mut all = data.clone();
    all.client_id.clear();
    for subscription in all.consumer_data_set.iter_mut().flat_map(|consumer| &mut consumer.subscription_data_set) {
        subscription.sub_version = 0;
    }
    match java_string_hash(&String::from_utf8_lossy(&all.to_body())) {
        0 => 1,
        hash => hash,
    }
}

/// Tells every broker who is here, once per interval and whenever somebody asks for it; and drops connections to those that are
/// gone, once per interval.
pub(crate) async fn run(shared: Weak<Shared>) {
    let Some(strong) = shared.upgrade() else { return };
    let interval = strong.heartbeat_interval;
    drop(strong);
    let mut next = Instant::now() + interval;
    loop {
        let is_asked_for = {
            let Some(strong) = shared.upgrade() else { return };
            // Wakes up now and then to see whether the backend is still there.
            tokio::time::timeout_at(next, strong.members.woken()).await.is_ok()
        };
        let Some(strong) = shared.upgrade() else { return };
        next = Instant::now() + interval;
        if is_asked_for {
            // A connection may have been lost.
            strong.members.deliver_all(|| ServerEvent::ConnectionsChanged);
            strong.beat().await;
        } else {
            strong.brokers.drop_strangers(&strong.pool, |address| strong.name_servers.has(address));
            strong.clone().beat_lightly().await;
        }
    }
}

impl Shared {
    /// One round, in full: something is new. What brokers were told before counts no more, so the table holds those of now only.
    pub(crate) fn beat(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        self.told.forget();
        self.clone().beat_lightly()
    }

    /// One round: all brokers side by side, so that one that is away holds up nobody (R12). Light where the broker knows all.
    async fn beat_lightly(self: Arc<Self>) {
        if self.members.is_empty() {
            return;
        }
        let brokers = self.brokers.for_heartbeat(self.members.has_consumers());
        // Before it is looked up what to say: whoever leaves after that sees them under way.
        self.unanswered.tidy();
        let brokers: Vec<_> = brokers
            .into_iter()
            .map(|(broker, address)| {
                let unanswered = self.unanswered.begin(&address);
                (broker, address, unanswered)
            })
            .collect();
        let mut data = self.members.heartbeat();
        data.heartbeat_fingerprint = fingerprint(&data);
        let fingerprint = data.heartbeat_fingerprint;
        let full = Arc::new(Heartbeat::new(&data));
        data.without_sub = true;
        data.consumer_data_set.iter_mut().for_each(|consumer| consumer.subscription_data_set.clear());
        let light = Arc::new(Heartbeat::new(&data));
        let round = watch::Sender::default();
        for (broker, address, unanswered) in brokers {
            let (shared, full, light) = (self.clone(), full.clone(), light.clone());
            let under_way: watch::Receiver<()> = round.subscribe();
            // To its end, also when nobody waits for the round any more: it cannot be taken back.
            self.spawn(Box::pin(async move {
                shared.beat_once(&broker, &address, &full, &light, fingerprint).await;
                drop((unanswered, under_way));
            }));
        }
        round.closed().await;
    }

    async fn beat_once(
        &self,
        broker: &BrokerName,
        address: &Arc<str>,
        full: &Heartbeat,
        light: &Heartbeat,
        fingerprint: i32,
    ) {
        let connection = || self.pool.connected(address).map(|connection| connection.opened());
        let before = connection();
        let is_light = self.told.knows(address, before, fingerprint);
        let heartbeat = if is_light { light } else { full };
        let operation = || "send a heartbeat".to_owned();
        match self.call(broker, address, heartbeat, self.request_timeout, operation).await {
            Ok(answer) => {
                // A light one that went over a new connection told it nothing.
                let over = connection().filter(|after| !is_light || Some(*after) == before);
                self.told.answered(address, over, fingerprint, &answer, is_light);
            }
            Err(failure) => tracing::debug!(%failure, "a heartbeat did not arrive"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(supports_v2: bool, subscription_changed: bool) -> HeartbeatAnswer {
        HeartbeatAnswer::new(supports_v2, subscription_changed)
    }

    /// INS-HB-05.
    #[test]
    fn a_heartbeat_is_light_only_where_the_broker_knows_the_same_over_the_same_connection() {
        let (told, address, now) = (Told::default(), Arc::<str>::from("a:1"), Instant::now());
        let connection = Some(now);
        assert!(!told.knows(&address, connection, 7), "never told");
        told.answered(&address, connection, 7, &answer(false, false), false);
        assert!(!told.knows(&address, connection, 7), "the broker does not understand it");
        told.answered(&address, connection, 7, &answer(true, true), false);
        assert!(!told.knows(&address, connection, 7), "the broker has seen something else");
        told.answered(&address, connection, 7, &answer(true, false), false);
        assert!(told.knows(&address, connection, 7));
        assert!(!told.knows(&address, connection, 8), "something is new");
        let another = Some(now + Duration::from_secs(1));
        assert!(!told.knows(&address, another, 7), "EDGE-09: a broker that restarted has forgotten it");
        assert!(!told.knows(&address, None, 7));
    }

    #[test]
    fn a_change_that_the_broker_sees_makes_the_next_heartbeat_full_and_so_does_every_fourth() {
        let (told, address, connection) = (Told::default(), Arc::<str>::from("a:1"), Some(Instant::now()));
        told.answered(&address, connection, 7, &answer(true, false), false);
        told.answered(&address, connection, 7, &answer(true, true), true);
        assert!(!told.knows(&address, connection, 7));
        told.answered(&address, connection, 7, &answer(true, false), false);
        for _ in 0..LIGHT_IN_A_ROW {
            assert!(told.knows(&address, connection, 7));
            told.answered(&address, connection, 7, &answer(true, false), true);
        }
        assert!(!told.knows(&address, connection, 7));
        told.answered(&address, connection, 7, &answer(true, false), false);
        told.forget();
        assert!(!told.knows(&address, connection, 7));
    }
}
