use std::time::Duration;

/// Automatic batching of single sends: they wait a moment for others of their topic (and queue, tag and wait flag), and leave in
/// one request. Each has its own receipt or error. Flushed at shutdown.
///
/// Sends with a timeout, a number of attempts or a selector of their own go alone, and so do delayed messages, replies, half
/// messages, messages with a sharding key, those that are large enough to be compressed, and all sends of a producer with a
/// selector. A message that has joined a batch is sent also when its future is dropped. The time of a send begins when its batch
/// leaves. A batch leaves early, too, when another message would make it larger than `max_message_bytes`.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[doc(alias = "ProduceAccumulator")]
pub struct AutoBatch {
    /// The longest that a message waits. Default: 10 ms; 1 ms to 30 s.
    #[doc(alias = "batchMaxDelayMs")]
    pub max_delay: Duration,
    /// A batch leaves when its bodies are more than this. Default: 32 KiB; 1 B to 2 MiB, and to half of `max_message_bytes`.
    /// Larger messages go alone.
    #[doc(alias = "batchMaxBytes")]
    pub max_bytes: usize,
    /// Bodies in all batches that wait or are on their way; beyond it messages go alone. Default: 32 MiB.
    #[doc(alias = "totalBatchMaxBytes")]
    pub total_bytes: usize,
}

impl Default for AutoBatch {
    fn default() -> Self {
        Self { max_delay: Duration::from_millis(10), max_bytes: 32 << 10, total_bytes: 32 << 20 }
    }
}

impl AutoBatch {
    /// The longest that a message waits.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// A batch leaves when it has more than this.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// All batches together.
    pub fn total_bytes(mut self, bytes: usize) -> Self {
        self.total_bytes = bytes;
        self
    }

    /// What the timer is set to, so that `max_delay` is the longest wait and not the shortest.
    pub(crate) fn timer(&self) -> Duration {
        self.max_delay.saturating_sub(TIMER_STEP).max(TIMER_STEP)
    }

    /// What cannot work (PRO-ACC-02).
    pub(crate) fn check(&self, max_message_bytes: usize) -> Result<(), String> {
        if self.max_delay < Duration::from_millis(1) || self.max_delay > Duration::from_secs(30) {
            Err(format!("`max_delay` is {:?}, and 1 ms to 30 s can work", self.max_delay))
        } else if self.max_bytes == 0 || self.max_bytes > 2 << 20 {
            Err(format!("`max_bytes` is {}, and 1 to {} can work", self.max_bytes, 2 << 20))
        } else if self.max_bytes > max_message_bytes / 2 {
            Err(format!(
                "`max_bytes` is {}, more than half of `max_message_bytes` ({max_message_bytes})",
                self.max_bytes
            ))
        } else if self.total_bytes == 0 {
            Err("`total_bytes` is 0, so that nothing could ever be batched".to_owned())
        } else {
            Ok(())
        }
    }
}

/// Timers fire up to this late: the wheel of timers turns once per millisecond, and rounds up.
const TIMER_STEP: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// PRO-ACC-02: `max_delay` bounds the wait. A timer set to all of it fires up to 1 ms late.
    #[test]
    fn a_timer_that_is_late_still_fires_within_the_delay_and_never_at_once() {
        let timer = |ms| AutoBatch::default().max_delay(Duration::from_millis(ms)).timer().as_millis();
        assert_eq!([timer(1), timer(2), timer(10), timer(30_000)], [1, 1, 9, 29_999]);
    }
}
