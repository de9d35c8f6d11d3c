//! Progress that a pull takes along: fresher than the regular store, and without a request of its own (CON-PULL-11).
//!
//! Brokers do what they are asked in any order, and say with the answer to a pull that they have stored what it carried. So what
//! carries is a pull that is answered at once, and whoever stores last, as a hand-over does, waits for that answer: otherwise the
//! older offset might land behind the last one, and the next owner would begin there.

use std::sync::atomic::Ordering;

use ferrocket_backend::{BoxFuture, Outcome, Pulled};
use ferrocket_offset_store::Turn;

use super::{Queue, puller::unless_interrupted};
use crate::core::Core;

/// What a pull carries, with the turn to write it.
pub(super) struct Carried<'a> {
    pub(super) offset: u64,
    queue: &'a Queue,
    _turn: Turn,
}

impl<'a> Carried<'a> {
    /// What is ahead of the store; `None` also while somebody else writes, or when it would be too late.
    pub(super) fn take(core: &Core, queue: &'a Queue) -> Option<Self> {
        if !core.options.commits_with_pulls || !queue.is_safe() || queue.stop.is_cancelled() {
            return None;
        }
        let changed = || core.progress.with(|table| table.changed_in(queue.id()));
        changed()?;
        let turn = core.progress.turn(queue.id())?;
        // As it is now that nobody else writes.
        let offset = changed()?;
        queue.carries.store(true, Ordering::Release);
        Some(Self { offset, queue, _turn: turn })
    }

    /// Waits for the answer, whatever else is wanted meanwhile. When it is late the turn passes on: half of the time that a request
    /// has is left for who waits, and what is not stored by then is lost more likely than late.
    pub(super) async fn along(
        self,
        core: &Core,
        mut pulling: BoxFuture<'_, Outcome<Pulled>>,
    ) -> Option<Outcome<Pulled>> {
        let queue = self.queue;
        let stored = |pulled: &Outcome<Pulled>| {
            if let Ok(Pulled { committed: Some(offset), .. }) = pulled {
                core.progress.with(|table| table.written(queue.id(), *offset));
            }
        };
        if let Ok(pulled) = tokio::time::timeout(core.stack.request_timeout / 2, &mut pulling).await {
            stored(&pulled);
            return Some(pulled);
        }
        drop(self);
        let pulled = unless_interrupted(queue, pulling).await;
        pulled.as_ref().inspect(|pulled| stored(pulled));
        pulled
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        self.queue.carries.store(false, Ordering::Release);
    }
}
