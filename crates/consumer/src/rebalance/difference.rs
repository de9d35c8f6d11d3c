use std::collections::BTreeSet;

use ferrocket_model::MessageQueue;

/// What changes: queues to give up, and queues to take over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) revoked: Vec<MessageQueue>,
    pub(super) assigned: Vec<MessageQueue>,
    /// Queues to take over that are still on their way to somebody else.
    pub(super) later: bool,
}

/// From what is owned to what should be, with what is on its way out. Sans-IO.
pub(super) fn difference(
    owned: &BTreeSet<MessageQueue>,
    leaving: &BTreeSet<MessageQueue>,
    wanted: impl IntoIterator<Item = MessageQueue>,
) -> Difference {
    let wanted: BTreeSet<_> = wanted.into_iter().collect();
    let (leaving, assigned): (Vec<_>, Vec<_>) =
        wanted.difference(owned).cloned().partition(|queue| leaving.contains(queue));
    Difference { revoked: owned.difference(&wanted).cloned().collect(), assigned, later: !leaving.is_empty() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queues(ids: impl IntoIterator<Item = u32>) -> BTreeSet<MessageQueue> {
        ids.into_iter().map(|id| MessageQueue::new("T", "b", id)).collect()
    }

    #[test]
    fn only_what_changes_is_touched() {
        let change = difference(&queues([0, 1, 2]), &queues([4]), queues([2, 3, 4]));
        assert_eq!(change.revoked, queues([0, 1]).into_iter().collect::<Vec<_>>());
        assert_eq!(change.assigned, queues([3]).into_iter().collect::<Vec<_>>());
        assert!(change.later, "one is on its way out still");
        assert_eq!(difference(&queues([1]), &queues([]), queues([1])), Difference::default());
    }

    proptest! {
        /// R-I5: over any schedule of shares and ends of hand-overs, what is owned comes to be what is wanted, and no queue is taken
        /// over while it is owned or on its way out.
        #[test]
        fn what_is_owned_comes_to_be_what_is_wanted(
            shares in proptest::collection::vec((proptest::collection::btree_set(0u32..12, 0..12), 0u8..4), 1..40)
        ) {
            let (mut owned, mut leaving) = (BTreeSet::new(), BTreeSet::new());
            for (share, ends) in shares {
                let wanted = queues(share);
                let change = difference(&owned, &leaving, wanted.clone());
                for queue in &change.assigned {
                    prop_assert!(!leaving.contains(queue) && owned.insert(queue.clone()), "{} twice", queue);
                }
                for queue in &change.revoked {
                    prop_assert!(owned.remove(queue) && leaving.insert(queue.clone()));
                }
                prop_assert!(owned.is_subset(&wanted));
                prop_assert_eq!(change.later, owned != wanted);
                for _ in 0..ends {
                    leaving.pop_first();
                }
            }
            leaving.clear();
            let wanted: BTreeSet<_> = queues([1, 2, 3]);
            let change = difference(&owned, &leaving, wanted.clone());
            change.revoked.iter().for_each(|queue| _ = owned.remove(queue));
            owned.extend(change.assigned);
            prop_assert_eq!(owned, wanted);
        }
    }
}
