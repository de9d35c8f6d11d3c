use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{self, Schedule},
    fault::Faults,
    network::Network,
    observe::Observer,
};

pub(crate) const CLUSTER: &str = "TestCluster";
pub(crate) const TEMPLATE_QUEUES: u32 = 8;

/// What was chosen when the cluster was built.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) auto_create_topics: bool,
    pub(crate) retry_delay: Option<Duration>,
    pub(crate) delay_divisor: u32,
    pub(crate) recall_messages: bool,
    pub(crate) in_memory: bool,
    pub(crate) max_message_bytes: usize,
    pub(crate) region: Arc<str>,
    pub(crate) property_filter: bool,
    pub(crate) lock_time: Duration,
    pub(crate) member_expiry: Duration,
    pub(crate) transaction_timeout: Duration,
    pub(crate) transaction_check_interval: Duration,
    pub(crate) transaction_check_max: u32,
}

impl Settings {
    /// A delay as it is kept here.
    pub(crate) fn divided(&self, delay: Duration) -> Duration {
        delay / self.delay_divisor
    }

    /// How long a message of this delay level waits.
    pub(crate) fn level_delay(&self, level: i32) -> Duration {
        self.divided(clock::level_delay(level))
    }

    /// How long a message waits that a consumer gave back.
    pub(crate) fn retry_delay(&self, level: i32) -> Duration {
        self.retry_delay.unwrap_or_else(|| self.level_delay(level))
    }
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
