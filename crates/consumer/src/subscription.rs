//! What a consumer wants, and that it may change while it runs.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use ferrocket_backend::Subscription;
use ferrocket_model::{Filter, Topic};
use parking_lot::Mutex;

/// The subscriptions of a consumer, its retry topic included.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    topics: BTreeMap<Topic, Arc<Subscription>>,
    /// Brokers keep the subscription with the highest version, so ours only grow, also when the clock goes back (CON-BUG-12).
    version: i64,
}

impl Subscriptions {
    pub(crate) fn new(wanted: impl IntoIterator<Item = (Topic, Filter)>) -> Self {
        let subscriptions = Self::default();
        for (topic, filter) in wanted {
            subscriptions.set(topic, filter);
        }
        subscriptions
    }

    pub(crate) fn of(&self, topic: &Topic) -> Option<Arc<Subscription>> {
        self.table.lock().topics.get(topic).cloned()
    }

    /// As the seam wants them.
    pub(crate) fn listed(&self) -> Vec<Subscription> {
        self.table.lock().topics.values().map(|subscription| (**subscription).clone()).collect()
    }

    pub(crate) fn topics(&self) -> Vec<Topic> {
        self.table.lock().topics.keys().cloned().collect()
    }

    /// Wants a topic, or other messages of it. Returns whether the topic is new.
    pub(crate) fn set(&self, topic: Topic, filter: Filter) -> bool {
        let mut table = self.table.lock();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        table.version = i64::try_from(now).unwrap_or(i64::MAX).max(table.version.saturating_add(1));
        let version = table.version;
        let subscription = Subscription { topic: topic.clone(), filter, version };
        table.topics.insert(topic, Arc::new(subscription)).is_none()
    }

    /// Wants the same, said anew: brokers heed what was said last.
    pub(crate) fn say_again(&self) {
        let wanted = self.listed();
        for subscription in wanted {
            self.set(subscription.topic, subscription.filter);
        }
    }

    /// Wants a topic no more. Returns whether it did.
    pub(crate) fn remove(&self, topic: &Topic) -> bool {
        self.table.lock().topics.remove(topic).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CON-BUG-12, CON-PULL-25: brokers ignore a subscription that is not newer.
    #[test]
    fn versions_only_grow_however_quickly_subscriptions_change() {
        let subscriptions = Subscriptions::new([("T".into(), Filter::all())]);
        let mut last = 0;
        for n in 0..1_000 {
            let is_new = subscriptions.set(if n % 2 == 0 { "T".into() } else { "U".into() }, Filter::from("a"));
            assert_eq!(is_new, n == 1);
            let newest = subscriptions.listed().iter().map(|subscription| subscription.version).max().unwrap();
            assert!(newest > last, "{newest} after {last}");
            last = newest;
        }
        assert!(subscriptions.remove(&"U".into()) && !subscriptions.remove(&"U".into()));
        assert_eq!(subscriptions.topics(), [Topic::from("T")]);
    }
}
