//! What goes wrong, one thing at a time.

use std::time::Duration;

use ferrocket::MessageQueue;
use ferrocket_testkit::{Action, Call, ResponseCode};

use super::{GROUP, Kind, World};
use crate::{common::SECOND, servers};

/// In a record the topic follows the body, its length first.
const BEHIND_A_BODY: &[u8] = b"\x06Orders";

impl World {
    /// One thing goes wrong, or changes.
    pub(super) async fn fault(&mut self) {
        self.faults += 1;
        // Of its own for each fault, so that one that draws more changes none of the others.
        let mut rng = self.rng.fork();
        let names = self.cluster.broker_names();
        let name = names[self.rng.usize(..names.len())].clone();
        let mut millis = |range| Duration::from_millis(rng.u64(range));
        match self.rng.u32(0..18) {
            0..2 if self.members.len() < 4 => self.join().await,
            2 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} leaves", member.number));
                    let deadline = millis(100..20_000);
                    self.free.extend(member.leave(deadline).await);
                }
            }
            3 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} crashes", member.number));
                    let history = self.books.of(member.who());
                    self.free.extend(member.crash(&history));
                }
            }
            4 => {
                if let Some(member) = self.take_member() {
                    self.note(format_args!("member {} is dropped", member.number));
                    drop(member);
                }
            }
            5 => {
                if let Some(member) = self.members.first() {
                    let time = millis(100..70_000);
                    self.note(format_args!("member {} stalls for {time:?}", member.number));
                    let wire = member.wire.clone();
                    wire.freeze();
                    self.books.base.lock().stalls();
                    tokio::spawn(async move {
                        tokio::time::sleep(time).await;
                        wire.thaw();
                    });
                }
            }
            6 => {
                if let Some(member) = self.members.last() {
                    self.note(format_args!("member {} is cut off for a moment", member.number));
                    member.wire.cut();
                }
            }
            7 => {
                self.note(format_args!("{name} stops and starts"));
                let broker = self.cluster.broker(&name);
                broker.stop();
                tokio::time::sleep(millis(10..8_000)).await;
                let _ = if self.rng.bool() { broker.restart().await } else { broker.restart_on_same_port().await };
                // The broker has forgotten its locks. Who had one hears of that with its connection; a member on whose wire nothing
                // moves cannot, and holds on until its lease ends (CON-BUG-33).
                self.locks_are_forgotten();
            }
            8 => {
                self.note(format_args!("{name} is silent"));
                self.cluster.broker(&name).pause();
                tokio::time::sleep(millis(100..10_000)).await;
                self.cluster.broker(&name).resume();
            }
            9 => {
                self.queues += 1;
                self.note(format_args!("the topic grows to {} queues", self.queues));
                self.cluster.create_topic("Orders", self.queues);
            }
            10 => {
                if let Some(member) = self.members.first() {
                    let (number, id) = (member.number, member.client.client_id().to_owned());
                    let what = servers::ask(&self.cluster, &id, rng.u32(..)).await;
                    self.note(format_args!("member {number} is asked {what}"));
                }
            }
            11 => {
                let queue = MessageQueue::new("Orders", name, rng.u32(..self.queues));
                // Forward in every third run, so that in the others nobody may pass over anything.
                let may_skip = self.seed.is_multiple_of(3);
                // Who stalls would hear of it much later.
                let (by, by_broker) = (rng.i64(if may_skip { -20..40 } else { -20..1 }), rng.bool() || self.stalls());
                self.note(format_args!("{queue} is set by {by}, by the broker: {by_broker}"));
                self.set(&queue, by, by_broker);
            }
            // In every second run, so that in the others nothing at all may be lost.
            12 if self.seed.is_multiple_of(2) => {
                self.note(format_args!("{name} is replaced by an empty one"));
                let broker = self.cluster.broker(&name);
                let port = broker.address().rsplit(':').next().and_then(|port| port.parse().ok());
                self.replaced = true;
                self.books.lose_log(&name, port.expect("it runs"), &self.cluster, self.kind.topics());
                broker.erase();
                tokio::time::sleep(millis(10..8_000)).await;
                broker.restart().await.expect("it starts");
                self.locks_are_forgotten();
            }
            13 if self.kind == Kind::Broadcast => {
                if let Some(member) = self.members.first() {
                    let times = rng.usize(1..8);
                    self.note(format_args!("the disk of member {} fails {times} times", member.number));
                    member.seat.as_ref().inspect(|seat| seat.fail(times));
                }
            }
            // In broadcasting nobody has another copy: it would be passed over.
            17 if self.kind != Kind::Broadcast => {
                if let Some(member) = self.members.first() {
                    let times = rng.usize(1..6);
                    self.note(format_args!(
                        "{times} times a bit of a body turns on the way to member {}",
                        member.number
                    ));
                    self.books.base.lock().expects_flips();
                    member.wire.flip_before(BEHIND_A_BODY, times);
                }
            }
            kind => {
                let calls = [
                    Call::SendBack,
                    Call::CommitOffset,
                    Call::ReadOffset,
                    Call::ConsumerList,
                    Call::Lock,
                    Call::Unlock,
                    Call::Pull,
                    Call::Heartbeat,
                ];
                let call = calls[self.rng.usize(..calls.len())];
                let times = self.rng.usize(1..6);
                let action = match kind {
                    12 | 13 => Action::Answer(ResponseCode::SYSTEM_ERROR, "a fault of this test".to_owned()),
                    14 => Action::ApplyThenDisconnect,
                    15 => Action::DropRequest,
                    _ => Action::Delay(millis(10..4_000)),
                };
                self.note(format_args!("{times} times {call:?}: {action:?}"));
                self.orders.add(call, times, action);
            }
        }
    }

    /// An administrator sets an offset.
    fn set(&self, queue: &MessageQueue, by: i64, by_broker: bool) {
        if self.kind != Kind::Broadcast {
            let stored = self.cluster.committed_offset(GROUP, queue);
            let Some(offset) = servers::place_near(&self.cluster, queue, stored, by) else { return };
            self.books.base.lock().jump(queue, offset, "an administrator said so");
            return servers::set(&self.cluster, queue, offset, by_broker);
        }
        // A broker says it to one member only, and to those that do not stall at once.
        let seats: Vec<_> = self.members.iter().filter_map(|member| member.seat.as_ref()).collect();
        let stored = seats.first().and_then(|seat| seat.history.lock().position(queue));
        let Some(offset) = servers::place_near(&self.cluster, queue, stored, by).filter(|_| !self.stalls()) else {
            return;
        };
        seats.iter().for_each(|seat| seat.history.lock().is_told(queue, offset));
        servers::set(&self.cluster, queue, offset, false);
    }

    /// Whether nothing moves on somebody's wire.
    fn stalls(&self) -> bool {
        self.wires.iter().any(|wire| wire.is_frozen())
    }

    /// A broker began anew. Who had a lock hears of that with its next connection there, or when its lease ends.
    fn locks_are_forgotten(&self) {
        self.books.base.lock().excuse(if self.stalls() { 31 * SECOND } else { 6 * SECOND });
    }
}
