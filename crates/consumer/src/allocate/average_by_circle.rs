use ferrocket_model::MessageQueue;

use super::{AllocateQueues, Allocation};

/// Queues are dealt out like cards, one to each member in turn.
///
/// As [`Average`](super::Average), and every member has queues of every broker as far as possible: a broker that is slow or away
/// costs all members a little, not one of them everything.
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "AllocateMessageQueueAveragelyByCircle")]
pub struct AverageByCircle;

impl AllocateQueues for AverageByCircle {
    fn name(&self) -> &str {
        "AVG_BY_CIRCLE"
    }

    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        let Some(place) = allocation.place() else { return Vec::new() };
        allocation.queues.iter().skip(place).step_by(allocation.members.len()).cloned().collect()
    }
}
