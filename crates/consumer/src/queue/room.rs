//! Flow control: whether more may be pulled, and which limit says no.

use std::time::Duration;

use super::Queue;
use crate::{
    QueueState,
    core::{Core, Order},
};

/// Limits over all queues of a consumer are looked at this often while they hold a queue up.
const ROOM_CHECK: Duration = Duration::from_millis(50);

/// Waits while a limit is reached, or the consumer is paused.
pub(super) async fn wait_for_room(core: &Core, queue: &Queue) {
    let mut has_waited = false;
    loop {
        let room = queue.room.notified();
        let Some(state) = full(core, queue) else {
            if has_waited {
                // Not only when the pull is answered: the broker may hold it for long.
                queue.set_state(QueueState::Running);
            }
            return;
        };
        queue.set_state(state);
        has_waited = true;
        // Limits of the whole consumer may be freed by other queues: look again by the clock, too.
        let _ = tokio::time::timeout(ROOM_CHECK, room).await;
    }
}

/// Why nothing may be pulled now. A queue with nothing buffered may always pull once, whatever others hold.
fn full(core: &Core, queue: &Queue) -> Option<QueueState> {
    if core.is_paused() {
        return Some(QueueState::Paused);
    }
    let (messages, bytes, span) = {
        let buffer = queue.buffer.lock();
        (buffer.len(), buffer.retained_bytes(), buffer.span())
    };
    let options = &core.options;
    // An order is kept by one message at a time: how far they are apart says nothing (CON-PULL-03).
    let span = if options.order == Order::Kept { 0 } else { span };
    let limits = [
        ("queue_buffer", messages >= options.queue_buffer),
        ("queue_buffer_bytes", bytes >= options.queue_buffer_bytes),
        ("max_offset_span", span >= options.max_offset_span),
        ("buffer", messages > 0 && core.buffered.messages() >= options.buffer),
        ("buffer_bytes", messages > 0 && core.buffered.bytes() >= options.buffer_bytes),
        ("max_buffer_bytes", messages > 0 && !core.buffered.budget_has_room()),
    ];
    limits.into_iter().find(|(_, is_reached)| *is_reached).map(|(limit, _)| QueueState::FlowControlled { limit })
}
