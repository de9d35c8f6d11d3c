use ferrocket_model::{BrokerName, Group, MessageQueue};
use tokio::time::Instant;

/// A consumer's state now. Taken without I/O.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerHealth {
    /// The group.
    pub group: Group,
    /// Every queue that this consumer owns, and those that it should own and cannot start.
    pub queues: Vec<QueueHealth>,
    /// Messages that were pulled and not settled.
    pub buffered: usize,
    /// What they keep in memory.
    pub buffered_bytes: usize,
    /// Messages in listeners.
    pub running_handlers: usize,
    /// What is wrong with the group as a whole: members that want other messages than this one, several members with one client id.
    pub warnings: Vec<String>,
}

impl ConsumerHealth {
    /// The sum over the queues whose lag is known.
    pub fn lag(&self) -> u64 {
        self.queues.iter().filter_map(|queue| queue.lag).sum()
    }

    /// Whether every queue runs, waits for its listeners, or was paused, and nothing is wrong with the group.
    pub fn is_healthy(&self) -> bool {
        let well = |queue: &QueueHealth| {
            matches!(queue.state, QueueState::Running | QueueState::Paused | QueueState::FlowControlled { .. })
        };
        self.warnings.is_empty() && self.queues.iter().all(well)
    }
}

/// One queue of a consumer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueueHealth {
    /// Which one.
    pub queue: MessageQueue,
    /// What it does, or why it stands still.
    pub state: QueueState,
    /// The next offset to consume: everything below is settled.
    pub position: Option<u64>,
    /// What is stored of that.
    pub committed: Option<u64>,
    /// How many messages are behind the position, by the last answer of the broker.
    pub lag: Option<u64>,
    /// When a message was settled last.
    pub last_progress: Option<Instant>,
}

/// What a queue does, or why it stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueState {
    /// Messages are pulled.
    Running,
    /// The consumer was paused.
    Paused,
    /// Listeners are slower than the broker, and this limit is reached.
    FlowControlled {
        /// The option.
        limit: &'static str,
    },
    /// The broker is away, or takes pulls and does not answer them.
    BrokerUnreachable {
        /// Which one.
        broker: BrokerName,
        /// Since when.
        since: Instant,
    },
    /// The broker refuses: permission, group or topic are missing.
    PermissionDenied,
    /// Where to begin could not be read; nothing is pulled until it is.
    OffsetUnknown {
        /// Since when.
        since: Instant,
    },
    /// The queue is ours and its lock is not: another member has it, or its broker cannot be asked. Where an order is kept.
    LockLost {
        /// Since when.
        since: Instant,
    },
    /// The first message has been in a listener, or waited for its next attempt, for a minute or longer; or a record of the broker
    /// cannot be read at all.
    StuckAt {
        /// Its offset.
        offset: u64,
        /// Since when.
        since: Instant,
    },
}
