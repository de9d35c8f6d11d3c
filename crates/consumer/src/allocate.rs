use ferrocket_model::{Group, MessageQueue, Topic};

/// The inputs of an allocation, sorted as every member of the group sorts them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Allocation<'a> {
    /// The group.
    pub group: &'a Group,
    /// The topic.
    pub topic: &'a Topic,
    /// Who we are.
    pub client_id: &'a str,
    /// The queues of the topic.
    pub queues: &'a [MessageQueue],
    /// The members of the group.
    pub members: &'a [String],
}

impl<'a> Allocation<'a> {
    /// The inputs from their parts, for tests of a strategy. Queues and members must be sorted, as a group's members see them.
    pub fn new(
        group: &'a Group,
        topic: &'a Topic,
        client_id: &'a str,
        queues: &'a [MessageQueue],
        members: &'a [String],
    ) -> Self {
        Self { group, topic, client_id, queues, members }
    }
}

/// Which queues of a topic are mine? A pure function: every member computes it from the same inputs.
#[doc(alias = "AllocateMessageQueueStrategy")]
pub trait AllocateQueues: Send + Sync + 'static {
    /// Its name; members of one group should agree on it.
    fn name(&self) -> &str {
        "CUSTOM"
    }
    /// The share of `client_id`.
    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue>;
}

impl<F> AllocateQueues for F
where
    F: Fn(&Allocation<'_>) -> Vec<MessageQueue> + Send + Sync + 'static,
{
    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        self(allocation)
    }
}

/// Consecutive runs of queues, of equal length as far as possible: what Java does unless told otherwise.
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "AllocateMessageQueueAveragely")]
pub struct Average;

impl AllocateQueues for Average {
    fn name(&self) -> &str {
        "AVG"
    }

    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        let (queues, members) = (allocation.queues.len(), allocation.members.len());
        let Some(index) = allocation.members.iter().position(|member| member == allocation.client_id) else {
            return Vec::new();
        };
        let rest = queues % members;
        let has_one_more = index < rest;
        let share = if queues <= members { 1 } else { queues / members + usize::from(has_one_more) };
        let start = if has_one_more { index * share } else { index * share + rest };
        allocation.queues.iter().skip(start).take(share).cloned().collect()
    }
}
