use std::{collections::BTreeMap, fmt};

use ferrocket_model::MessageQueue;

use super::{AllocateQueues, Allocation};

/// Queues go to members in the same machine room; those of a room without members go to everybody. Within a room, and among
/// everybody, another strategy shares them.
///
/// What a room is, two functions say: of a queue, and of a member by its client id. Both must be pure, and the same in every
/// member. The empty text is a room like any other, where Java refuses to share anything.
///
/// ```
/// use ferrocket_consumer::{AllocateQueues, Allocation, Average, MachineRoomNearby};
/// use ferrocket_model::MessageQueue;
///
/// // Brokers are called `east-1`, and programs have a client id like `east-7f3a@1234`.
/// let room = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
/// let nearby = MachineRoomNearby::new(Average, move |queue| room(queue.broker().as_str()), room);
///
/// let queues = ["east-1", "west-1"].map(|broker| MessageQueue::new("Orders", broker, 0));
/// let members = ["east-7f3a@1234", "west-22c0@1234"].map(String::from);
/// let (group, topic) = ("billing".into(), "Orders".into());
/// let share = nearby.allocate(&Allocation::new(&group, &topic, &members[1], &queues, &members));
/// assert_eq!(share, [queues[1].clone()]);
/// ```
#[doc(alias = "AllocateMachineRoomNearby")]
pub struct MachineRoomNearby {
    name: String,
    inner: Box<dyn AllocateQueues>,
    room_of_queue: Box<dyn Fn(&MessageQueue) -> String + Send + Sync>,
    room_of_member: Box<dyn Fn(&str) -> String + Send + Sync>,
}

impl MachineRoomNearby {
    /// How queues are shared within a room, and the two functions that say where a queue and where a client id is.
    #[doc(alias = "MachineRoomResolver")]
    pub fn new(
        inner: impl AllocateQueues,
        room_of_queue: impl Fn(&MessageQueue) -> String + Send + Sync + 'static,
        room_of_member: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: format!("MACHINE_ROOM_NEARBY-{}", inner.name()),
            inner: Box::new(inner),
            room_of_queue: Box::new(room_of_queue),
            room_of_member: Box::new(room_of_member),
        }
    }
}

impl AllocateQueues for MachineRoomNearby {
    fn name(&self) -> &str {
        &self.name
    }

    fn allocate(&self, allocation: &Allocation<'_>) -> Vec<MessageQueue> {
        let Some(place) = allocation.place() else { return Vec::new() };
        let rooms: Vec<_> = allocation.members.iter().map(|member| (self.room_of_member)(member)).collect();
        let mut queues: BTreeMap<String, Vec<MessageQueue>> = BTreeMap::new();
        for queue in allocation.queues {
            queues.entry((self.room_of_queue)(queue)).or_default().push(queue.clone());
        }
        let share = |queues: &[MessageQueue], members: &[String]| {
            self.inner.allocate(&Allocation { queues, members, ..*allocation })
        };

        let mut own = Vec::new();
        if let Some(room) = rooms.get(place)
            && let Some(queues) = queues.get(room)
        {
            let neighbours = allocation.members.iter().zip(&rooms).filter(|(_, other)| *other == room);
            let neighbours: Vec<_> = neighbours.map(|(member, _)| member.clone()).collect();
            own = share(queues, &neighbours);
        }
        for (_, queues) in queues.iter().filter(|(room, _)| !rooms.contains(room)) {
            own.extend(share(queues, allocation.members));
        }
        own
    }
}

impl fmt::Debug for MachineRoomNearby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineRoomNearby").field("name", &self.name).finish_non_exhaustive()
    }
}
