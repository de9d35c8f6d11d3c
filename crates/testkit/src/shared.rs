use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{clock::Schedule, fault::Faults, network::Network, observe::Observer};

pub(crate) const CLUSTER: &str = "TestCluster";
pub(crate) const TEMPLATE_QUEUES: u32 = 8;

/// What was chosen when the cluster was built.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) auto_create_topics: bool,
    pub(crate) retry_delay: Option<Duration>,
    pub(crate) in_memory: bool,
    pub(crate) max_message_bytes: usize,
    pub(crate) transaction_timeout: Duration,
    pub(crate) transaction_check_interval: Duration,
    pub(crate) transaction_check_max: u32,
}

/// What every server of a cluster has in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) faults: Arc<Faults>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) network: Arc<Network>,
    pub(crate) schedule: Arc<Schedule>,
    /// Cancelled when the cluster is dropped; everything that runs hangs on it.
    pub(crate) life: CancellationToken,
    next: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            faults: Arc::default(),
            observer: Arc::default(),
            network: Arc::default(),
            schedule: Arc::default(),
            life: CancellationToken::new(),
            next: AtomicU64::new(1),
        }
    }

    /// A number that only grows: connection ids, the order in which messages were stored.
    pub(crate) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }
}
