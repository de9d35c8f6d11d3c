use std::time::Duration;

use ferrocket_consumer::{ConsumerHealth, QueueState};
use ferrocket_model::BrokerName;
use ferrocket_producer::{ProducerHealth, SendLatency};
use tokio::time::Instant;

/// A picture of now. Taken without I/O.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// The name server that answered last.
    pub name_server: Option<String>,
    /// What went wrong with name servers, if the last call did.
    pub name_server_error: Option<String>,
    /// When a route was refreshed last.
    pub routes_refreshed: Option<Instant>,
    /// Every broker with a connection, or one that failed.
    pub brokers: Vec<BrokerHealth>,
    /// The producers.
    pub producers: Vec<ProducerHealth>,
    /// The consumers.
    pub consumers: Vec<ConsumerHealth>,
}

impl Health {
    /// Whether there is nothing to report.
    pub fn is_healthy(&self) -> bool {
        self.problems().is_empty()
    }

    /// One line per thing that is wrong, with since when and why.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match (&self.name_server, &self.name_server_error) {
            (_, Some(error)) => problems.push(format!("name servers: {error}")),
            (None, None) => problems.push("name servers: none has answered yet".to_owned()),
            _ => {}
        }
        for broker in &self.brokers {
            if let (None, Some(error)) = (broker.connected_since, &broker.last_error) {
                problems.push(format!("broker {} at {}: {error}", broker.name, broker.address));
            }
        }
        for consumer in &self.consumers {
            problems.extend(consumer.warnings.iter().map(|warning| format!("group {}: {warning}", consumer.group)));
            for queue in &consumer.queues {
                let (group, name) = (&consumer.group, &queue.queue);
                match &queue.state {
                    QueueState::BrokerUnreachable { broker, since } => problems.push(format!(
                        "group {group}: {name} stands still, broker {broker} is away for {:.0?}",
                        since.elapsed()
                    )),
                    QueueState::PermissionDenied => {
                        problems.push(format!("group {group}: {name} stands still, the broker refuses"));
                    }
                    QueueState::OffsetUnknown { since } => problems.push(format!(
                        "group {group}: {name} is not started, where to begin could not be read for {:.0?}",
                        since.elapsed()
                    )),
                    QueueState::LockLost { since } => problems.push(format!(
                        "group {group}: {name} is not started, its lock could not be had for {:.0?}",
                        since.elapsed()
                    )),
                    QueueState::StuckAt { offset, since } => problems
                        .push(format!("group {group}: {name} is stuck at offset {offset} for {:.0?}", since.elapsed())),
                    _ => {}
                }
            }
        }
        problems
    }
}

/// One address of a broker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerHealth {
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

/// Counters since the client's producers and consumers started; those that were dropped are not in them. Plain numbers; export
/// them with what you like.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Messages that a broker accepted, each of a batch; and one-way ones that were handed over.
    pub sent: u64,
    /// Messages whose send failed, each of a batch; those with an unknown outcome, and requests without a reply, included.
    pub send_failed: u64,
    /// Messages whose outcome is unknown.
    pub send_unknown: u64,
    /// Attempts beyond the first. A batch counts as one.
    pub send_retries: u64,
    /// Replies that came when nobody waited for them any more: late, or doubled.
    pub unwanted_replies: u64,
    /// Time of successful sends, added up.
    pub send_time_total: Duration,
    /// How long sends took, per topic and outcome, in their order.
    pub send_latency: Vec<SendLatency>,
    /// Questions of brokers about transactions that were answered.
    pub transaction_checks: u64,
    /// Messages that brokers handed out.
    pub received: u64,
    /// Messages that listeners handled.
    pub consumed: u64,
    /// Messages that listeners failed.
    pub consume_failed: u64,
    /// Messages that went to a dead-letter topic.
    pub dead_lettered: u64,
    /// Broadcast messages that failed for good and were passed over.
    pub skipped: u64,
    /// Times that a broker set another offset than the one that was asked for: it was outside of the queue, or an operator reset it.
    pub offset_moves: u64,
    /// Listeners that panicked.
    pub handler_panics: u64,
    /// Time in listeners, added up.
    pub consume_time_total: Duration,
    /// Messages that were pulled and not settled.
    pub buffered: u64,
    /// What they keep in memory.
    pub buffered_bytes: u64,
    /// Messages behind the consumers' positions, where known.
    pub lag: u64,
    /// Records of message trace that found their queue full, or came after the end. 0 without `message_trace`.
    pub trace_dropped: u64,
    /// Records of message trace whose message could not be sent.
    pub trace_lost: u64,
    /// Connections made.
    pub connections_opened: u64,
    /// Connections that ended otherwise than by us.
    pub connections_lost: u64,
}

impl Metrics {
    /// Adds up what several producers know of one topic and outcome.
    #[cfg(feature = "remoting")]
    pub(crate) fn merge_latencies(&mut self) {
        self.send_latency.sort_by(|one, two| (&one.topic, one.outcome).cmp(&(&two.topic, two.outcome)));
        self.send_latency.dedup_by(|next, kept| {
            let is_same = (&next.topic, next.outcome) == (&kept.topic, kept.outcome);
            if is_same {
                kept.histogram.add(&next.histogram);
            }
            is_same
        });
    }
}
