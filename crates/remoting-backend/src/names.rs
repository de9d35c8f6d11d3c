use std::borrow::Cow;

use ferrocket_model::{Group, MessageQueue, Namespace, Topic};

/// Names as servers know them. Without a namespace of the first kind they are what users say.
#[derive(Default)]
pub(crate) struct Names(Option<Namespace>);

impl Names {
    pub(crate) fn new(namespace: Option<Namespace>) -> Self {
        Self(namespace)
    }

    /// The namespace, which goes into every message as `INSTANCE_ID` (§7.5).
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.0.as_ref().map(Namespace::as_str)
    }

    /// Topics for replies belong to clusters and are in no namespace.
    pub(crate) fn topic<'a>(&self, topic: &'a Topic) -> Cow<'a, Topic> {
        match &self.0 {
            None => Cow::Borrowed(topic),
            Some(_) if topic.as_str().ends_with("_REPLY_TOPIC") => Cow::Borrowed(topic),
            Some(namespace) => Cow::Owned(namespace.wrap_topic(topic)),
        }
    }

    pub(crate) fn group<'a>(&self, group: &'a Group) -> Cow<'a, Group> {
        match &self.0 {
            None => Cow::Borrowed(group),
            Some(namespace) => Cow::Owned(namespace.wrap_group(group)),
        }
    }

    /// A queue as servers know it.
    pub(crate) fn queue(&self, queue: &MessageQueue) -> MessageQueue {
        MessageQueue::new(&*self.topic(queue.topic()), queue.broker(), queue.id())
    }

    /// A queue as users know it.
    pub(crate) fn plain_queue(&self, queue: &MessageQueue) -> MessageQueue {
        MessageQueue::new(self.plain_topic(queue.topic().as_str()), queue.broker(), queue.id())
    }

    /// A topic as users know it.
    pub(crate) fn plain_topic(&self, name: &str) -> Topic {
        match &self.0 {
            None => Topic::from(name),
            Some(namespace) => Topic::from(&*namespace.unwrap(name)),
        }
    }

    /// A group as users know it.
    pub(crate) fn plain_group(&self, name: &str) -> Group {
        match &self.0 {
            None => Group::from(name),
            Some(namespace) => Group::from(&*namespace.unwrap(name)),
        }
    }
}
