use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use ferrocket_backend::Records;
use ferrocket_model::ReceivedMessage;

/// Messages that come when so many wait are going to wait, too: they are brought into the least memory.
const BACKLOG: usize = 64;

/// The messages of one queue between the pull and their settling. Sans-IO.
///
/// What may be committed is the offset of the first message that is not settled; when all are, it is where the next pull begins.
/// Memory is counted as what the messages keep alive: a whole answer until its last message is settled (R-I6).
#[derive(Debug)]
#[doc(alias = "ProcessQueue")]
pub(crate) struct QueueBuffer {
    entries: VecDeque<Entry>,
    /// No entry before this one waits to be handed out.
    ready: usize,
    /// Messages that wait to be handed out.
    waiting: usize,
    settled: usize,
    /// Behind the last message that was pulled.
    end: u64,
    /// What came, for as long as one of its messages is not settled.
    pulls: VecDeque<Retained>,
    first_pull: u64,
    /// Messages that wait again. As others should see them: what is pulled says nothing of attempts made here.
    put_back: BTreeMap<u64, Box<ReceivedMessage>>,
    retained_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    offset: u64,
    /// The pull that brought it.
    pull: u64,
    /// Its place among what that pull brought.
    place: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has it, or somebody gave it back.
    Waits,
    /// A listener has it.
    Out,
    Settled,
}

#[derive(Debug)]
struct Retained {
    records: Option<Arc<dyn Records>>,
    bytes: usize,
    messages: usize,
}

/// A message on its way out, which is not made yet: that takes time, and needs no lock.
#[derive(Debug)]
pub(crate) enum Taken {
    Record(Arc<dyn Records>, usize),
    Message(Box<ReceivedMessage>),
}

impl Taken {
    pub(crate) fn into_message(self) -> Option<ReceivedMessage> {
        match self {
            Self::Record(records, place) => records.message(place),
            Self::Message(message) => Some(*message),
        }
    }
}

impl QueueBuffer {
    pub(crate) fn new(offset: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            ready: 0,
            waiting: 0,
            settled: 0,
            end: offset,
            pulls: VecDeque::new(),
            first_pull: 0,
            put_back: BTreeMap::new(),
            retained_bytes: 0,
        }
    }

    /// Takes what a pull brought. Messages below what was pulled before are doubles and left out. `next` is where the next pull
    /// begins. Returns how many were taken.
    pub(crate) fn put(&mut self, records: Box<dyn Records>, next: u64) -> usize {
        let pull = self.first_pull + self.pulls.len() as u64;
        let before = self.entries.len();
        for place in 0..records.len() {
            let Some(offset) = records.offset(place).filter(|offset| *offset >= self.end) else { continue };
            self.end = offset + 1;
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            self.entries.push_back(Entry { offset, pull, place, state: State::Waits });
        }
        let taken = self.entries.len() - before;
        if taken > 0 {
            let bytes = records.retained_bytes();
            self.pulls.push_back(Retained { records: Some(records.into()), bytes, messages: taken });
            self.retained_bytes += bytes;
        }
        self.waiting += taken;
        self.end = self.end.max(next);
        taken
    }

    /// Whether what comes now will wait for a while.
    pub(crate) fn has_backlog(&self) -> bool {
        self.waiting >= BACKLOG
    }

    /// The next message, in offset order.
    pub(crate) fn take_one(&mut self) -> Option<Taken> {
        while let Some(entry) = self.entries.get_mut(self.ready) {
            self.ready += 1;
            if entry.state != State::Waits {
                continue;
            }
            entry.state = State::Out;
            self.waiting -= 1;
            let (offset, pull, place) = (entry.offset, entry.pull, entry.place as usize);
            if let Some(message) = self.put_back.remove(&offset) {
                return Some(Taken::Message(message));
            }
            return self.records(pull).map(|records| Taken::Record(records, place));
        }
        None
    }

    /// A message that was handed out waits again, at its place. One that is not here (any more) does not.
    pub(crate) fn put_back(&mut self, message: ReceivedMessage) {
        let offset = message.offset();
        let index = self.entries.partition_point(|entry| entry.offset < offset);
        let is_out = |entry: &&mut Entry| entry.offset == offset && entry.state == State::Out;
        if let Some(entry) = self.entries.get_mut(index).filter(is_out) {
            entry.state = State::Waits;
            self.put_back.insert(offset, message.into());
            self.waiting += 1;
            self.ready = self.ready.min(index);
        }
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.waiting > 0
    }

    /// A message is done with. Returns what may be committed now. A message that is not here (any more) changes nothing.
    pub(crate) fn settle(&mut self, offset: u64) -> u64 {
        let index = self.entries.partition_point(|entry| entry.offset < offset);
        let is_here = |entry: &&mut Entry| entry.offset == offset && entry.state != State::Settled;
        if let Some(entry) = self.entries.get_mut(index).filter(is_here) {
            let (pull, state) = (entry.pull, mem::replace(&mut entry.state, State::Settled));
            if state != State::Out {
                self.waiting -= 1;
                self.put_back.remove(&offset);
            }
            self.settled += 1;
            self.release(pull);
            while self.entries.front().is_some_and(|entry| entry.state == State::Settled) {
                self.entries.pop_front();
                self.settled -= 1;
                self.ready = self.ready.saturating_sub(1);
            }
        }
        self.committable()
    }

    /// The next offset to consume after a crash: everything below is settled.
    pub(crate) fn committable(&self) -> u64 {
        self.entries.front().map_or(self.end, |entry| entry.offset)
    }

    /// Forgets everything, and goes on at another offset: the broker or an operator said so.
    pub(crate) fn reset(&mut self, offset: u64) {
        *self = Self::new(offset);
    }

    /// The first and the last message that are not settled.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        let last = self.entries.iter().rev().find(|entry| entry.state != State::Settled)?;
        Some((self.entries.front()?.offset, last.offset))
    }

    /// Messages that are not settled.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.settled
    }

    /// What they keep in memory.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.retained_bytes
    }

    /// From the first message that is not settled to the last one that was pulled, settled or not: what comes twice after a crash.
    pub(crate) fn span(&self) -> u64 {
        match (self.entries.front(), self.entries.back()) {
            (Some(first), Some(last)) => last.offset - first.offset,
            _ => 0,
        }
    }

    fn index(&self, pull: u64) -> Option<usize> {
        pull.checked_sub(self.first_pull).and_then(|index| usize::try_from(index).ok())
    }

    fn records(&self, pull: u64) -> Option<Arc<dyn Records>> {
        self.pulls.get(self.index(pull)?)?.records.clone()
    }

    fn release(&mut self, pull: u64) {
        let index = self.index(pull);
        if let Some(retained) = index.and_then(|index| self.pulls.get_mut(index)) {
            retained.messages -= 1;
            if retained.messages == 0 {
                self.retained_bytes -= retained.bytes;
                retained.bytes = 0;
                retained.records = None;
            }
        }
        while self.pulls.front().is_some_and(|retained| retained.messages == 0) {
            self.pulls.pop_front();
            self.first_pull += 1;
        }
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
