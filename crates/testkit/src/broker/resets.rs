use std::collections::HashMap;

use ferrocket_model::{MessageQueue, Topic};
use ferrocket_protocol::request::{ResetOffsets, ResetOffsetsHeader};

use super::{Broker, State};
use crate::clock;

/// Offsets that an administrator set and that no pull has met yet, by group, topic and queue.
#[derive(Default)]
pub(super) struct Resets {
    pending: HashMap<(String, String, u32), u64>,
}

impl Resets {
    pub(super) fn is_pending(&self, group: &str, topic: &str, queue: u32) -> bool {
        self.pending.contains_key(&(group.to_owned(), topic.to_owned(), queue))
    }

    /// What the next pull is told. From then on nothing is pending.
    pub(super) fn take(&mut self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        self.pending.remove(&(group.to_owned(), topic.to_owned(), queue))
    }

    pub(super) fn forget_topic(&mut self, topic: &str) {
        self.pending.retain(|(_, name, _), _| name != topic);
    }
}

impl State {
    fn reset(&mut self, group: &str, topic: &str, queue: u32, offset: u64) {
        self.resets.pending.insert((group.to_owned(), topic.to_owned(), queue), offset);
        self.commit(group, topic, queue, offset);
    }
}

impl Broker {
    /// Sets a group's offset. An error is what the broker would tell the administrator.
    pub(crate) fn reset_offset(&self, group: &str, topic: &str, queue: u32, offset: u64) -> Result<(), String> {
        let mut state = self.state.lock();
        let Some(max) = state.log.queue(topic, queue).map(|queue| queue.max_offset()) else {
            return Err(format!("no queue {queue} of topic {topic:?} on {}", self.name));
        };
        if offset > max {
            return Err(format!("Target offset {offset} not in consume queue range [0-{max}]"));
        }
        state.reset(group, topic, queue, offset);
        drop(state);
        self.shared.observer.ring();
        Ok(())
    }

    /// Has the members of a group set the offsets of queues of this broker themselves; says how many were told.
    pub(crate) fn tell_to_reset(&self, group: &str, topic: &Topic, offsets: &[(MessageQueue, u64)]) -> usize {
        let header = ResetOffsetsHeader::new(group, true, clock::now_ms(), topic.clone());
        self.state.lock().groups.tell(group, &ResetOffsets::new(header, offsets))
    }
}
