use std::sync::atomic::{AtomicUsize, Ordering};

/// What all consumers of a client may keep in memory together. Default: 512 MiB.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// Takes bytes, above the limit too: what was received is there.
    pub fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Gives bytes back.
    pub fn remove(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// What is used.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Whether more may be received.
    pub fn has_room(&self) -> bool {
        self.used() < self.limit
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(512 << 20)
    }
}
