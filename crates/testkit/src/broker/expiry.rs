use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::{Broker, State};
use crate::connection::Connection;

impl Broker {
    /// Notes a heartbeat. A client that stays silent for too long loses its memberships and its connection.
    pub(super) fn note_beat(self: &Arc<Self>, state: &mut State, connection: &Arc<Connection>) {
        if state.beats.insert(connection.id, Instant::now()).is_none() {
            // Weak, or the cluster would keep itself alive.
            let watch = watch(Arc::downgrade(self), connection.clone());
            tokio::spawn(connection.life.clone().run_until_cancelled_owned(watch));
        }
    }

    /// When this connection is given up, unless it beats again.
    fn expires_at(&self, connection: u64) -> Option<Instant> {
        self.state.lock().beats.get(&connection)?.checked_add(self.shared.settings.member_expiry)
    }

    /// As on any broker, the other members of its groups are not told.
    fn expel(&self, connection: &Connection) {
        let mut state = self.state.lock();
        state.beats.remove(&connection.id);
        let was_member = state.groups.expel(connection.id) | state.producers.leave_all(connection.id);
        drop(state);
        if !was_member {
            return;
        }
        tracing::debug!(broker = %self.name, connection = connection.id, "no heartbeat any more");
        connection.close();
        self.shared.observer.ring();
    }
}

async fn watch(broker: Weak<Broker>, connection: Arc<Connection>) {
    loop {
        let Some(expiry) = broker.upgrade().and_then(|broker| broker.expires_at(connection.id)) else { return };
        if expiry <= Instant::now() {
            if let Some(broker) = broker.upgrade() {
                broker.expel(&connection);
            }
            return;
        }
        tokio::time::sleep_until(expiry).await;
    }
}
