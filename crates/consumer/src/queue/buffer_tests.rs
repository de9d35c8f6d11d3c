use std::collections::BTreeSet;

use ferrocket_model::{MessageQueue, ReceivedParts, Source};
use proptest::prelude::*;

use super::*;

fn message(offset: u64) -> ReceivedMessage {
    ReceivedParts {
        topic: "T".into(),
        body: Default::default(),
        properties: Default::default(),
        source: Source::of(MessageQueue::new("T", "b", 0)),
        offset,
        commit_log_offset: 0,
        born_ms: 0,
        stored_ms: 0,
        born_host: None,
        store_host: None,
        flag: 0,
        reconsume_times: 0,
        wire_bytes: 100,
        defect: None,
    }
    .into()
}

fn put(buffer: &mut QueueBuffer, offsets: &[u64], next: u64) -> usize {
    buffer.put(offsets.iter().copied().map(message).collect(), 100 * offsets.len(), next)
}

#[test]
fn the_lowest_unsettled_offset_is_what_may_be_committed() {
    let mut buffer = QueueBuffer::new(5);
    assert_eq!(buffer.committable(), 5);
    put(&mut buffer, &[5, 6, 9], 12);
    assert_eq!(buffer.take(10).len(), 3);
    assert_eq!(buffer.settle(9), 5, "a later message does not move it");
    assert_eq!(buffer.settle(5), 6);
    assert_eq!(buffer.settle(6), 12, "all settled: where the next pull begins, past what a filter left out");
}

#[test]
fn messages_that_come_twice_are_taken_once() {
    let mut buffer = QueueBuffer::new(0);
    assert_eq!(put(&mut buffer, &[0, 1], 2), 2);
    assert_eq!(put(&mut buffer, &[0, 1, 2], 3), 1);
    assert_eq!(buffer.take(10).iter().map(ReceivedMessage::offset).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn r_i6_a_receive_buffer_counts_until_its_last_message_is_settled() {
    let mut buffer = QueueBuffer::new(0);
    put(&mut buffer, &[0, 1], 2);
    put(&mut buffer, &[2], 3);
    assert_eq!(buffer.retained_bytes(), 300);
    buffer.take(3);
    buffer.settle(0);
    buffer.settle(2);
    assert_eq!(buffer.retained_bytes(), 200, "message 1 keeps the first buffer");
    buffer.settle(1);
    assert_eq!(buffer.retained_bytes(), 0);
}

#[test]
fn results_of_before_a_reset_change_nothing() {
    let mut buffer = QueueBuffer::new(0);
    put(&mut buffer, &[0, 1], 2);
    buffer.take(2);
    buffer.reset(50);
    assert_eq!(buffer.settle(1), 50);
    assert_eq!(buffer.len(), 0);
}

proptest! {
    /// R-I3, R-I4: over any schedule the committable offset never goes back, and never passes an unsettled message.
    #[test]
    fn never_back_and_never_past_an_unsettled_message(
        steps in proptest::collection::vec((0u8..3, 1usize..6, any::<usize>()), 1..200)
    ) {
        let mut buffer = QueueBuffer::new(0);
        let (mut next, mut last) = (0, 0);
        let mut out: Vec<u64> = Vec::new();
        let mut unsettled = BTreeSet::new();
        for (step, size, pick) in steps {
            match step {
                0 => {
                    let offsets: Vec<u64> = (0..size as u64).map(|n| next + 2 * n).collect();
                    next = offsets[size - 1] + 1 + (pick % 3) as u64;
                    put(&mut buffer, &offsets, next);
                    unsettled.extend(offsets);
                }
                1 => out.extend(buffer.take(size).iter().map(ReceivedMessage::offset)),
                _ if !out.is_empty() => {
                    let offset = out.swap_remove(pick % out.len());
                    buffer.settle(offset);
                    unsettled.remove(&offset);
                }
                _ => {}
            }
            let committable = buffer.committable();
            prop_assert!(committable >= last);
            prop_assert_eq!(committable, unsettled.first().copied().unwrap_or(next));
            prop_assert_eq!(buffer.len(), unsettled.len());
            prop_assert!(unsettled.is_empty() == (buffer.retained_bytes() == 0));
            last = committable;
        }
    }
}
