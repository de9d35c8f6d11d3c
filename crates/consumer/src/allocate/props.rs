use std::collections::BTreeSet;

use ferrocket_model::MessageQueue;
use proptest::{prelude::*, sample::subsequence};

use super::{
    AllocateQueues, Allocation, Average, AverageByCircle, ConsistentHash, Fixed, MachineRoom, MachineRoomNearby,
};

const ROOMS: [&str; 4] = ["IDC1", "IDC2", "IDC3", ""];

/// Up to 40 queues on brokers in several rooms, sorted as members see them.
fn queues() -> impl Strategy<Value = Vec<MessageQueue>> {
    let all: Vec<_> = ROOMS
        .iter()
        .flat_map(|room| (0..10).map(move |id| MessageQueue::new("T", format!("{room}@broker-{}", id % 3), id)))
        .collect();
    subsequence(all, 0..=40).prop_map(sorted)
}

/// One to 24 members in the same rooms, none of them twice.
fn members() -> impl Strategy<Value = Vec<String>> {
    let all: Vec<_> = ROOMS.iter().flat_map(|room| (0..6).map(move |pid| format!("{room}@10.0.0.{pid}"))).collect();
    subsequence(all, 1..=24).prop_map(|mut members| {
        members.sort();
        members
    })
}

fn sorted(mut queues: Vec<MessageQueue>) -> Vec<MessageQueue> {
    queues.sort();
    queues
}

fn room(name: &str) -> String {
    name.split('@').next().unwrap_or_default().to_owned()
}

fn nearby(inner: impl AllocateQueues) -> MachineRoomNearby {
    MachineRoomNearby::new(inner, |queue| room(queue.broker().as_str()), room)
}

fn share(
    strategy: &dyn AllocateQueues,
    client_id: &str,
    queues: &[MessageQueue],
    members: &[String],
) -> Vec<MessageQueue> {
    strategy.allocate(&Allocation::new(&"CG".into(), &"T".into(), client_id, queues, members))
}

/// The shares of all members, one after the other.
fn shares(strategy: &dyn AllocateQueues, queues: &[MessageQueue], members: &[String]) -> Vec<MessageQueue> {
    members.iter().flat_map(|member| share(strategy, member, queues, members)).collect()
}

/// What shares every queue that there is.
fn complete() -> Vec<Box<dyn AllocateQueues>> {
    vec![
        Box::new(Average),
        Box::new(AverageByCircle),
        Box::new(ConsistentHash::new()),
        // With so few places many members and queues collide.
        Box::new(ConsistentHash::new().hash(|text| text.bytes().map(i64::from).sum::<i64>() % 7 - 3)),
        Box::new(nearby(Average)),
        Box::new(nearby(AverageByCircle)),
        Box::new(nearby(ConsistentHash::new())),
        Box::new(nearby(nearby(Average))),
    ]
}

proptest! {
    #[test]
    fn every_queue_has_exactly_one_owner(queues in queues(), members in members()) {
        for strategy in complete() {
            let owned = sorted(shares(&*strategy, &queues, &members));
            prop_assert_eq!(&owned, &queues, "{}", strategy.name());
        }
    }

    #[test]
    fn every_queue_of_the_rooms_has_exactly_one_owner(
        queues in queues(), members in members(), rooms in subsequence(vec!["IDC1", "IDC2", "IDC3"], 1..=3),
    ) {
        let strategy = MachineRoom::new(rooms.clone()).expect("rooms");
        let owned = sorted(shares(&strategy, &queues, &members));
        let wanted: Vec<_> =
            queues.into_iter().filter(|queue| rooms.contains(&&*room(queue.broker().as_str()))).collect();
        prop_assert_eq!(owned, wanted);
    }

    #[test]
    fn shares_differ_by_one_queue_at_most(queues in queues(), members in members()) {
        let strategies: [Box<dyn AllocateQueues>; 3] =
            [Box::new(Average), Box::new(AverageByCircle), Box::new(MachineRoom::new(["IDC1"]).expect("rooms"))];
        for strategy in strategies {
            let sizes: BTreeSet<_> =
                members.iter().map(|member| share(&*strategy, member, &queues, &members).len()).collect();
            let (least, most) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
            prop_assert!(most - least <= 1, "{}: {:?}", strategy.name(), sizes);
        }
    }

    /// Why somebody chooses a ring: who stays loses nothing to others who stay. Two members with one hash are left out, as then
    /// the later one hides the earlier.
    #[test]
    fn when_a_member_leaves_the_ring_only_its_queues_move(queues in queues(), members in members()) {
        let strategy = ConsistentHash::new();
        let (leaver, rest) = members.split_first().expect("a member");
        prop_assume!(!rest.is_empty());
        for member in rest {
            let before: BTreeSet<_> = share(&strategy, member, &queues, &members).into_iter().collect();
            let after: BTreeSet<_> = share(&strategy, member, &queues, rest).into_iter().collect();
            let left: BTreeSet<_> = share(&strategy, leaver, &queues, &members).into_iter().collect();
            prop_assert!(before.is_subset(&after));
            prop_assert!(after.difference(&before).all(|queue| left.contains(queue)));
        }
    }

    #[test]
    fn a_room_with_members_and_queues_keeps_them_together(queues in queues(), members in members()) {
        let strategy = nearby(Average);
        let inhabited: BTreeSet<_> = members.iter().map(|member| room(member)).collect();
        for member in &members {
            for queue in share(&strategy, member, &queues, &members) {
                let home = room(queue.broker().as_str());
                prop_assert!(home == room(member) || !inhabited.contains(&home), "{} has {}", member, queue);
            }
        }
    }

    #[test]
    fn who_is_not_in_the_list_owns_nothing(queues in queues(), members in members()) {
        for strategy in complete() {
            prop_assert!(share(&*strategy, "stranger", &queues, &members).is_empty(), "{}", strategy.name());
            prop_assert!(share(&*strategy, "stranger", &queues, &[]).is_empty(), "{}", strategy.name());
        }
        let configured = Fixed::new([MessageQueue::new("T", "b", 0)]);
        prop_assert_eq!(share(&configured, "stranger", &queues, &members).len(), 1);
    }
}
