use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use ferrocket_model::{BrokerName, MessageQueue, Topic};
use ferrocket_protocol::body::TopicRoute;
use ferrocket_remoting::{Endpoint, Pool};
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use tokio::{sync::Notify, time::Instant};

/// A broker that no route has named for this long is forgotten, and heartbeats to it end.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// The address book: which broker is where, as routes say it, and which brokers have a topic.
#[derive(Default)]
pub(crate) struct Brokers {
    /// Whether sends go to the second port.
    vip_channel: bool,
    /// Bounded by what name servers list.
    brokers: RwLock<HashMap<BrokerName, Broker, RandomState>>,
    topics: RwLock<HashMap<Topic, Vec<BrokerName>>>,
    /// From which broker id to pull, where the master said that it is not itself. One entry per queue that is consumed.
    suggested: RwLock<HashMap<MessageQueue, u64>>,
    /// Rings when an address is new.
    news: Notify,
}

struct Broker {
    master: Option<Arc<str>>,
    /// The master's place in the pool, for sends. `None` without a master, and once the pool is closed.
    endpoint: Option<Endpoint>,
    slaves: Vec<(u64, Arc<str>)>,
    seen: Instant,
}

impl Broker {
    fn addresses(&self) -> impl Iterator<Item = &str> {
        let sends = self.endpoint.as_ref().map(Endpoint::address);
        self.master.as_deref().into_iter().chain(sends).chain(self.slaves.iter().map(|(_, address)| &**address))
    }
}

impl Brokers {
    pub(crate) fn new(vip_channel: bool) -> Self {
        Self { vip_channel, ..Self::default() }
    }

    /// Takes over what a route says. Returns whether an address is new.
    pub(crate) fn learn(&self, topic: &Topic, route: &TopicRoute, pool: &Pool) -> bool {
        let now = Instant::now();
        let mut news = false;
        let mut brokers = self.brokers.write();
        for known in &route.brokers {
            let master: Option<Arc<str>> = known.master.as_deref().map(Arc::from);
            let slaves: Vec<_> = known.slaves.iter().map(|(id, address)| (*id, Arc::from(address.as_str()))).collect();
            let name = BrokerName::from(known.name.as_str());
            match brokers.get_mut(&name) {
                Some(broker) if broker.master == master && broker.slaves == slaves => broker.seen = now,
                _ => {
                    news = true;
                    let sends = master.as_ref().map(|address| self.send_address(address));
                    let endpoint = sends.and_then(|address| pool.endpoint(&address).ok());
                    brokers.insert(name, Broker { master, endpoint, slaves, seen: now });
                }
            }
        }
        brokers.retain(|_, broker| now < broker.seen + FORGET_AFTER);
        drop(brokers);
        let names: Vec<_> = route.brokers.iter().map(|broker| BrokerName::from(broker.name.as_str())).collect();
        self.topics.write().insert(topic.clone(), names);
        if news {
            self.news.notify_waiters();
        }
        news
    }

    /// Waits until no route says any more that the broker is there.
    pub(crate) async fn moved_from(&self, name: &BrokerName, address: &str) {
        loop {
            let mut news = pin!(self.news.notified());
            news.as_mut().enable();
            let is_there = |broker: &Broker| broker.addresses().any(|known| known == address);
            if !self.brokers.read().get(name).is_some_and(is_there) {
                return;
            }
            news.await;
        }
    }

    /// Drops the connections to addresses that no route names any more, and that `keep` does not want either.
    pub(crate) fn drop_strangers(&self, pool: &Pool, keep: impl Fn(&str) -> bool) {
        // Held on, so that no endpoint is made meanwhile that would then be another one than the pool's.
        let brokers = self.brokers.read();
        let known: HashSet<&str> = brokers.values().flat_map(Broker::addresses).collect();
        pool.retain(|address| known.contains(address) || keep(address));
    }

