use std::collections::BTreeSet;

use ferrocket_model::{MessageQueue, SetupError};

use super::{AllocateQueues, Allocation, refused};

/// Queues of certain machine rooms only, shared equally. A broker's room is in its name: `room@broker`.
///
/// Queues of other rooms, and of brokers whose name has no room, belong to nobody: that is what this strategy is for. All members
/// must name the same rooms.
#[derive(Debug, Clone)]
#[doc(alias = "AllocateMessageQueueByMachineRoom")]
pub struct MachineRoom {
    rooms: BTreeSet<String>,
}

impl MachineRoom {
    /// The rooms whose queues the group consumes.
    ///
    /// # Errors
    ///
    /// Without any room, or with one that is blank or has an `@`: nothing would ever be consumed.
    #[doc(alias = "setConsumeridcs")]
    pub fn new<R: Into<String>>(rooms: impl IntoIterator<Item = R>) -> Result<Self, SetupError> {
        let rooms: BTreeSet<String> = rooms.into_iter().map(Into::into).collect();
        if rooms.is_empty() {
            return Err(refused("rooms", "no machine room is named"));
        }
        match rooms.iter().find(|room| room.trim().is_empty() || room.contains('@')) {
            Some(room) => Err(refused("rooms", format!("{room:?} cannot be the name of a machine room"))),
            None => Ok(Self { rooms }),
        }
    }

    fn takes(&self, queue: &MessageQueue) -> bool {
        // As Java splits: what would be empty at the end does not count.
        let broker = queue.broker().as_str().trim_end_matches('@');
        broker.split_once('@').is_some_and(|(room, name)| !name.contains('@') && self.rooms.contains(room))
    }
}

impl AllocateQueues for MachineRoom {
    fn name(&self) -> &str {
        "MACHINE_ROOM"
    }

    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        let Some(place) = allocation.place() else { return Vec::new() };
        let queues: Vec<_> = allocation.queues.iter().filter(|queue| self.takes(queue)).collect();
        // Blocks of equal length; what remains goes to the first members, one each.
        let members = allocation.members.len();
        let (block, rest) = (queues.len() / members, queues.len() % members);
        let own = queues.iter().skip(place * block).take(block);
        let extra = queues.iter().skip(place + block * members).take(usize::from(place < rest));
        own.chain(extra).map(|queue| (*queue).clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_no_broker_can_be_in_are_refused() {
        for rooms in [vec![], vec![""], vec!["IDC1", " "], vec!["IDC1@broker-a"]] {
            let error = MachineRoom::new(rooms.clone()).expect_err("refused");
            assert_eq!(error.option(), Some("rooms"), "{rooms:?}: {error}");
        }
    }

    // CON-ALLOC-04; Java's `String.split` drops empty texts at the end.
    #[test]
    fn a_broker_is_in_the_room_before_the_only_at_sign() {
        let strategy = MachineRoom::new(["IDC1"]).expect("rooms");
        let takes = |broker: &str| strategy.takes(&MessageQueue::new("T", broker, 0));
        assert!(takes("IDC1@a") && takes("IDC1@a@"));
        for broker in ["IDC1", "IDC1@", "IDC1@a@b", "IDC2@a", "@IDC1", "", "@", "IDC1@@a"] {
            assert!(!takes(broker), "{broker}");
        }
    }
}
