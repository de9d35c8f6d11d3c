//! Progress that a pull takes along: fresher than the regular store, and without a request of its own (CON-PULL-11).
//!
//! Brokers do what they are asked in any order, and say with the answer to a pull that they have stored what it carried. So what
//! carries is a pull that is answered at once, and whoever stores last, as a hand-over does, waits for that answer: otherwise the
//! older offset might land behind the last one, and the next owner would begin there.

use std::{sync::atomic::Ordering, time::Duration};

use ferrocket_backend::{BoxFuture, Outcome, PullOutcome, Pulled};
use ferrocket_offset_store::Turn;

use super::{Queue, puller::unless_interrupted};
use crate::core::Core;

/// Progress goes along this often at most: a queue that has caught up makes a pull of its own of it.
const EVERY: Duration = Duration::from_millis(20);

/// How long at most nothing goes along after an answer that says that nothing was stored.
const NOT_STORED: Duration = Duration::from_secs(5);

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
        queue.carried.store(offset, Ordering::Release);
        Some(Self { offset, queue, _turn: turn })
    }

    /// Waits for the answer. When it is late the turn passes on: half of the time that a request has is left for who waits, and what
    /// is not stored by then is lost more likely than late.
    pub(super) async fn along(
        self,
        core: &Core,
        mut pulling: BoxFuture<'_, Outcome<Pulled>>,
    ) -> Option<Outcome<Pulled>> {
        let queue = self.queue;
        let Ok(pulled) = tokio::time::timeout(core.stack.request_timeout / 2, &mut pulling).await else {
            drop(self);
            return unless_interrupted(queue, pulling).await;
        };
        if let Ok(Pulled { committed: Some(offset), .. }) = pulled {
            core.progress.with(|table| table.written(queue.id(), offset));
        }
        let moved = pulled.as_ref().ok().filter(|pulled| pulled.outcome == PullOutcome::Moved);
        if let Some(moved) = moved.filter(|_| queue.stop.is_cancelled()) {
            // Brokers say it once, and whoever stores last must not store what was before it.
            core.progress.with(|table| table.reset(queue.id(), moved.next_offset));
        }
        // What it brought may not be what is wanted any more; what it carried counts all the same, and so does a place that was set.
        let counts = moved.is_some() || !queue.take_interrupt();
        counts.then_some(pulled)
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        self.queue.carries.store(false, Ordering::Release);
    }
}

/// How long nothing goes along after this answer. Slaves store nothing: only the regular store tells the master.
pub(super) fn pause_after(core: &Core, pulled: Option<&Outcome<Pulled>>) -> Duration {
    match pulled {
        Some(Ok(Pulled { committed: None, .. })) => core.options.commit_interval.min(NOT_STORED),
        _ => EVERY,
    }
}
