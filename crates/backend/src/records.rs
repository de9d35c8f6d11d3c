use std::{fmt, mem};

use ferrocket_model::ReceivedMessage;

/// The messages that a pull brought, in offset order. What waits takes no more than it must: a transport keeps bytes, and makes a
/// message of them each time somebody takes one.
pub trait Records: fmt::Debug + Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The offset of the one at this place.
    fn offset(&self, place: usize) -> Option<u64>;

    /// The one at this place. When its body cannot be read, it says so by its defect.
    fn message(&self, place: usize) -> Option<ReceivedMessage>;

    /// Drops those that are not wanted; places are counted anew.
    fn retain(&mut self, wanted: &mut dyn FnMut(&ReceivedMessage) -> bool);

    /// They will wait for a while: gives back memory that only lies between them.
    fn settle_down(&mut self) {}

    /// What they keep in memory.
    fn retained_bytes(&self) -> usize;
}

/// Messages that are made already.
impl Records for Vec<ReceivedMessage> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn offset(&self, place: usize) -> Option<u64> {
        self.get(place).map(ReceivedMessage::offset)
    }

    fn message(&self, place: usize) -> Option<ReceivedMessage> {
        self.get(place).cloned()
    }

    fn retain(&mut self, wanted: &mut dyn FnMut(&ReceivedMessage) -> bool) {
        self.retain(wanted);
    }

    fn retained_bytes(&self) -> usize {
        self.iter().map(|message| mem::size_of_val(message) + message.wire_bytes()).sum()
    }
}
