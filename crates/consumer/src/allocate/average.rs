use ferrocket_model::MessageQueue;

use super::{AllocateQueues, Allocation};

/// Consecutive runs of queues, of equal length as far as possible: what Java does unless told otherwise.
///
/// Of 10 queues and 4 members the first two get 3, the others 2. Members beyond the number of queues get none.
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "AllocateMessageQueueAveragely")]
pub struct Average;

impl AllocateQueues for Average {
    fn name(&self) -> &str {
        "AVG"
    }

    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        let (queues, members) = (allocation.queues.len(), allocation.members.len());
        let Some(index) = allocation.place() else { return Vec::new() };
        let rest = queues % members;
        let has_one_more = index < rest;
        let share = if queues <= members { 1 } else { queues / members + usize::from(has_one_more) };
        let start = if has_one_more { index * share } else { index * share + rest };
        allocation.queues.iter().skip(start).take(share).cloned().collect()
    }
}
