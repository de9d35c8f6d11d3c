use ferrocket_model::MessageQueue;

use super::{AllocateQueues, Allocation, Average};

/// These queues, whoever else is in the group. Nobody checks that every queue has one owner: that is up to who wrote the lists.
///
/// Other than Java's, it answers for one topic with the queues of that topic only, where Java answers for every topic with the
/// whole list and so never comes to rest. And the group's retry topic, which nobody lists, is shared as by [`Average`]: with Java
/// nobody owns it, and messages that failed once are never seen again. Who does list queues of the retry topic gets those.
///
/// An empty list is a member that takes part in retries only.
#[derive(Debug, Clone)]
#[doc(alias = "AllocateMessageQueueByConfig")]
pub struct Fixed {
    queues: Vec<MessageQueue>,
}

impl Fixed {
    /// The queues of this member, of all its topics. One that does not exist is left out until it does.
    pub fn new(queues: impl IntoIterator<Item = MessageQueue>) -> Self {
        let mut queues: Vec<_> = queues.into_iter().collect();
        queues.sort();
        queues.dedup();
        Self { queues }
    }
}

impl AllocateQueues for Fixed {
    fn name(&self) -> &str {
        "CONFIG"
    }

    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        let listed: Vec<_> = self.queues.iter().filter(|queue| queue.topic() == allocation.topic).cloned().collect();
        if listed.is_empty() && allocation.topic.is_retry() {
            return Average.allocate(allocation);
        }
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(topic: &str, id: u32) -> MessageQueue {
        MessageQueue::new(topic, "broker-a", id)
    }

    fn share(fixed: &Fixed, topic: &str) -> Vec<MessageQueue> {
        let queues = [queue(topic, 0), queue(topic, 1)];
        let members = ["one".to_owned(), "two".to_owned()];
        fixed.allocate(&Allocation::new(&"CG".into(), &topic.into(), "two", &queues, &members))
    }

    // CON-ALLOC-03
    #[test]
    fn each_topic_gets_its_own_queues_of_the_list() {
        let fixed = Fixed::new([queue("S", 7), queue("T", 3), queue("T", 0), queue("T", 3)]);
        assert_eq!(share(&fixed, "T"), [queue("T", 0), queue("T", 3)]);
        assert_eq!(share(&fixed, "S"), [queue("S", 7)]);
        assert_eq!(share(&fixed, "U"), []);
    }

    // CON-ALLOC-03
    #[test]
    fn retries_are_shared_by_all_members_unless_they_are_listed() {
        let fixed = Fixed::new([queue("T", 0)]);
        assert_eq!(share(&fixed, "%RETRY%CG"), [queue("%RETRY%CG", 1)]);
        let fixed = Fixed::new([queue("T", 0), queue("%RETRY%CG", 0)]);
        assert_eq!(share(&fixed, "%RETRY%CG"), [queue("%RETRY%CG", 0)]);
    }
}
