use std::{fmt, sync::Arc};

use crate::Topic;

/// The name of a broker group: a master and its slaves. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerName(Arc<str>);

impl BrokerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for BrokerName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for BrokerName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<&BrokerName> for BrokerName {
    fn from(name: &BrokerName) -> Self {
        name.clone()
    }
}

impl fmt::Display for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for BrokerName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for BrokerName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// One queue of a topic on one broker.
///
/// Ordered as in Java (topic, broker, id), because members of a group compute their share of the queues from the order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageQueue {
    topic: Topic,
    broker: BrokerName,
    id: u32,
}

impl MessageQueue {
    /// Names a queue. Nothing is checked until it is used.
    pub fn new(topic: impl Into<Topic>, broker: impl Into<BrokerName>, id: u32) -> Self {
        Self { topic: topic.into(), broker: broker.into(), id }
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The broker that keeps the queue.
    pub fn broker(&self) -> &BrokerName {
        &self.broker
    }

    /// The number of the queue within its topic and broker.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.topic, self.broker, self.id)
    }
}

impl fmt::Debug for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
