use std::time::Duration;

use ferrocket_backend::Redelivery;
use ferrocket_model::BoxError;

/// What became of a message in a listener.
#[derive(Debug)]
#[doc(alias = "ConsumeConcurrentlyStatus")]
#[doc(alias = "ConsumeOrderlyStatus")]
#[must_use]
pub struct Outcome {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Consumed,
    Retry { reason: BoxError, after: Option<Duration> },
    DeadLetter { reason: BoxError },
}

/// Delay levels of a broker that was not configured otherwise, in seconds.
const LEVELS: [u64; 18] = [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

impl Outcome {
    /// It was handled.
    #[doc(alias = "CONSUME_SUCCESS")]
    pub fn consumed() -> Self {
        Self { kind: Kind::Consumed }
    }

    /// It failed, and should come again: after 10 s, 30 s, 1 min, … 2 h, unless [`after`](Self::after) says otherwise. Where an order
    /// is kept, after `suspend` (1 s), and the queue waits for it; in broadcasting after 1 s, here.
    #[doc(alias = "RECONSUME_LATER")]
    #[doc(alias = "SUSPEND_CURRENT_QUEUE_A_MOMENT")]
    pub fn retry(reason: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Retry { reason: reason.into(), after: None } }
    }

    /// For [`retry`](Self::retry): not before this much time has passed. Rounded up to the broker's next delay level;
    /// where an order is kept, and in broadcasting, it is exact (10 ms to 30 s where an order is kept).
    #[doc(alias = "delayLevelWhenNextConsume")]
    pub fn after(mut self, delay: Duration) -> Self {
        if let Kind::Retry { after, .. } = &mut self.kind {
            *after = Some(delay);
        }
        self
    }

    /// It failed for good: to the group's dead-letter topic, without further attempts.
    pub fn dead_letter(reason: impl Into<BoxError>) -> Self {
        Self { kind: Kind::DeadLetter { reason: reason.into() } }
    }

    /// Whether it was handled.
    pub fn is_consumed(&self) -> bool {
        matches!(self.kind, Kind::Consumed)
    }

    /// Why not.
    pub fn reason(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Consumed => None,
            Kind::Retry { reason, .. } | Kind::DeadLetter { reason } => Some(&**reason),
        }
    }

    /// The time that [`after`](Self::after) asked for.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Retry { after, .. } => *after,
            _ => None,
        }
    }

    /// When the message is to come again; `None` when it was handled.
    pub(crate) fn redelivery(&self) -> Option<Redelivery> {
        match &self.kind {
            Kind::Consumed => None,
            Kind::DeadLetter { .. } => Some(Redelivery::DeadLetter),
            Kind::Retry { after: None, .. } => Some(Redelivery::ByAttempt),
            Kind::Retry { after: Some(after), .. } => {
                let fits = LEVELS.iter().position(|seconds| Duration::from_secs(*seconds) >= *after);
                let level = fits.map_or(LEVELS.len(), |index| index + 1);
                Some(Redelivery::AfterLevel(u8::try_from(level).unwrap_or(u8::MAX)))
            }
        }
    }
}

/// Everything a listener may return.
#[diagnostic::on_unimplemented(
    message = "a listener cannot return `{Self}`",
    note = "return `()`, `Outcome`, `Result<(), E>` or `Result<Outcome, E>`, where `E` is any error"
)]
pub trait IntoOutcome {
    /// As an outcome; an error means retry.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::consumed()
    }
}

impl<E: Into<BoxError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(()) => Outcome::consumed(),
            Err(error) => Outcome::retry(error),
        }
    }
}

impl<E: Into<BoxError>> IntoOutcome for Result<Outcome, E> {
    fn into_outcome(self) -> Outcome {
        self.unwrap_or_else(Outcome::retry)
    }
}

/// What became of a batch.
#[derive(Debug)]
#[must_use]
pub struct BatchOutcome {
    kind: BatchKind,
}

#[derive(Debug)]
enum BatchKind {
    All(Outcome),
    First(usize, BoxError),
    Each(Vec<Outcome>),
}

impl BatchOutcome {
    /// The same for all.
    pub fn all(outcome: Outcome) -> Self {
        Self { kind: BatchKind::All(outcome) }
    }

    /// The first `n` are consumed, the rest is retried. `n` at or above the size of the batch means all.
    #[doc(alias = "ackIndex")]
    pub fn first(n: usize, reason: impl Into<BoxError>) -> Self {
        Self { kind: BatchKind::First(n, reason.into()) }
    }

    /// One outcome per message, in order. Missing ones count as retry.
    pub fn each(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        Self { kind: BatchKind::Each(outcomes.into_iter().collect()) }
    }

    /// One outcome per message of a batch of this size.
    pub(crate) fn into_outcomes(self, size: usize) -> Vec<Outcome> {
        let again = |outcome: &Outcome| {
            let reason = outcome.reason().map(ToString::to_string).unwrap_or_default();
            match &outcome.kind {
                Kind::Consumed => Outcome::consumed(),
                Kind::DeadLetter { .. } => Outcome::dead_letter(reason),
                Kind::Retry { after, .. } => Outcome { kind: Kind::Retry { reason: reason.into(), after: *after } },
            }
        };
        match self.kind {
            BatchKind::All(outcome) => (0..size).map(|_| again(&outcome)).collect(),
            BatchKind::First(n, reason) => {
                let reason = reason.to_string();
                let one = |index| if index < n { Outcome::consumed() } else { Outcome::retry(reason.clone()) };
                (0..size).map(one).collect()
            }
            BatchKind::Each(mut outcomes) => {
                outcomes.truncate(size);
                outcomes.resize_with(size, || Outcome::retry("the listener returned no outcome for this message"));
                outcomes
            }
        }
    }
}

/// Everything a batch listener may return.
pub trait IntoBatchOutcome {
    /// As an outcome; an error means that the whole batch is retried.
    fn into_batch_outcome(self) -> BatchOutcome;
}

impl IntoBatchOutcome for BatchOutcome {
    fn into_batch_outcome(self) -> BatchOutcome {
        self
    }
}

impl IntoBatchOutcome for () {
    fn into_batch_outcome(self) -> BatchOutcome {
        BatchOutcome::all(Outcome::consumed())
    }
}

impl<E: Into<BoxError>> IntoBatchOutcome for Result<(), E> {
    fn into_batch_outcome(self) -> BatchOutcome {
        BatchOutcome::all(self.into_outcome())
    }
}

impl<E: Into<BoxError>> IntoBatchOutcome for Result<BatchOutcome, E> {
    fn into_batch_outcome(self) -> BatchOutcome {
        self.unwrap_or_else(|error| BatchOutcome::all(Outcome::retry(error)))
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
