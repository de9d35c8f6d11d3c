use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ferrocket_model::{Group, system};
use ferrocket_protocol::{
    Command, ReadRequest, Request, ResponseCode,
    body::{ConsumerData, SubscriptionData},
    request::{
        ConsumerConnection, ConsumerList, GetConsumerConnection, GetConsumerList, GroupSubscription, Heartbeat,
        HeartbeatAnswer, MembersChanged, Unregister,
    },
};

use super::{Broker, filters::Filters};
use crate::{answer::Answer, connection::Connection};

/// The consumer groups that this broker has ever heard of.
#[derive(Default)]
pub(super) struct Groups {
    groups: HashMap<String, GroupState>,
}

#[derive(Default)]
struct GroupState {
    members: Vec<Member>,
    /// One table for the whole group, as on any broker: the newest version of a subscription wins.
    subscriptions: HashMap<String, SubscriptionData>,
    filters: Filters,
    /// Of the last heartbeat.
    message_model: String,
    /// Of the last heartbeat that had one.
    fingerprint: i32,
}

struct Member {
    client_id: String,
    connection: Arc<Connection>,
}

impl GroupState {
    /// Takes members out and tells the others.
    fn leave(&mut self, group: &str, leaves: impl Fn(&Member) -> bool) {
        if self.remove(leaves) {
            self.notify(group);
        }
    }

    /// Takes members out, and says whether there were any. With the last one the subscriptions are forgotten, as on any broker.
    fn remove(&mut self, leaves: impl Fn(&Member) -> bool) -> bool {
        let before = self.members.len();
        self.members.retain(|member| !leaves(member));
        if self.members.is_empty() {
            self.subscriptions.clear();
            self.fingerprint = 0;
        }
        self.members.len() < before
    }

    fn notify(&self, group: &str) {
        for member in &self.members {
            member.connection.notify(&MembersChanged::new(Group::from(group)));
        }
    }

    /// Whether this connection is a member that was not one before.
    fn join(&mut self, client_id: &str, connection: &Arc<Connection>) -> bool {
        if self.members.iter().any(|member| member.connection.id == connection.id) {
            return false;
        }
        self.members.push(Member { client_id: client_id.to_owned(), connection: connection.clone() });
        true
    }

    /// Whether the set of topics changed.
    fn subscribe(&mut self, data: &ConsumerData) -> bool {
        let topics = |table: &HashMap<String, SubscriptionData>| table.keys().cloned().collect::<BTreeSet<_>>();
        let before = topics(&self.subscriptions);
        let wanted: BTreeSet<_> = data.subscription_data_set.iter().map(|new| new.topic.as_str()).collect();
        self.subscriptions.retain(|topic, _| wanted.contains(topic.as_str()));
        for new in &data.subscription_data_set {
            match self.subscriptions.get(&new.topic) {
                Some(old) if old.sub_version >= new.sub_version => {}
                _ => {
                    self.subscriptions.insert(new.topic.clone(), new.clone());
                }
            }
        }
        self.filters.register(&data.subscription_data_set);
        before != topics(&self.subscriptions)
    }
}

