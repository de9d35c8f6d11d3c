//! Which log a broker has, when it may be replaced by an empty one under the same name (R7), and who knows that.
//!
//! Nothing says to a consumer that a broker is another one. Its next pull there asks for an offset of the log of before. The broker
//! sends it to the end of a shorter log, and knows nothing of a longer one: what is below is passed over, by no fault of the
//! client's. Only that is excused: of each queue once for each member, up to where it asked, and what the log has by then.

use std::collections::HashMap;

use ferrocket::{MessageQueue, ReceivedMessage};

#[derive(Default)]
pub(crate) struct Lives {
    /// The last port of each log that is gone, by broker.
    ended: HashMap<String, Vec<u16>>,
    views: HashMap<(usize, MessageQueue), View>,
    /// Stored offsets that mean the log of before.
    stale: HashMap<MessageQueue, u64>,
    /// What is stored elsewhere than on the brokers, if so: it outlives their logs.
    elsewhere: Option<HashMap<MessageQueue, u64>>,
}

/// What somebody's position in a queue is a position of.
#[derive(Clone, Copy)]
struct View {
    life: usize,
    /// The position of before that it asked for last, where the broker sends it elsewhere; it asks again if that answer is lost.
    asked: Option<u64>,
}

impl Lives {
    /// The same, as far as everybody knows it, where progress is stored elsewhere than on the brokers.
    pub(crate) fn elsewhere(&self) -> Self {
        Self { ended: self.ended.clone(), elsewhere: Some(HashMap::new()), ..Self::default() }
    }

    /// The number of the log that a broker has now.
    pub(crate) fn now(&self, broker: &str) -> usize {
        self.ended.get(broker).map_or(0, Vec::len)
    }

    /// The number of the log that a message is from. Each has ports of its own.
    pub(crate) fn of(&self, message: &ReceivedMessage) -> usize {
        let port = message.store_host().map_or(0, |host| host.port());
        self.ended.get(message.queue().broker().as_str()).map_or(0, |ended| ended.partition_point(|last| *last < port))
    }

    /// The log of a broker is gone; this was its last port.
    pub(crate) fn end(&mut self, broker: &str, port: u16) {
        self.ended.entry(broker.to_owned()).or_default().push(port);
        let is_there = |queue: &MessageQueue| queue.broker().as_str() == broker;
        match &self.elsewhere {
            Some(stored) => {
                let stored = stored.iter().filter(|(queue, _)| is_there(queue));
                self.stale.extend(stored.map(|(queue, offset)| (queue.clone(), *offset)));
            }
            None => self.stale.retain(|queue, _| !is_there(queue)),
        }
    }

    /// An offset is stored elsewhere.
    pub(crate) fn stored(&mut self, who: usize, queue: &MessageQueue, offset: u64) {
        if self.is_stale(who, queue) {
            self.stale.insert(queue.clone(), offset);
        } else {
            self.stale.remove(queue);
        }
        self.elsewhere.get_or_insert_default().insert(queue.clone(), offset);
    }

    /// What is stored elsewhere and means the log that is there now.
    pub(crate) fn valid(&self) -> impl Iterator<Item = (&MessageQueue, u64)> {
        let stored = self.elsewhere.iter().flatten().filter(|(queue, _)| !self.stale.contains_key(*queue));
        stored.map(|(queue, offset)| (queue, *offset))
    }

    fn is_stale(&self, who: usize, queue: &MessageQueue) -> bool {
        let now = self.now(queue.broker().as_str());
        self.views.get(&(who, queue.clone())).is_some_and(|view| view.life < now)
    }

    /// Somebody asks for the stored offset of a queue, to begin there.
    pub(crate) fn reads(&mut self, who: usize, queue: &MessageQueue) {
        let life = self.now(queue.broker().as_str());
        self.views.entry((who, queue.clone())).or_insert(View { life, asked: None });
    }

    /// Somebody stores an offset. Whether it can know what it does.
    pub(crate) fn commits(&mut self, who: usize, queue: &MessageQueue, offset: u64) -> bool {
        let is_stale = self.is_stale(who, queue);
        if self.elsewhere.is_some() {
            // Whether it is stored is said later.
        } else if is_stale {
            self.stale.insert(queue.clone(), offset);
        } else {
            self.stale.remove(queue);
        }
        !is_stale
    }

    /// Somebody pulls. Up to where it passes messages over without knowing.
    pub(crate) fn pulls(
        &mut self,
        who: usize,
        queue: &MessageQueue,
        offset: u64,
        end: impl FnOnce() -> u64,
    ) -> Option<u64> {
        let now = self.now(queue.broker().as_str());
        let from_store = self.stale.get(queue) == Some(&offset);
        let view = self.views.entry((who, queue.clone())).or_insert(View { life: now, asked: None });
        let is_stale = view.life < now && view.asked.is_none_or(|asked| asked == offset);
        *view = View { life: now, asked: None };
        if !is_stale && !from_store {
            return None;
        }
        let end = end();
        if offset > end {
            *view = View { life: now.saturating_sub(1), asked: Some(offset) };
        }
        Some(offset.min(end))
    }
}
