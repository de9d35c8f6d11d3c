//! How the members of a group share the queues of a topic. One file per strategy; [`Average`] is what consumers use unless told
//! otherwise.

mod average;
mod average_by_circle;
mod consistent_hash;
mod fixed;
mod machine_room;
mod machine_room_nearby;
#[cfg(test)]
mod props;

pub use average::Average;
pub use average_by_circle::AverageByCircle;
pub use consistent_hash::ConsistentHash;
use ferrocket_model::{Failure, Group, MessageQueue, SetupError, Topic};
pub use fixed::Fixed;
pub use machine_room::MachineRoom;
pub use machine_room_nearby::MachineRoomNearby;

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

    /// Our place among the members, the first if we are listed twice. Who is not in the list owns nothing.
    fn place(&self) -> Option<usize> {
        self.members.iter().position(|member| member == self.client_id)
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

/// What a strategy's constructor says of a bad argument.
fn refused(option: &'static str, detail: impl Into<String>) -> SetupError {
    Failure::invalid_argument("set up an allocation strategy", detail).with_option(option).into()
}