impl Groups {
    pub(super) fn is_known(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    pub(super) fn members(&self, group: &str) -> Vec<String> {
        let members = self.groups.get(group).map(|group| &group.members);
        members.into_iter().flatten().map(|member| member.client_id.clone()).collect()
    }

    /// The subscription that heartbeats told, and the group's SQL filters.
    pub(super) fn subscription(&self, group: &str, topic: &str) -> Option<(&SubscriptionData, &Filters)> {
        let group = self.groups.get(group)?;
        Some((group.subscriptions.get(topic)?, &group.filters))
    }

    pub(super) fn has_members(&self, group: &str) -> bool {
        self.groups.get(group).is_some_and(|group| !group.members.is_empty())
    }

    /// The broker went down: groups stay, members are gone, nobody can be told.
    pub(super) fn forget_members(&mut self) {
        for group in self.groups.values_mut() {
            group.members.clear();
            group.subscriptions.clear();
            group.fingerprint = 0;
        }
    }

    /// A connection ended: its members are gone, the others are told.
    pub(super) fn leave_all(&mut self, connection: u64) {
        for (name, group) in &mut self.groups {
            group.leave(name, |member| member.connection.id == connection);
        }
    }

    /// Takes a connection out of all groups, tells nobody, and says whether it was in any.
    pub(super) fn expel(&mut self, connection: u64) -> bool {
        let leave = |group: &mut GroupState| group.remove(|member| member.connection.id == connection);
        self.groups.values_mut().map(leave).fold(false, |any, left| any | left)
    }

    /// Tells every connection of a group something, and says how many there are.
    pub(super) fn tell<R: Request>(&self, group: &str, notice: &R) -> usize {
        let members = self.groups.get(group).map(|group| &group.members[..]).unwrap_or_default();
        for member in members {
            member.connection.notify(notice);
        }
        members.len()
    }

    /// The connections of a client, some of them several times.
    pub(super) fn of_client(&self, client_id: &str) -> impl Iterator<Item = &Arc<Connection>> {
        let members = self.groups.values().flat_map(|group| &group.members);
        members.filter(move |member| member.client_id == client_id).map(|member| &member.connection)
    }

    fn leave(&mut self, name: &str, client_id: &str, connection: u64) {
        if let Some(group) = self.groups.get_mut(name) {
            group.leave(name, |member| member.connection.id == connection && member.client_id == client_id);
        }
    }
}

impl Broker {
    pub(super) fn heartbeat(self: &Arc<Self>, connection: &Arc<Connection>, command: &Command) -> Answer {
        let data = match Heartbeat::read_request(command).and_then(|request| request.data()) {
            Ok(data) => data,
            Err(error) => return Answer::unreadable(&error),
        };
        let mut changed = data.heartbeat_fingerprint == 0;
        let mut state = self.state.lock();
        if !(data.consumer_data_set.is_empty() && data.producer_data_set.is_empty()) {
            self.note_beat(&mut state, connection);
        }
        for producer in &data.producer_data_set {
            state.producers.join(&producer.group_name, &data.client_id, connection);
        }
        for consumer in &data.consumer_data_set {
            let name = consumer.group_name.as_str();
            if data.without_sub && !state.groups.is_known(name) {
                continue;
            }
            state.log.ensure_topic(&format!("{}{name}", system::RETRY_PREFIX), 1);
            let group = state.groups.groups.entry(name.to_owned()).or_default();
            let joined = group.join(&data.client_id, connection);
            let resubscribed = !data.without_sub && group.subscribe(consumer);
            changed |= group.fingerprint != data.heartbeat_fingerprint;
            group.fingerprint = data.heartbeat_fingerprint;
            group.message_model.clone_from(&consumer.message_model);
            if joined || resubscribed {
                group.notify(name);
            }
        }
        Answer::success().with_fields(HeartbeatAnswer::new(true, changed))
    }

    pub(super) fn unregister(&self, connection: &Arc<Connection>, command: &Command) -> Answer {
        let request = match Unregister::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error),
        };
        let mut state = self.state.lock();
        if let Some(group) = &request.producer_group {
            state.producers.leave(group.as_str(), &request.client_id, connection.id);
        }
        if let Some(group) = &request.consumer_group {
            state.groups.leave(group.as_str(), &request.client_id, connection.id);
        }
        Answer::success()
    }

    pub(super) fn consumer_connection(&self, command: &Command) -> Answer {
        let name = match GetConsumerConnection::read_request(command) {
            Ok(request) => request.group,
            Err(error) => return Answer::unreadable(&error),
        };
        let state = self.state.lock();
        let Some(group) = state.groups.groups.get(name.as_str()).filter(|group| !group.members.is_empty()) else {
            let text = format!("the consumer group[{name}] not online");
            return Answer::refusal(ResponseCode::CONSUMER_NOT_ONLINE, text);
        };
        let subscriptions = group.subscriptions.values().map(|one| GroupSubscription {
            topic: one.topic.clone(),
            expression_type: one.expression_type.clone(),
            expression: one.sub_string.clone(),
        });
        let ids = group.members.iter().map(|member| member.client_id.clone()).collect();
        let connection = ConsumerConnection::new(ids, &group.message_model, subscriptions.collect());
        Answer::success().with_body(connection.to_body())
    }

    pub(super) fn consumer_list(&self, command: &Command) -> Answer {
        let group = match GetConsumerList::read_request(command) {
            Ok(request) => request.group,
            Err(error) => return Answer::unreadable(&error),
        };
        let consumer_id_list = self.members(group.as_str());
        if consumer_id_list.is_empty() {
            let text = format!("no consumer for this group, {group}");
            return Answer::refusal(ResponseCode::SYSTEM_ERROR, text);
        }
        Answer::success().with_body(ConsumerList { consumer_id_list }.to_body())
    }
}
