//! Flow control: whether more may be pulled, and which limit says no.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::Queue;
use crate::{
    QueueState,
    buffered::Expected,
    core::{Core, Order},
};

/// Limits over all queues of a consumer are looked at this often while they hold up a queue that has messages.
const ROOM_CHECK: Duration = Duration::from_millis(50);

/// Waits while a limit is reached, or the consumer is paused. `likely` is how many messages the pull is going to bring, if it is known to
/// bring some, or nothing is known; they count for as long as what this gives back lives.
pub(super) async fn wait_for_room<'a>(core: &'a Core, queue: &Queue, likely: Option<u32>) -> Option<Expected<'a>> {
    let (mut has_waited, mut has_turn) = (false, false);
    loop {
        let room = queue.room.notified();
        let state = match stopped(core, queue) {
            None if likely.is_none() && is_empty(queue) => break,
            None if has_turn || !core.buffered.has_line() && held_up(core, queue).is_none() => break,
            None => None,
            stopped => stopped,
        };
        has_waited = true;
        match state {
            Some(state) => {
                has_turn = false;
                queue.set_state(state);
            }
            None => {
                has_turn = stand_in_line(core, queue).await;
                if has_turn {
                    continue; // what stops it alone may have come meanwhile
                }
            }
        }
        // Limits over all queues may be freed by others: look again by the clock, too.
        let _ = timeout(ROOM_CHECK, room).await;
    }
    if has_waited {
        // Not only when the pull is answered: the broker may hold it for long.
        queue.set_state(QueueState::Running);
    }
    likely.map(|messages| core.buffered.count_on(messages))
}

/// Waits for its turn, and then for room. Returns whether there is some: who has something may not hold up those who have nothing.
async fn stand_in_line(core: &Core, queue: &Queue) -> bool {
    let held_up_by = |limit| queue.set_state(QueueState::FlowControlled { limit });
    held_up_by(core.buffered.full().unwrap_or("buffer"));
    let _first = core.buffered.line().await;
    let mut look_again = Instant::now() + ROOM_CHECK;
    while let Some(limit) = held_up(core, queue) {
        held_up_by(limit);
        if !is_empty(queue) {
            return false;
        }
        // By the clock, too: other consumers of the client may make room, and whoever makes it may just not have seen the line.
        if timeout_at(look_again, core.buffered.room()).await.is_err() {
            look_again = Instant::now() + ROOM_CHECK;
            if core.ready.is_empty() {
                // As when a broker is away that has what is expected: handlers have waited long enough for it.
                core.buffered.count_on_nothing();
            }
        }
    }
    true
}

/// Why this queue pulls nothing, whatever others do.
fn stopped(core: &Core, queue: &Queue) -> Option<QueueState> {
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
    ];
    let limit = limits.into_iter().find(|(_, is_reached)| *is_reached).map(|(limit, _)| limit)?;
    Some(QueueState::FlowControlled { limit })
}

/// The limit over all queues that holds this one up. What others keep holds up one with nothing buffered only as long as something of
/// it can be handed out: handlers never wait for a queue that waits for room.
fn held_up(core: &Core, queue: &Queue) -> Option<&'static str> {
    match core.buffered.full() {
        Some(limit) => (!core.ready.is_empty() || !is_empty(queue)).then_some(limit),
        None => core.buffered.will_be_full().then_some("buffer"),
    }
}

fn is_empty(queue: &Queue) -> bool {
    queue.buffer.lock().len() == 0
}
