//! What servers do to clients by themselves: questions (R18), and offsets that an administrator sets.

use ferrocket::MessageQueue;
use ferrocket_protocol::{
    FieldSink, Request, RequestCode, WriteFields,
    request::{GetConsumerStatus, GetRunningInfo, MembersChanged},
};
use ferrocket_testkit::TestCluster;

use crate::{watch::end_of, world::GROUP};

/// A question of a server that is newer than we are.
struct Unknown(i32);

impl WriteFields for Unknown {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        sink.text("a", "b");
    }
}

impl Request for Unknown {
    const CODE: RequestCode = RequestCode(0);
    type Response = ();

    fn code(&self) -> RequestCode {
        RequestCode(self.0)
    }
}

/// Asks a client something, or tells it something; says what.
pub(crate) async fn ask(cluster: &TestCluster, client_id: &str, which: u32) -> &'static str {
    match which % 4 {
        0 => {
            let _ = cluster.ask_client(client_id, &Unknown(40_000)).await;
            "something unknown"
        }
        1 => {
            let _ = cluster.ask_client(client_id, &GetRunningInfo::new(client_id, GROUP, true)).await;
            "what it does"
        }
        2 => {
            let _ = cluster.ask_client(client_id, &GetConsumerStatus::new(GROUP, "Orders")).await;
            "how far it is"
        }
        _ => {
            (0..50).for_each(|_| _ = cluster.tell_client(client_id, &MembersChanged::new(GROUP)));
            "fifty times that the members changed"
        }
    }
}

/// Where an administrator may set the offset of a queue: so far from what is stored, and inside of the queue. What is stored may be of a
/// log that is gone. `None`: nothing is stored.
pub(crate) fn place_near(cluster: &TestCluster, queue: &MessageQueue, stored: Option<u64>, by: i64) -> Option<u64> {
    Some(stored?.saturating_add_signed(by).min(end_of(cluster, queue)))
}

/// Sets an offset, by one of the two ways there are.
pub(crate) fn set(cluster: &TestCluster, queue: &MessageQueue, offset: u64, by_broker: bool) {
    if by_broker {
        cluster.reset_offset(GROUP, queue, offset);
    } else {
        cluster.tell_to_reset(GROUP, &[(queue.clone(), offset)]);
    }
}
