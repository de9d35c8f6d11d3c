use crate::{BrokerName, MessageQueue};

/// Where the queues of a topic are: an immutable picture, replaced whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "TopicRouteData")]
#[doc(alias = "TopicPublishInfo")]
pub struct Route {
    /// Queues that take messages: their broker is writable and has a master.
    pub publish: Vec<MessageQueue>,
    /// Queues that can be read, in Java's order.
    pub subscribe: Vec<MessageQueue>,
    /// The brokers of the topic.
    pub brokers: Vec<RouteBroker>,
    /// The topic does not exist yet; these queues are those of the template topic, and the first send creates it.
    pub is_template: bool,
}

impl Route {
    /// A route from its parts.
    pub fn new(publish: Vec<MessageQueue>, subscribe: Vec<MessageQueue>, brokers: Vec<RouteBroker>) -> Self {
        Self { publish, subscribe, brokers, is_template: false }
    }
}

/// A broker in a [`Route`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteBroker {
    /// Its name.
    pub name: BrokerName,
    /// Its cluster.
    pub cluster: String,
    /// Whether a master is known; without one nothing can be sent there.
    pub has_master: bool,
}

impl RouteBroker {
    /// A broker from its parts.
    pub fn new(name: impl Into<BrokerName>, cluster: impl Into<String>, has_master: bool) -> Self {
        Self { name: name.into(), cluster: cluster.into(), has_master }
    }
}
