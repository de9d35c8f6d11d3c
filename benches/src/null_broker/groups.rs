//! Who is a member of which group, and who holds the lock of which queue.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::BytesMut;
use ferrocket_model::{Group, MessageQueue};
use ferrocket_protocol::{
    RequestHead,
    body::{HeartbeatData, LockData},
    encode_request,
    request::MembersChanged,
};

use super::{FORMAT, Options, Peer};

type Members = BTreeMap<String, Arc<Peer>>;

/// The groups of one broker.
pub(super) struct Groups {
    options: Options,
    members: Mutex<BTreeMap<Group, Members>>,
    locks: Mutex<BTreeMap<(Group, MessageQueue), String>>,
    /// How often somebody asked for members.
    asked: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Groups {
    pub(super) fn new(options: Options) -> Self {
        Self { options, members: Mutex::default(), locks: Mutex::default(), asked: AtomicU64::new(0) }
    }

    /// A heartbeat. Where members are real, all of a group hear of a new one, as from a broker.
    pub(super) fn heard(&self, data: &HeartbeatData, peer: &Arc<Peer>) {
        if !data.consumer_data_set.is_empty() {
            *lock(&peer.client_id) = data.client_id.clone();
        }
        for consumer in &data.consumer_data_set {
            let group = Group::from(&*consumer.group_name);
            let known =
                lock(&self.members).entry(group.clone()).or_default().insert(data.client_id.clone(), peer.clone());
            if known.is_none() && self.options.together {
                self.notify(&group);
            }
        }
    }

    /// A member leaves.
    pub(super) fn left(&self, group: &Group, client_id: &str) {
        let known = lock(&self.members).get_mut(group).and_then(|members| members.remove(client_id));
        if known.is_some() && self.options.together {
            self.notify(group);
        }
    }

    /// Tells all members of a group that its members changed.
    pub(super) fn notify(&self, group: &Group) {
        let mut out = BytesMut::new();
        let notice = MembersChanged::new(group.clone());
        let Ok(_) = encode_request(&notice, &RequestHead::new(1, FORMAT).one_way(), &[], &mut out) else { return };
        let members: Vec<_> = lock(&self.members).get(group).into_iter().flat_map(BTreeMap::values).cloned().collect();
        for peer in members {
            let _ = peer.write(&out);
        }
    }

    /// The members that a client is told: the real ones, or itself among as many made-up ones as there should be.
    pub(super) fn of(&self, group: &Group, peer: &Peer) -> Vec<String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.options.together {
            return lock(&self.members).get(group).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        }
        let others = (1..self.options.members).map(|number| format!("10.1.0.{number}@4711#{number}"));
        std::iter::once(lock(&peer.client_id).clone()).chain(others).collect()
    }

    /// How often somebody asked for members.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Locks that nobody else holds; every one, where no client knows of another.
    pub(super) fn lock(&self, data: LockData) -> Vec<MessageQueue> {
        if !self.options.together {
            return data.mq_set;
        }
        let group = Group::from(&*data.consumer_group);
        let mut locks = lock(&self.locks);
        let mut is_won = |queue: &MessageQueue| {
            let holder = locks.entry((group.clone(), queue.clone())).or_insert_with(|| data.client_id.clone());
            *holder == data.client_id
        };
        data.mq_set.iter().filter(|queue| is_won(queue)).cloned().collect()
    }

    pub(super) fn unlock(&self, data: &LockData) {
        let group = Group::from(&*data.consumer_group);
        let mut locks = lock(&self.locks);
        for queue in &data.mq_set {
            let key = (group.clone(), queue.clone());
            if locks.get(&key).is_some_and(|holder| *holder == data.client_id) {
                locks.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_one_members_until_it_gives_it_back() {
        let groups = Groups::new(Options { together: true, ..Options::default() });
        let data = |client: &str, ids: &[u32]| LockData {
            client_id: client.to_owned(),
            consumer_group: "g".to_owned(),
            mq_set: ids.iter().map(|id| MessageQueue::new("T", "b", *id)).collect(),
            only_this_broker: false,
        };
        assert_eq!(groups.lock(data("a", &[0, 1])).len(), 2);
        assert_eq!(groups.lock(data("b", &[1, 2])), data("b", &[2]).mq_set);
        groups.unlock(&data("b", &[1]));
        assert!(groups.lock(data("b", &[1])).is_empty(), "it is not b's to give back");
        groups.unlock(&data("a", &[1]));
        assert_eq!(groups.lock(data("b", &[1])).len(), 1);
    }
}
