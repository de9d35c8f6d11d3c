use std::{collections::HashMap, sync::Arc};

use ferrocket_model::{BrokerName, MessageQueue, Route, Topic};
use ferrocket_route::{QueueChooser, RouteTable, RouteView};
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use tokio::sync::OnceCell;

use crate::{
    accumulate::OpenBatches,
    stats::{SendLatency, TopicLatencies},
};

/// Topics that are remembered; beyond it those that nothing uses right now are forgotten, which costs a look-up and moves starting
/// points.
const MAX_TOPICS: usize = 10_000;

/// What a producer keeps of the topics that it sends to.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    topics: RwLock<HashMap<Topic, Arc<TopicState>, RandomState>>,
}

/// What a producer keeps of one topic.
#[derive(Debug)]
pub(crate) struct TopicState {
    route: RouteView,
    pub(crate) chooser: QueueChooser,
    pub(crate) order: Order,
    pub(crate) batches: OpenBatches,
    pub(crate) latencies: TopicLatencies,
    /// Brokers were told of us for the sake of a request's reply.
    pub(crate) announced: OnceCell<()>,
}

impl Topics {
    /// The state of a topic.
    pub(crate) fn of(&self, topic: &Topic, routes: &RouteTable) -> Arc<TopicState> {
        if let Some(known) = self.topics.read().get(topic) {
            return known.clone();
        }
        let mut topics = self.topics.write();
        if topics.len() >= MAX_TOPICS {
            // Those that a send or an open batch uses stay: their order and their batches are theirs.
            topics.retain(|_, state| Arc::strong_count(state) > 1);
        }
        let new = || {
            let route = routes.view(topic);
            Arc::new(TopicState {
                route,
                chooser: QueueChooser::default(),
                order: Order::default(),
                batches: OpenBatches::default(),
                latencies: TopicLatencies::default(),
                announced: OnceCell::new(),
            })
        };
        topics.entry(topic.clone()).or_insert_with(new).clone()
    }

    /// A topic that is on this broker.
    pub(crate) fn on(&self, broker: &BrokerName) -> Option<Topic> {
        let topics = self.topics.read();
        let has = |topic: &TopicState| {
            topic.route.current().is_some_and(|route| route.brokers.iter().any(|on| on.name == *broker))
        };
        topics.iter().find(|(_, topic)| has(topic)).map(|(name, _)| name.clone())
    }

    /// How long sends took, by topic and outcome.
    pub(crate) fn latencies(&self) -> Vec<SendLatency> {
        let mut all = Vec::new();
        for (name, topic) in &*self.topics.read() {
            topic.latencies.read(name, &mut all);
        }
        all
    }

    /// Sends all open batches on their way.
    pub(crate) fn flush(&self) {
        // Without the lock: interceptors may be told of what cannot be sent any more.
        let topics: Vec<_> = self.topics.read().values().cloned().collect();
        for topic in topics {
            topic.batches.flush();
        }
    }

    /// The state of a topic, if there is one.
    pub(crate) fn known(&self, topic: &Topic) -> Option<Arc<TopicState>> {
        self.topics.read().get(topic).cloned()
    }
}

impl TopicState {
    /// The route, if it is known and lasts. One from the template lasts until the first send has created the topic, and one
    /// without queues until there are some.
    pub(crate) fn route(&self) -> Option<Arc<Route>> {
        self.route.current().filter(|route| !route.is_template && !route.publish.is_empty())
    }
}

/// Lets sends with a sharding key leave one after the other per queue, in the order in which they were first polled: live
/// brokers store pipelined sends to one queue in any order (§12.3). Fair: who comes first goes first.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Held from the first poll until the queue is known and its lane is waited for.
    entrance: Arc<tokio::sync::Mutex<()>>,
    /// One lane per queue that keyed sends use; those that nobody uses are dropped when it grows.
    lanes: Mutex<HashMap<MessageQueue, Lane>>,
}

type Lane = Arc<tokio::sync::Mutex<()>>;

/// A send's turn at something. The next one's begins when it is dropped.
pub(crate) type Turn = tokio::sync::OwnedMutexGuard<()>;

/// Lanes are looked through for unused ones when there are this many.
const MANY_LANES: usize = 1_024;

impl Order {
    /// Waits at the entrance.
    pub(crate) fn enter(&self) -> impl Future<Output = Turn> + Send + 'static {
        self.entrance.clone().lock_owned()
    }

    /// Waits for the turn at a queue. The place in the line is taken when this is first polled.
    pub(crate) fn turn(&self, queue: &MessageQueue) -> impl Future<Output = Turn> + Send + 'static {
        let mut lanes = self.lanes.lock();
        if lanes.len() >= MANY_LANES {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        lanes.entry(queue.clone()).or_default().clone().lock_owned()
    }
}
