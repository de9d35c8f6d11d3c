use ferrocket_model::BrokerName;
use ferrocket_remoting::StatsSnapshot;
use tokio::time::Instant;

use crate::backend::Shared;

/// What is known of servers and connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendHealth {
    /// The name server that answered last.
    pub name_server: Option<String>,
    /// What went wrong with name servers, if the last call did.
    pub name_server_error: Option<String>,
    /// Every broker with a connection, or one that failed.
    pub brokers: Vec<BrokerConnection>,
    /// Replies that came when nobody waited for them any more.
    pub unwanted_replies: u64,
    /// Counters.
    pub stats: StatsSnapshot,
}

/// One address of a broker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerConnection {
    /// The broker.
    pub name: BrokerName,
    /// Its address.
    pub address: String,
    /// Since when it is connected.
    pub connected_since: Option<Instant>,
    /// Why it is not.
    pub last_error: Option<String>,
    /// Requests that wait for an answer.
    pub in_flight: usize,
}

pub(crate) fn collect(shared: &Shared) -> BackendHealth {
    let (name_server, name_server_error) = shared.name_servers.health();
    let brokers = shared.pool.states().into_iter().filter_map(|state| {
        Some(BrokerConnection {
            name: shared.brokers.name_of(&state.address)?,
            address: state.address.to_string(),
            connected_since: state.connected_since,
            last_error: state.last_error,
            in_flight: state.in_flight,
        })
    });
    BackendHealth {
        name_server,
        name_server_error,
        brokers: brokers.collect(),
        unwanted_replies: shared.replies.unwanted(),
        stats: shared.pool.stats(),
    }
}
