use std::collections::HashMap;

use ferrocket_model::MessageQueue;
use ferrocket_protocol::{
    Command, ReadRequest,
    body::LockedQueues,
    request::{LockBatch, UnlockBatch},
};
use tokio::time::Instant;

use super::Broker;
use crate::answer::Answer;

/// Who may consume which queue of a group alone.
#[derive(Default)]
pub(super) struct Locks {
    groups: HashMap<String, HashMap<MessageQueue, Lock>>,
}

struct Lock {
    client_id: String,
    /// When its holder asked for it last.
    since: Instant,
}

impl Broker {
    /// Gives each queue that is free, or that the asker holds already. Also queues that do not exist, as any broker.
    pub(super) fn lock(&self, command: &Command) -> Answer {
        let data = match LockBatch::read_request(command).and_then(|request| request.data()) {
            Ok(data) => data,
            Err(error) => return Answer::unreadable(&error),
        };
        let mut state = self.state.lock();
        let held = state.locks.groups.entry(data.consumer_group).or_default();
        let mut locked = data.mq_set;
        locked.retain(|queue| {
            let is_free = held.get(queue).is_none_or(|lock| lock.client_id == data.client_id || !self.holds(lock));
            if is_free {
                let lock = Lock { client_id: data.client_id.clone(), since: Instant::now() };
                held.insert(queue.clone(), lock);
            }
            is_free
        });
        Answer::success().with_body(LockedQueues { locked }.to_body())
    }

    pub(super) fn unlock(&self, command: &Command) -> Answer {
        let data = match UnlockBatch::read_request(command).and_then(|request| request.data()) {
            Ok(data) => data,
            Err(error) => return Answer::unreadable(&error),
        };
        if let Some(held) = self.state.lock().locks.groups.get_mut(&data.consumer_group) {
            held.retain(|queue, lock| lock.client_id != data.client_id || !data.mq_set.contains(queue));
        }
        Answer::success()
    }

    /// The client that holds the lock of a queue.
    pub(crate) fn lock_holder(&self, group: &str, queue: &MessageQueue) -> Option<String> {
        let state = self.state.lock();
        let lock = state.locks.groups.get(group)?.get(queue)?;
        self.holds(lock).then(|| lock.client_id.clone())
    }

    /// Whether anybody of a group holds a lock.
    pub(super) fn is_locked(&self, locks: &Locks, group: &str) -> bool {
        locks.groups.get(group).into_iter().flat_map(HashMap::values).any(|lock| self.holds(lock))
    }

    fn holds(&self, lock: &Lock) -> bool {
        lock.since.elapsed() < self.shared.settings.lock_time
    }
}
