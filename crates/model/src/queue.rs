use std::{cmp::Ordering, fmt, sync::Arc};

use crate::{Topic, java_string_order};

/// The name of a broker group: a master and its slaves. Cheap to clone. Ordered as in Java.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BrokerName(Arc<str>);

impl BrokerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for BrokerName {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { java_string_order(&self.0, &other.0) }
    }
}

impl PartialOrd for BrokerName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageQueue {
    topic: Topic,
    broker: BrokerName,
    id: u32,
}

impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> Ordering {
        // One topic is the usual case, and often one pointer.
        let is_same = self.topic == other.topic;
        let topics =
            if is_same { Ordering::Equal } else { java_string_order(self.topic.as_str(), other.topic.as_str()) };
        topics.then_with(|| self.broker.cmp(&other.broker)).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Java compares UTF-16 units: a character beyond the first plane comes before U+FFxx there, and behind it in UTF-8.
    #[test]
    fn queues_are_in_javas_order_by_topic_then_broker_then_id() {
        let queue = MessageQueue::new;
        let sorted = [
            queue("a", "x", 2),
            queue("a", "\u{1F600}", 0),
            queue("a", "\u{FF01}", 0),
            queue("a", "\u{FF01}", 10),
            queue("\u{1F600}", "a", 0),
            queue("\u{FF01}", "a", 0),
        ];
        assert!(sorted.is_sorted_by(|one, two| one < two), "{sorted:?}");
        assert_eq!(queue("a", "b", 1).cmp(&queue("a", "b", 1)), Ordering::Equal);
    }
}
