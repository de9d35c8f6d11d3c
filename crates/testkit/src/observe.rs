use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::Call;

/// What a test can see from outside: counts, and a bell that rings whenever something happened.
#[derive(Default)]
pub(crate) struct Observer {
    requests: [AtomicUsize; Call::COUNT],
    connections: AtomicUsize,
    happened: Notify,
}

impl Observer {
    pub(crate) fn requested(&self, call: Option<Call>) {
        if let Some(counter) = call.and_then(|call| self.requests.get(call as usize)) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(crate) fn requests(&self, call: Call) -> usize {
        self.requests.get(call as usize).map_or(0, |counter| counter.load(Ordering::SeqCst))
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.ring();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
        self.ring();
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn ring(&self) {
        self.happened.notify_waiters();
    }

    pub(crate) fn bell(&self) -> &Notify {
        &self.happened
    }
}
