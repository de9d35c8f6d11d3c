use std::{collections::BTreeMap, task::Waker, time::Duration};

use ferrocket_protocol::Command;
use tokio::time::Instant;

const NONE: u32 = u32::MAX;
const INDEX_BITS: u32 = 16;
/// Generations count from 1 to this and start anew: opaques stay positive and are never 0.
const LAST_GENERATION: u32 = (1 << (31 - INDEX_BITS)) - 1;

/// The requests that wait for an answer: a slab whose slots carry a generation, and the deadlines of all of them. Sans-IO: time
/// is passed in, and wakers come out.
///
/// The opaque of a request is its slot and the slot's generation, so that a late answer never meets a newer request (R-I10).
/// Deadlines are kept per millisecond, as a list through the slots: adding and removing one costs no allocation while others
/// share its millisecond, and there is no timer per request.
#[derive(Debug)]
pub(crate) struct Pending {
    slots: Vec<Slot>,
    free: u32,
    waiting: usize,
    capacity: usize,
    epoch: Instant,
    /// Milliseconds since the epoch, and the first slot of the list of that millisecond.
    deadlines: BTreeMap<u64, u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: State,
    /// Where the request begins in the stream.
    position: u64,
    deadline: u64,
    previous: u32,
    next: u32,
}

#[derive(Debug)]
enum State {
    /// On the free list; `next` is the next free one.
    Free,
    /// Somebody waits.
    Waiting(Option<Waker>),
    /// The answer is here, and nobody took it yet.
    Answered(Command),
    /// The deadline passed.
    Expired,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn opaque(self) -> i32 {
        ((self.generation << INDEX_BITS) | self.index) as i32
    }

    fn from_opaque(opaque: i32) -> Option<Self> {
        let bits = u32::try_from(opaque).ok()?;
        Some(Self { index: bits & ((1 << INDEX_BITS) - 1), generation: bits >> INDEX_BITS })
    }
}

/// What became of a request so far.
#[derive(Debug)]
pub(crate) enum Progress {
    Waiting,
    Answered(Command),
    Expired,
}

impl Pending {
    pub(crate) fn new(capacity: usize, epoch: Instant) -> Self {
        Self { slots: Vec::new(), free: NONE, waiting: 0, capacity, epoch, deadlines: BTreeMap::new() }
    }

    /// How many wait or have an answer that nobody took.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Whether one more fits.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting < self.capacity
    }

    /// Takes a slot; `None` when all are taken. `position` is where the request begins in the stream.
    pub(crate) fn insert(&mut self, deadline: Instant, position: u64) -> Option<Key> {
        if !self.has_room() {
            return None;
        }
        let index = if self.free == NONE {
            let index = u32::try_from(self.slots.len()).ok().filter(|index| *index < 1 << INDEX_BITS)?;
            self.slots.push(Slot {
                generation: 0,
                state: State::Free,
                position: 0,
                deadline: 0,
                previous: NONE,
                next: NONE,
            });
            index
        } else {
            self.free
        };
        let tick = self.tick(deadline);
        let head = self.deadlines.insert(tick, index).unwrap_or(NONE);
        let slot = self.slots.get_mut(index as usize)?;
        if index == self.free {
            self.free = slot.next;
        }
        slot.generation = if slot.generation >= LAST_GENERATION { 1 } else { slot.generation + 1 };
        slot.state = State::Waiting(None);
        slot.position = position;
        slot.deadline = tick;
        slot.previous = NONE;
        slot.next = head;
        let key = Key { index, generation: slot.generation };
        if let Some(next) = self.slots.get_mut(head as usize) {
            next.previous = index;
        }
        self.waiting += 1;
        Some(key)
    }

    /// An answer came. Gives back who waits; `Err` when nobody does: it is late, doubled, or was never asked for (R17).
    pub(crate) fn complete(&mut self, command: Command) -> Result<Option<Waker>, Box<Command>> {
        let Some(key) = Key::from_opaque(command.opaque) else { return Err(Box::new(command)) };
        match self.slot(key) {
            Some(slot) if matches!(slot.state, State::Waiting(_)) => {
                let State::Waiting(waker) = std::mem::replace(&mut slot.state, State::Answered(command)) else {
                    return Ok(None);
                };
                self.unlink(key.index);
                Ok(waker)
            }
            _ => Err(Box::new(command)),
        }
    }

    /// Looks at a request, and leaves a waker while it waits. An answer is taken, and its slot freed.
    pub(crate) fn poll(&mut self, key: Key, waker: &Waker) -> Progress {
        let Some(slot) = self.slot(key) else { return Progress::Expired };
        match &mut slot.state {
            State::Waiting(Some(known)) if known.will_wake(waker) => Progress::Waiting,
            State::Waiting(known) => {
                *known = Some(waker.clone());
                Progress::Waiting
            }
            State::Answered(_) => {
                let State::Answered(command) = std::mem::replace(&mut slot.state, State::Expired) else {
                    return Progress::Expired;
                };
                self.release(key.index);
                Progress::Answered(command)
            }
            State::Expired | State::Free => {
                self.release(key.index);
                Progress::Expired
            }
        }
    }

    /// Where a request that waits begins in the stream.
    pub(crate) fn position(&mut self, key: Key) -> Option<u64> {
        self.slot(key).map(|slot| slot.position)
    }

    /// Forgets a request. Its answer, should it come, meets nobody.
    pub(crate) fn remove(&mut self, key: Key) {
        if let Some(slot) = self.slot(key) {
            if matches!(slot.state, State::Waiting(_)) {
                self.unlink(key.index);
            }
            self.release(key.index);
        }
    }

    /// Ends every request whose deadline has passed, and puts who waits for them into `wakers`. Returns how many.
    pub(crate) fn expire(&mut self, now: Instant, wakers: &mut Vec<Waker>) -> usize {
        let now = u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX);
        let mut expired = 0;
        while let Some(entry) = self.deadlines.first_entry()
            && *entry.key() <= now
        {
            let mut index = entry.remove();
            while let Some(slot) = self.slots.get_mut(index as usize) {
                if let State::Waiting(Some(waker)) = std::mem::replace(&mut slot.state, State::Expired) {
                    wakers.push(waker);
                }
                expired += 1;
                index = slot.next;
            }
        }
        expired
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|(tick, _)| self.epoch + Duration::from_millis(*tick))
    }

    /// Everybody who waits; for the end of the connection.
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        for slot in &mut self.slots {
            if let State::Waiting(waker) = &mut slot.state {
                wakers.extend(waker.take());
            }
        }
    }

    /// Rounded up, so that nothing ends early.
    fn tick(&self, deadline: Instant) -> u64 {
        let since = deadline.saturating_duration_since(self.epoch);
        since.as_secs().saturating_mul(1_000).saturating_add(u64::from(since.subsec_nanos().div_ceil(1_000_000)))
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation && !matches!(slot.state, State::Free)).then_some(slot)
    }

    fn unlink(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        let (previous, next, tick) = (slot.previous, slot.next, slot.deadline);
        if let Some(slot) = self.slots.get_mut(previous as usize) {
            slot.next = next;
        } else if next == NONE {
            self.deadlines.remove(&tick);
        } else {
            self.deadlines.insert(tick, next);
        }
        if let Some(slot) = self.slots.get_mut(next as usize) {
            slot.previous = previous;
        }
    }

    fn release(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.state = State::Free;
            slot.next = self.free;
            self.free = index;
            self.waiting -= 1;
        }
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
