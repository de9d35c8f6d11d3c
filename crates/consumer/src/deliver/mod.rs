//! From the buffers to the listeners and back: workers take from the queues that have something, in turn, and settle.

mod call;
mod concurrent;
mod handler;
mod in_hand;
mod orderly;
mod ready;
pub(crate) mod retry;
mod settle;
mod workers;

use std::sync::{Arc, atomic::Ordering};

pub(crate) use call::{NO_LIMIT, contained};
pub(crate) use handler::Handled;
pub(crate) use in_hand::{InHand, take};
pub(crate) use ready::Ready;
pub(crate) use workers::Workers;

use crate::{
    core::{Core, Order},
    queue::Queue,
};

/// One of `concurrency` workers. Ends when the consumer does, or when there should be fewer.
pub(crate) async fn work(core: Arc<Core>) {
    while !core.ending.is_cancelled() && !core.workers.one_leaves() {
        let Some(queue) = pop(&core) else {
            core.ready.wait(&core.ending).await;
            continue;
        };
        if queue.stop.is_cancelled() {
            continue;
        }
        match core.options.order {
            Order::Any => concurrent::next(&core, &queue).await,
            Order::Kept => orderly::turn(&core, &queue).await,
        }
        tokio::task::coop::consume_budget().await;
    }
}

/// The next queue in turn. When there is none, nothing must keep queues from pulling.
fn pop(core: &Core) -> Option<Arc<Queue>> {
    let next = core.ready.pop();
    if next.is_none() {
        core.buffered.wake();
    }
    next
}

/// Counts what is in listeners, for hand-overs and shutdown.
struct Running<'a> {
    core: &'a Core,
    queue: &'a Queue,
    messages: usize,
}

impl<'a> Running<'a> {
    fn begin(core: &'a Core, queue: &'a Queue) -> Self {
        queue.running.fetch_add(1, Ordering::AcqRel);
        Self { core, queue, messages: 0 }
    }

    fn count(&mut self, messages: usize) {
        self.core.running.fetch_sub(self.messages, Ordering::AcqRel);
        self.messages = messages;
        self.core.running.fetch_add(messages, Ordering::AcqRel);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.core.running.fetch_sub(self.messages, Ordering::AcqRel);
        self.queue.running.fetch_sub(1, Ordering::AcqRel);
        self.core.idle.notify_waiters();
    }
}
