use std::{collections::BTreeSet, iter};

use ferrocket_model::{MessageQueue, ReceivedParts, Source};
use proptest::prelude::*;

use super::*;
use crate::vectors::{cases, offsets};

/// What a made message keeps.
const BYTES: usize = size_of::<ReceivedMessage>() + 100;

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
    buffer.put(Box::new(offsets.iter().copied().map(message).collect::<Vec<_>>()), next)
}

fn take(buffer: &mut QueueBuffer, max: usize) -> Vec<u64> {
    let taken = iter::from_fn(|| buffer.take_one()).take(max);
    taken.map(|taken| taken.into_message().expect("it is there").offset()).collect()
}

#[test]
fn the_lowest_unsettled_offset_is_what_may_be_committed() {
    let mut buffer = QueueBuffer::new(5);
    assert_eq!(buffer.committable(), 5);
    put(&mut buffer, &[5, 6, 9], 12);
    assert_eq!(take(&mut buffer, 10).len(), 3);
    assert_eq!(buffer.settle(9), 5, "a later message does not move it");
    assert_eq!(buffer.settle(5), 6);
    assert_eq!(buffer.settle(6), 12, "all settled: where the next pull begins, past what a filter left out");
}

#[test]
fn messages_that_come_twice_are_taken_once() {
    let mut buffer = QueueBuffer::new(0);
    assert_eq!(put(&mut buffer, &[0, 1], 2), 2);
    assert_eq!(put(&mut buffer, &[0, 1, 2], 3), 1);
    assert_eq!(take(&mut buffer, 10), [0, 1, 2]);
}

#[test]
fn r_i6_a_receive_buffer_counts_until_its_last_message_is_settled() {
    let mut buffer = QueueBuffer::new(0);
    put(&mut buffer, &[0, 1], 2);
    put(&mut buffer, &[2], 3);
    assert_eq!(buffer.retained_bytes(), 3 * BYTES);
    take(&mut buffer, 3);
    buffer.settle(0);
    buffer.settle(2);
    assert_eq!(buffer.retained_bytes(), 2 * BYTES, "message 1 keeps the first buffer");
    buffer.settle(1);
    assert_eq!(buffer.retained_bytes(), 0);
}

/// P17: only what will wait is worth the copy.
#[test]
fn there_is_a_backlog_when_enough_wait_and_not_when_listeners_have_them() {
    let mut buffer = QueueBuffer::new(0);
    put(&mut buffer, &Vec::from_iter(0..BACKLOG as u64), BACKLOG as u64);
    assert!(buffer.has_backlog());
    take(&mut buffer, 1);
    assert!(!buffer.has_backlog(), "one less");
    buffer.put_back(message(0));
    assert!(buffer.has_backlog());
}

#[test]
fn results_of_before_a_reset_change_nothing() {
    let mut buffer = QueueBuffer::new(0);
    put(&mut buffer, &[0, 1], 2);
    take(&mut buffer, 2);
    buffer.reset(50);
    assert_eq!(buffer.settle(1), 50);
    assert_eq!(buffer.len(), 0);
}

/// `processqueue.json`: scripts of puts and removals, with the state of Java's queue after each step. What may be committed is the
/// same. Two figures differ on purpose: Java counts the bytes of bodies, ours what is kept in memory (R-I6); Java's span ends at the
/// last message that is not settled, ours at the last one that was pulled, so that one message that is never settled does hold the
/// queue. The scripts of orderly consumers (take, commit, roll back) do not apply yet.
#[test]
fn what_may_be_committed_is_what_java_commits_after_the_same_steps() {
    const STEPS: [&str; 4] = ["putMessage", "removeMessage", "info", "setDropped"];
    let (mut ran, mut not_here) = (0, 0);
    for script in cases("processqueue", "script") {
        let steps = script["steps"].as_array().unwrap();
        if !steps.iter().all(|step| STEPS.contains(&step["op"].as_str().unwrap())) {
            not_here += 1;
            continue;
        }
        let mut buffer = QueueBuffer::new(0);
        for (index, step) in steps.iter().enumerate() {
            let (given, state, shown) =
                (offsets(&step["offsets"]), &step["state"], format!("{} {index}", script["name"]));
            let before = buffer.committable();
            if step["op"] == "putMessage" {
                let next = given.last().map_or(0, |last| last + 1);
                put(&mut buffer, &given, next);
                take(&mut buffer, given.len());
            } else if step["op"] == "removeMessage" {
                given.iter().for_each(|offset| _ = buffer.settle(*offset));
                // Nothing is cached: nothing to commit.
                let expected = step["returned"].as_u64().unwrap_or(before);
                assert_eq!(buffer.committable(), expected, "{shown}");
            }
            let cached = offsets(&state["cached"]);
            assert_eq!(Some(buffer.len() as u64), state["count"].as_u64(), "{shown}");
            let first = cached.first().map(|first| state["queueOffsetMax"].as_u64().unwrap() - first);
            assert_eq!(buffer.span(), first.unwrap_or(0), "{shown}");
            assert!(Some(buffer.span()) >= state["span"].as_u64(), "{shown}");
        }
        ran += 1;
    }
    assert_eq!((ran, not_here), (12, 9));
}

#[test]
fn a_message_that_is_settled_or_waits_already_is_not_put_back() {
    let mut buffer = QueueBuffer::new(0);
    put(&mut buffer, &[0, 1, 2], 3);
    let taken = take(&mut buffer, 2);
    buffer.settle(0);
    taken.into_iter().for_each(|offset| buffer.put_back(message(offset)));
    buffer.put_back(message(2));
    buffer.put_back(message(7));
    assert_eq!(take(&mut buffer, 9), [1, 2]);
    assert!(!buffer.has_ready());
}

proptest! {
    /// R-I3, R-I4: over any schedule the committable offset never goes back, and never passes an unsettled message.
    #[test]
    fn never_back_and_never_past_an_unsettled_message(
        steps in proptest::collection::vec((0u8..4, 1usize..6, any::<usize>()), 1..200)
    ) {
        let mut buffer = QueueBuffer::new(0);
        let (mut next, mut last) = (0, 0);
        let mut out: Vec<u64> = Vec::new();
        let mut waiting = BTreeSet::new();
        let mut unsettled = BTreeSet::new();
        for (step, size, pick) in steps {
            match step {
                0 => {
                    let offsets: Vec<u64> = (0..size as u64).map(|n| next + 2 * n).collect();
                    next = offsets[size - 1] + 1 + (pick % 3) as u64;
                    put(&mut buffer, &offsets, next);
                    unsettled.extend(&offsets);
                    waiting.extend(offsets);
                }
                1 => {
                    let taken = take(&mut buffer, size);
                    let expected: Vec<_> = waiting.iter().copied().take(size).collect();
                    prop_assert_eq!(&taken, &expected, "in order, what was put back too");
                    taken.iter().for_each(|offset| _ = waiting.remove(offset));
                    out.extend(taken);
                }
                2 if !out.is_empty() => {
                    let offset = out.swap_remove(pick % out.len());
                    buffer.put_back(message(offset));
                    waiting.insert(offset);
                }
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
            prop_assert_eq!(buffer.has_ready(), !waiting.is_empty());
            prop_assert!(unsettled.is_empty() == (buffer.retained_bytes() == 0));
            last = committable;
        }
    }
}
