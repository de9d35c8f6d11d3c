use std::{collections::HashMap, sync::Arc};

use crate::connection::Connection;

/// The producer groups that heartbeats told of, and who is in them.
#[derive(Default)]
pub(super) struct Producers {
    groups: HashMap<String, Vec<Producer>>,
    /// One connection per client id, for replies: the one that joined a group last.
    clients: HashMap<String, Arc<Connection>>,
    /// Whom to ask next.
    turn: usize,
}

struct Producer {
    client_id: String,
    connection: Arc<Connection>,
}

impl Producers {
    pub(super) fn join(&mut self, group: &str, client_id: &str, connection: &Arc<Connection>) {
        let producers = self.groups.entry(group.to_owned()).or_default();
        if !producers.iter().any(|producer| producer.connection.id == connection.id) {
            producers.push(Producer { client_id: client_id.to_owned(), connection: connection.clone() });
            self.clients.insert(client_id.to_owned(), connection.clone());
        }
    }

    /// As on any broker, replies find the client no more, whatever other groups and connections it has, until it joins one anew.
    pub(super) fn leave(&mut self, group: &str, client_id: &str, connection: u64) {
        if let Some(producers) = self.groups.get_mut(group).filter(|producers| !producers.is_empty()) {
            producers.retain(|producer| producer.connection.id != connection);
            self.clients.remove(client_id);
        }
    }

    /// A connection ended: also replies to its client go nowhere, though it may have another connection by now. Whether it was
    /// in any group.
    pub(super) fn leave_all(&mut self, connection: u64) -> bool {
        let mut was_member = false;
        for producers in self.groups.values_mut() {
            let clients = &mut self.clients;
            producers.retain(|producer| {
                let leaves = producer.connection.id == connection;
                if leaves {
                    was_member = true;
                    clients.remove(&producer.client_id);
                }
                !leaves
            });
        }
        was_member
    }

    pub(super) fn forget(&mut self) {
        self.groups.clear();
        self.clients.clear();
    }

    /// The client ids of a group, in the order of joining.
    pub(super) fn members(&self, group: &str) -> Vec<String> {
        self.groups.get(group).into_iter().flatten().map(|producer| producer.client_id.clone()).collect()
    }

    /// Where replies to a client go.
    pub(super) fn for_replies(&self, client_id: &str) -> Option<Arc<Connection>> {
        self.clients.get(client_id).cloned()
    }

    /// The connections of a client, some of them several times.
    pub(super) fn of_client(&self, client_id: &str) -> impl Iterator<Item = &Arc<Connection>> {
        let producers = self.groups.values().flatten();
        producers.filter(move |producer| producer.client_id == client_id).map(|producer| &producer.connection)
    }

    /// One connection of a group, each in turn.
    pub(super) fn any_of(&mut self, group: &str) -> Option<Arc<Connection>> {
        let producers = self.groups.get(group).filter(|producers| !producers.is_empty())?;
        self.turn = self.turn.wrapping_add(1);
        producers.get(self.turn % producers.len()).map(|producer| producer.connection.clone())
    }
}
