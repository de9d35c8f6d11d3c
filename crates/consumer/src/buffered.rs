use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferrocket_route::Budget;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, futures::Notified};

/// What all queues of a consumer hold together, and of its client; and the line of queues that wait until that is less.
pub(crate) struct Buffered {
    max_messages: usize,
    max_bytes: usize,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    coming: Mutex<Coming>,
    budget: Arc<Budget>,
    /// The first in line has its one permit. The line is as long as the assignment at most.
    line: Semaphore,
    /// Wakes the first in line.
    room: Notify,
}

impl Buffered {
    pub(crate) fn new(max_messages: usize, max_bytes: usize, budget: Arc<Budget>) -> Self {
        Self {
            max_messages,
            max_bytes,
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            coming: Mutex::default(),
            budget,
            line: Semaphore::new(1),
            room: Notify::new(),
        }
    }

    pub(crate) fn add(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.budget.add(bytes);
    }

    pub(crate) fn remove(&self, messages: usize, bytes: usize) {
        self.messages.fetch_sub(messages, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.budget.remove(bytes);
        self.wake_if_room();
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages.load(Ordering::Acquire)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// The option whose limit is reached.
    pub(crate) fn full(&self) -> Option<&'static str> {
        let limits = [
            ("buffer", self.messages() >= self.max_messages),
            ("buffer_bytes", self.bytes() >= self.max_bytes),
            ("max_buffer_bytes", !self.budget.has_room()),
        ];
        limits.into_iter().find(|(_, is_reached)| *is_reached).map(|(limit, _)| limit)
    }

    /// Whether it will be full when everything has come that is on its way.
    pub(crate) fn will_be_full(&self) -> bool {
        self.messages() + self.coming.lock().messages >= self.max_messages
    }

    /// Counts what a pull is going to bring, until its answer has come.
    pub(crate) fn count_on(&self, messages: u32) -> Expected<'_> {
        let messages = messages as usize;
        let mut coming = self.coming.lock();
        coming.messages += messages;
        Expected { buffered: self, messages, round: coming.round }
    }

    /// What is on its way takes too long to count on it.
    pub(crate) fn count_on_nothing(&self) {
        let mut coming = self.coming.lock();
        *coming = Coming { messages: 0, round: coming.round.wrapping_add(1) };
    }

    /// Whether queues stand in line.
    pub(crate) fn has_line(&self) -> bool {
        self.line.available_permits() == 0
    }

    /// Waits for the first place in line.
    pub(crate) async fn line(&self) -> Option<SemaphorePermit<'_>> {
        self.line.acquire().await.ok()
    }

    /// For the first in line: until there may be room.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Makes the first in line look.
    pub(crate) fn wake(&self) {
        if self.has_line() {
            self.room.notify_one();
        }
    }

    /// Makes the first in line look, if it would find room.
    pub(crate) fn wake_if_room(&self) {
        if self.has_line() && self.full().is_none() && !self.will_be_full() {
            self.room.notify_one();
        }
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.budget.remove(self.bytes());
    }
}

/// What pulls under way are going to bring.
#[derive(Default)]
struct Coming {
    messages: usize,
    /// Pulls of rounds before this one do not count any more.
    round: u32,
}

/// What a pull is going to bring.
pub(crate) struct Expected<'a> {
    buffered: &'a Buffered,
    messages: usize,
    round: u32,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        {
            let mut coming = self.buffered.coming.lock();
            if coming.round != self.round {
                return;
            }
            coming.messages -= self.messages;
        }
        self.buffered.wake_if_room();
    }
}
