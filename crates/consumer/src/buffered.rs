use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferrocket_route::Budget;

/// What all queues of a consumer hold together, and of its client.
pub(crate) struct Buffered {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    budget: Arc<Budget>,
}

impl Buffered {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { messages: AtomicUsize::new(0), bytes: AtomicUsize::new(0), budget }
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
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages.load(Ordering::Acquire)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    pub(crate) fn budget_has_room(&self) -> bool {
        self.budget.has_room()
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        let left = self.bytes();
        self.budget.remove(left);
    }
}
