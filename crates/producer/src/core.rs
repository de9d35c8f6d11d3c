use std::{
    any::Any,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::{BoxFuture, Ending, LAST_WORD, Leftover, Managed, Stage};
use ferrocket_model::{Group, IdGenerator, Message, MessageQueue};
use ferrocket_route::{FaultTable, Stack};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    Compression, ProducerHealth,
    accumulate::Accumulator,
    attempt::RetryPolicy,
    checks::Checks,
    detector::{Detector, Probe},
    ended::Ended,
    interceptor::Interceptors,
    stats::{ProducerReport, Stats},
    topics::Topics,
    wall_clock::WallClock,
    window::Window,
};

/// Chooses a queue: an index into the list, or none.
pub(crate) type Selector = dyn Fn(&[MessageQueue], &Message) -> Option<usize> + Send + Sync;

/// What all handles and all sends of one producer share.
pub(crate) struct Core {
    pub(crate) stack: Stack,
    pub(crate) group: Group,
    /// By the transport, to each message.
    pub(crate) added_property_bytes: usize,
    pub(crate) options: Options,
    pub(crate) window: Window,
    pub(crate) ids: IdGenerator,
    pub(crate) stats: Stats,
    pub(crate) topics: Topics,
    pub(crate) accumulator: Option<Accumulator>,
    started: Instant,
    wall_clock: WallClock,
    faults: Mutex<FaultTable>,
    /// What brokers ask, and is being answered.
    pub(crate) checks: Checks,
    pub(crate) ended: Ended,
    pub(crate) detector: Detector,
    closed: AtomicBool,
    ending: Ending,
}

/// Checked options.
pub(crate) struct Options {
    pub(crate) send_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) max_message_bytes: usize,
    pub(crate) compression: Compression,
    pub(crate) new_topic_queues: u32,
    pub(crate) select_queue: Option<Arc<Selector>>,
    pub(crate) interceptors: Interceptors,
    pub(crate) probe: Probe,
    pub(crate) shutdown_timeout: Duration,
}

impl Core {
    pub(crate) fn new(
        stack: Stack,
        group: Group,
        options: Options,
        window: Window,
        faults: FaultTable,
        accumulator: Option<Accumulator>,
    ) -> Self {
        // The id names this host and process for tools; a random number keeps producers apart.
        let ip = stack
            .backend
            .client_id()
            .split('@')
            .next()
            .and_then(|ip| ip.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let process_id = (std::process::id() & 0xFFFF) as u16;
        let added_property_bytes = stack.backend.added_property_bytes();
        Self {
            added_property_bytes,
            stack,
            group,
            options,
            window,
            ids: IdGenerator::new(ip, process_id, fastrand::u32(..)),
            stats: Stats::default(),
            started: Instant::now(),
            wall_clock: WallClock::default(),
            faults: Mutex::new(faults),
            topics: Topics::default(),
            accumulator,
            checks: Checks::default(),
            ended: Ended::default(),
            detector: Detector::default(),
            closed: AtomicBool::new(false),
            ending: Ending::new(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Stops the intake.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The last handle is gone: intake stops, what is in flight runs on. Servers are told nothing: to them the client stays a producer until
    /// its connections end.
    pub(crate) fn abandon(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.checks.abandon();
            self.stack.backend.forget(&self.group, false);
        }
    }

    /// The time since the producer was built: what sends and the fault table count by, because durations are cheap to compare.
    pub(crate) fn clock(&self) -> Duration {
        self.started.elapsed()
    }

    /// A time of [`clock`](Self::clock) in Unix milliseconds, for ids and birth times only.
    pub(crate) fn unix_ms(&self, clock: Duration) -> u64 {
        self.wall_clock.ms(clock)
    }

    /// A time of [`clock`](Self::clock) as a moment.
    pub(crate) fn moment(&self, clock: Duration) -> Instant {
        self.started + clock
    }

    pub(crate) fn with_faults<T>(&self, work: impl FnOnce(&mut FaultTable) -> T) -> T {
        work(&mut self.faults.lock())
    }

    pub(crate) fn health(&self) -> ProducerHealth {
        let (in_flight, in_flight_bytes) = self.window.in_flight();
        let now = self.clock();
        ProducerHealth {
            group: self.group.clone(),
            in_flight,
            in_flight_bytes,
            avoided_brokers: self.with_faults(|faults| faults.avoided(now)),
        }
    }

    /// Drains, then unregisters.
    pub(crate) fn shut_down(
        self: &Arc<Self>,
        deadline: Duration,
    ) -> impl Future<Output = Vec<Leftover>> + Send + 'static {
        self.close();
        let core = self.clone();
        self.ending.run(move || {
            Box::pin(async move {
                let mut leftovers = Vec::new();
                let until = Instant::now() + deadline;
                core.topics.flush();
                if !core.window.drain(deadline).await {
                    let (count, _) = core.window.in_flight();
                    leftovers.push(Leftover::Sends { group: core.group.to_string(), count });
                }
                // Questions of brokers are answered until here: those under way to their end.
                let unanswered = core.checks.drain(until).await;
                if unanswered > 0 {
                    leftovers.push(Leftover::Checks { group: core.group.to_string(), count: unanswered });
                }
                let left = until.saturating_duration_since(Instant::now()).max(LAST_WORD);
                let untold = core.stack.backend.leave(&core.group, false, left).await;
                leftovers.extend(untold.into_iter().map(|address| Leftover::Unregister { address }));
                leftovers
            })
        })
    }
}

impl Managed for Core {
    fn stage(&self) -> Stage {
        Stage::Producers
    }

    fn end(self: Arc<Self>, deadline: Duration) -> BoxFuture<'static, Vec<Leftover>> {
        Box::pin(self.shut_down(deadline))
    }

    fn report(&self) -> Box<dyn Any + Send> {
        Box::new(ProducerReport {
            health: self.health(),
            counters: self.stats.counters(),
            latencies: self.topics.latencies(),
        })
    }
}
