use std::time::Duration;

use ferrocket_model::{Applied, Attempt, BrokerName, ErrorKind, Failure, Remedy, ServerCode};

/// What is tried how often. From the builder, or from one call.
#[derive(Clone, Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) max_attempts: u32,
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry_unknown: bool,
    pub(crate) retry_not_ok: bool,
    pub(crate) retry_codes: Vec<i32>,
}

/// The attempts of one send. Sans-IO: times are passed in, decisions come out.
#[derive(Debug)]
pub(crate) struct Attempts {
    made: u32,
    limit: u32,
    /// When everything must be over, as time since the send began.
    deadline: Duration,
    records: Vec<Attempt>,
}

/// What to do after an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try again, after a pause; look the topic up first, if its route seems to be wrong.
    Again {
        pause: Duration,
        refresh_route: bool,
    },
    GiveUp,
}

/// Remoting codes after which another broker may store the message (PRO-SEND-03): 17 topic not there, 14 service not available,
/// 1 system error, 2 busy, 16 no permission, 204 and 205 unit rules, 1500 go away.
const RETRIED_CODES: [i32; 8] = [17, 14, 1, 2, 16, 204, 205, 1500];
/// A broker that is busy gets a moment; the pause is jittered up to this.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// When the same broker must be dialed again: not before its connection may be tried anew.
const SAME_BROKER_PAUSE: Duration = Duration::from_millis(260);

impl Attempts {
    pub(crate) fn new(limit: u32, deadline: Duration) -> Self {
        Self { made: 0, limit, deadline, records: Vec::new() }
    }

    /// Begins the next attempt: how long it may take. `None` when no attempt or no time is left. An attempt that others may
    /// follow gets `attempt_timeout` at most; the last one gets all that is left (PRO-SEND-05).
    pub(crate) fn begin(&mut self, elapsed: Duration, policy: &RetryPolicy) -> Option<Duration> {
        let left = self.deadline.checked_sub(elapsed).filter(|left| !left.is_zero())?;
        if self.made >= self.limit {
            return None;
        }
        self.made += 1;
        Some(if self.made < self.limit { left.min(policy.attempt_timeout) } else { left })
    }

    /// An attempt failed. `same_broker`: the next one would go to the same broker. `random` is in `0.0..1.0`.
    pub(crate) fn failed(
        &mut self,
        broker: &BrokerName,
        took: Duration,
        failure: &Failure,
        policy: &RetryPolicy,
        same_broker: bool,
        random: f64,
    ) -> Decision {
        self.records.push(Attempt::failed(broker.clone(), took, failure));
        if self.made >= self.limit || !helps(failure, policy) {
            return Decision::GiveUp;
        }
        let pause = match failure.kind() {
            ErrorKind::Busy => BUSY_PAUSE.mul_f64(random),
            ErrorKind::BrokerUnreachable if same_broker => SAME_BROKER_PAUSE,
            _ => Duration::ZERO,
        };
        let refresh_route = matches!(failure.kind(), ErrorKind::BrokerUnreachable | ErrorKind::RouteNotFound)
            || failure.remedy() == Remedy::RefreshRoute;
        Decision::Again { pause, refresh_route }
    }

    /// A broker stored the message, but not as safely as wanted, and another one should be tried. Whether there is an attempt
    /// left for that.
    pub(crate) fn not_ok(&mut self, broker: &BrokerName, took: Duration, policy: &RetryPolicy) -> bool {
        let again = policy.retry_not_ok && self.made < self.limit;
        if again {
            self.records.push(Attempt::succeeded(broker.clone(), took));
        }
        again
    }

    /// All attempts, for the receipt: nothing when the first one succeeded. Taken out.
    pub(crate) fn records(&mut self, last: impl FnOnce() -> Option<Attempt>) -> Vec<Attempt> {
        let mut records = std::mem::take(&mut self.records);
        if !records.is_empty() {
            records.extend(last());
        }
        records
    }

    /// Whether the message is stored, seen over all attempts: the worst one counts.
    pub(crate) fn applied(&self) -> Applied {
        self.records.iter().fold(Applied::No, |worst, attempt| match (worst, attempt.applied) {
            (Applied::Yes, _) | (_, Applied::Yes) => Applied::Yes,
            (Applied::Unknown, _) | (_, Applied::Unknown) => Applied::Unknown,
            _ => Applied::No,
        })
    }

    /// How long everything may take together.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How many attempts there may be.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn made(&self) -> u32 {
        self.made
    }
}

/// Whether another attempt can end better.
fn helps(failure: &Failure, policy: &RetryPolicy) -> bool {
    if failure.applied() == Applied::Unknown && !policy.retry_unknown {
        return false;
    }
    match (failure.kind(), failure.code()) {
        // The route was wrong and is looked up first.
        _ if failure.remedy() == Remedy::RefreshRoute => true,
        (_, Some(ServerCode::Remoting(code))) => RETRIED_CODES.contains(&code) || policy.retry_codes.contains(&code),
        // No broker answered: what helps is another one.
        (ErrorKind::BrokerUnreachable | ErrorKind::Timeout | ErrorKind::RouteNotFound, None) => true,
        _ => false,
    }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
