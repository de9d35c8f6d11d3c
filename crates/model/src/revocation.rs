use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a consumer still owns the queue that a message came from. Shared by all messages of one ownership; set once.
#[derive(Clone, Debug, Default)]
pub struct Revocation(Arc<AtomicBool>);

impl Revocation {
    /// A queue that is owned.
    pub fn new() -> Self {
        Self::default()
    }

    /// The queue went to another member, or the consumer ends.
    pub fn revoke(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`revoke`](Self::revoke) has been called.
    pub fn is_revoked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