    /// The topic is not there any more.
    pub(crate) fn forget_topic(&self, topic: &Topic) {
        self.topics.write().remove(topic);
    }

    /// Where to send to.
    pub(crate) fn to_send(&self, name: &BrokerName) -> Option<Endpoint> {
        self.with_endpoint(name, |endpoint| Some(endpoint.clone()))
    }

    /// Shows where to send to, without a clone. Nothing is learned of brokers meanwhile.
    pub(crate) fn with_endpoint<T>(&self, name: &BrokerName, show: impl FnOnce(&Endpoint) -> Option<T>) -> Option<T> {
        show(self.brokers.read().get(name)?.endpoint.as_ref()?)
    }

    /// Brokers listen on a second port for sends, so that pulls do not hold them up (CFG-48). On retries, too.
    fn send_address<'a>(&self, master: &'a str) -> Cow<'a, str> {
        let vip = || {
            let (host, port) = master.rsplit_once(':')?;
            Some(format!("{host}:{}", port.parse::<u16>().ok()?.checked_sub(2)?))
        };
        if self.vip_channel { vip().map_or(Cow::Borrowed(master), Cow::Owned) } else { Cow::Borrowed(master) }
    }

    /// Where to ask about offsets of groups.
    pub(crate) fn master(&self, name: &BrokerName) -> Option<Arc<str>> {
        self.brokers.read().get(name)?.master.clone()
    }

    /// The master, else any slave.
    pub(crate) fn any(&self, name: &BrokerName) -> Option<Arc<str>> {
        let brokers = self.brokers.read();
        let broker = brokers.get(name)?;
        broker.master.clone().or_else(|| broker.slaves.first().map(|(_, address)| address.clone()))
    }

    /// Where to pull a queue from: the suggested broker, for a slave that is away the next one, else any (§4.2).
    pub(crate) fn to_pull(&self, queue: &MessageQueue) -> Option<Arc<str>> {
        let id =
            if self.suggested.read().is_empty() { 0 } else { self.suggested.read().get(queue).copied().unwrap_or(0) };
        if id == 0 {
            return self.any(queue.broker());
        }
        let brokers = self.brokers.read();
        let broker = brokers.get(queue.broker())?;
        let slave = |id| broker.slaves.iter().find(|(known, _)| *known == id).map(|(_, address)| address.clone());
        let found = slave(id).or_else(|| slave(id.checked_add(1)?)).or_else(|| broker.master.clone());
        found.or_else(|| broker.slaves.first().map(|(_, address)| address.clone()))
    }

    /// A broker said from which id to pull next.
    pub(crate) fn suggest(&self, queue: &MessageQueue, id: u64) {
        if id == 0 && self.suggested.read().is_empty() {
            return;
        }
        if id == 0 {
            self.suggested.write().remove(queue);
        } else {
            self.suggested.write().insert(queue.clone(), id);
        }
    }

    /// The brokers that have a topic.
    pub(crate) fn of_topic(&self, topic: &Topic) -> Vec<BrokerName> {
        self.topics.read().get(topic).cloned().unwrap_or_default()
    }

    /// Every address to tell who is here: masters, and slaves too for those who consume.
    pub(crate) fn for_heartbeat(&self, with_slaves: bool) -> Vec<(BrokerName, Arc<str>)> {
        let brokers = self.brokers.read();
        let mut all = BTreeSet::new();
        for (name, broker) in &*brokers {
            all.extend(broker.master.iter().map(|address| (name.clone(), address.clone())));
            if with_slaves {
                all.extend(broker.slaves.iter().map(|(_, address)| (name.clone(), address.clone())));
            }
        }
        all.into_iter().collect()
    }

    /// The name of the broker at an address.
    pub(crate) fn name_of(&self, address: &str) -> Option<BrokerName> {
        let brokers = self.brokers.read();
        brokers
            .iter()
            .find(|(_, broker)| broker.addresses().any(|known| known == address))
            .map(|(name, _)| name.clone())
    }
}
