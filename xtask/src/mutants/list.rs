//! The mutants: each breaks one promise of consumers, as a change of the text. Where a change no longer fits, its promise has moved,
//! and the run says so.

use super::{Change, Mutant, Test};

const BUFFER: &str = "crates/consumer/src/queue/buffer.rs";
const CALL_HANDLER: &str = "crates/consumer/src/deliver/handler.rs";
const COMMIT: &str = "crates/consumer/src/commit.rs";
const CONCURRENT: &str = "crates/consumer/src/deliver/concurrent.rs";
const CORE: &str = "crates/consumer/src/core.rs";
const HAND_OVER: &str = "crates/consumer/src/rebalance/hand_over.rs";
const LEASE: &str = "crates/consumer/src/queue/lease.rs";
const LOCKS: &str = "crates/consumer/src/rebalance/locks.rs";
const ORDERLY: &str = "crates/consumer/src/deliver/orderly.rs";
const PULLER: &str = "crates/consumer/src/queue/puller.rs";
const QUEUE: &str = "crates/consumer/src/queue/mod.rs";
const ROOM: &str = "crates/consumer/src/queue/room.rs";
const RETRY: &str = "crates/consumer/src/deliver/retry.rs";
const REBALANCE: &str = "crates/consumer/src/rebalance/mod.rs";
const SETTLE: &str = "crates/consumer/src/deliver/settle.rs";
const STANDSTILL: &str = "crates/consumer/src/rebalance/standstill.rs";
const START: &str = "crates/consumer/src/push/start.rs";

const SIDE_BY_SIDE: Test = Test::History("concurrent_groups");
const IN_ORDER: Test = Test::History("orderly_groups");
const BROADCAST: Test = Test::History("broadcasting_groups");

const fn change(file: &'static str, from: &'static str, to: &'static str) -> Change {
    Change { file, from, to }
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "highest-offset",
        what: "the highest settled offset is committed instead of the lowest that is not",
        changes: &[change(
            BUFFER,
            "self.entries.front().map_or(self.end, |entry| entry.offset)",
            "let highest = self.entries.iter().rev().find(|entry| entry.state == State::Settled).map(|entry| entry.offset + 1);
             highest.or_else(|| self.entries.front().map(|entry| entry.offset)).unwrap_or(self.end)",
        )],
        tests: &[SIDE_BY_SIDE],
    },
    Mutant {
        name: "lock-not-won",
        what: "a queue is consumed although its broker gave the lock to somebody else",
        changes: &[change(
            LOCKS,
            "won.map(|queue| (queue, Lease::won(asked))).collect()",
            "won.for_each(drop);
             queues.iter().map(|queue| (queue.clone(), Lease::won(asked))).collect()",
        )],
        tests: &[IN_ORDER],
    },
    Mutant {
        name: "lock-for-ever",
        what: "a lock counts for ever, also when nobody could be asked to keep it",
        changes: &[
            change(LEASE, "now < state.until && state.doubted.is_none()", "let _ = (now, state); true"),
            change(LEASE, "now >= self.until()", "let _ = now; false"),
            change(LEASE, "if now < state.until {", "if now < state.until || true {"),
            change(LEASE, "self.wait(|state| state.doubted.is_none()).await", "true"),
            change(LEASE, "if Instant::now() >= state.until {", "if false {"),
            change(LEASE, "timeout_at(state.until, changes.changed())", "timeout(LEASE, changes.changed())"),
            change(LOCKS, "first_end.map_or(next, |end| end.min(next))", "first_end.map_or(next, |_| next)"),
        ],
        tests: &[
            IN_ORDER,
            Test::Named("consumer_mutants", "a_member_that_stalls_hands_out_nothing_once_its_lock_is_over"),
        ],
    },
    Mutant {
        name: "lease-from-answer",
        what: "a lock counts from when the answer came, not from when it was asked for",
        changes: &[change(LOCKS, "lease.kept(asked, now)", "{ let _ = asked; lease.kept(now, now) }")],
        tests: &[IN_ORDER, Test::Named("consumer_mutants", "a_lock_counts_from_when_it_was_asked_for")],
    },
    Mutant {
        name: "no-epoch",
        what: "late results of a queue that was once owned count",
        changes: &[
            change(QUEUE, "!self.source.revocation.is_revoked()", "true"),
            // Else there is nothing left that a late result could settle.
            change(
                CORE,
                "            let end = buffer.committable();
            buffer.reset(end);
            held",
                "            let _ = held;
            while buffer.take_one().is_some() {}
            (0, 0)",
            ),
        ],
        tests: &[
            SIDE_BY_SIDE,
            Test::Named(
                "administration",
                "after_a_reset_consumption_goes_on_there_and_late_results_of_before_settle_nothing",
            ),
        ],
    },
    Mutant {
        name: "late-commit",
        what: "a queue that was handed over is committed further by listeners that still ran",
        changes: &[
            change(QUEUE, "!self.source.revocation.is_revoked()", "true"),
            change(
                CORE,
                "            let end = buffer.committable();
            buffer.reset(end);
            held",
                "            let _ = held;
            while buffer.take_one().is_some() {}
            (0, 0)",
            ),
            change(HAND_OVER, "core.progress.with(|table| table.end(queue.id()));", ""),
            change(
                COMMIT,
                "Box::pin(async move { core.store(&queues, core.stack.request_timeout).await })",
                "drop(queues);
                Box::pin(async move { drop(core.progress.flush(core.stack.request_timeout).await) })",
            ),
        ],
        tests: &[Test::Named("consumer_mutants", "a_listener_that_outlives_its_queue_moves_no_offset")],
    },
    Mutant {
        name: "moved-keeps-ownership",
        what: "a queue whose offset was reset stays the same ownership",
        changes: &[change(
            PULLER,
            "            Box::pin(rebalance::restart(core, queue, offset)).await;",
            "            core.progress.with(|table| table.reset(queue.id(), offset));
            queue.buffer.lock().put(Box::new(Vec::new()), offset);
            let again = queue.clone();
            let _ = queue.stop.run_until_cancelled(pull(&core, &again, offset)).await;
            let _ = rebalance::restart;",
        )],
        tests: &[Test::Named(
            "administration",
            "after_a_reset_consumption_goes_on_there_and_late_results_of_before_settle_nothing",
        )],
    },
    Mutant {
        name: "empty-queues-need-no-room",
        what: "a queue that holds nothing pulls whatever the others hold",
        changes: &[change(
            ROOM,
            "        None => core.buffered.will_be_full().then_some(\"buffer\"),",
            "        None => None,",
        )],
        tests: &[Test::Named("consumer_faults", "many_queues::many_queues_with_a_backlog_keep_to_the_limit_over_all_of_them")],
    },
    Mutant {
        name: "idle-handlers-wait-for-room",
        what: "a queue waits for room while handlers have nothing to do",
        changes: &[change(
            ROOM,
            "(!core.ready.is_empty() || !is_empty(queue)).then_some(limit)",
            "Some(limit)",
        )],
        tests: &[Test::Named(
            "consumer_faults",
            "many_queues::a_queue_that_holds_all_there_may_be_and_stands_still_holds_up_no_other_one",
        )],
    },
    Mutant {
        name: "silent-brokers-take-room",
        what: "what a silent broker was to bring counts for as long as its pulls take",
        changes: &[change(ROOM, "                core.buffered.count_on_nothing();\n", "")],
        tests: &[Test::Named(
            "consumer_faults",
            "many_queues::what_a_silent_broker_does_not_bring_takes_no_room_from_the_other_one",
        )],
    },
    Mutant {
        name: "send-back-ignored",
        what: "a message that its broker did not take back is settled all the same",
        changes: &[change(
            RETRY,
            "                Err(self)
            }",
            "                core.settle_offsets(&self.queue, &[self.message.offset()]);
                Ok(())
            }",
        )],
        tests: &[SIDE_BY_SIDE],
    },
    Mutant {
        name: "dead-letter-ignored",
        what: "a message that did not reach the dead letters is settled all the same, where an order is kept",
        changes: &[change(
            ORDERLY,
            "its queue waits\");
            false",
            "its queue waits\");
            core.settle_offsets(queue, &[message.offset()]);
            true",
        )],
        tests: &[IN_ORDER],
    },
    Mutant {
        name: "timed-out-settles-twice",
        what: "a listener that timed out settles its message, which is then given back and settled again",
        changes: &[change(
            CONCURRENT,
            "            if let Some(outcome) = outcome {
                settle(core, queue, message, outcome).await;",
            "            if let Some(outcome) = outcome {
                if outcome.reason().is_some_and(|reason| reason.to_string().contains(\"`handler_timeout`\")) {
                    core.settle_offsets(queue, &[message.offset()]);
                }
                settle(core, queue, message, outcome).await;",
        )],
        tests: &[
            SIDE_BY_SIDE,
            Test::Named(
                "consumer_mutants",
                "a_message_whose_listener_timed_out_is_settled_once_its_broker_has_it_again",
            ),
        ],
    },
    Mutant {
        name: "timed-out-runs-on",
        what: "a listener that timed out runs on beside the next attempt",
        changes: &[
            change(CALL_HANDLER, "run<T>(mut handler", "run<T: 'static>(mut handler"),
            change(
                CALL_HANDLER,
                "    tokio::time::timeout(limit, rest).await.unwrap_or(Handled::TimedOut)",
                "    match tokio::time::timeout(limit, rest).await {
        Ok(handled) => handled,
        Err(_) => {
            tokio::spawn(async move { drop(handler.await) });
            Handled::TimedOut
        }
    }",
            ),
        ],
        tests: &[Test::Named("consumer_mutants", "a_listener_that_timed_out_ends_before_its_message_comes_again")],
    },
    Mutant {
        name: "unlock-before-commit",
        what: "at a hand-over the lock is given back before the offset is stored",
        changes: &[change(
            HAND_OVER,
            "    core.store_turns(&ours",
            "    locks::release(&core, &queues, timeout).await;
    core.store_turns(&ours",
        )],
        tests: &[IN_ORDER, Test::Named("consumer_mutants", "a_queue_is_unlocked_only_when_its_offset_is_stored")],
    },
    Mutant {
        name: "no-revocation",
        what: "messages of a queue that was handed over do not say so",
        changes: &[
            change(
                HAND_OVER,
                "        queue.source.revocation.revoke(); // from here on no late result counts",
                "        let _ = queue;",
            ),
            change(
                CORE,
                "        queue.source.revocation.revoke();\n        queue.stop.cancel();",
                "        queue.stop.cancel();",
            ),
        ],
        tests: &[
            SIDE_BY_SIDE,
            Test::Named("consumer_mutants", "a_message_in_a_listener_says_that_its_queue_was_handed_over"),
        ],
    },
    Mutant {
        name: "stands-still",
        what: "a member whose process stood still stores where it was",
        changes: &[change(STANDSTILL, "paused <= STOOD_STILL", "paused <= STOOD_STILL * 1000")],
        tests: &[Test::Named("processes", "r10_a_member_that_stood_still_stores_nothing_where_others_are_further")],
    },
    Mutant {
        name: "ending-without-locks",
        what: "locks are not kept while a consumer waits for its listeners to end",
        changes: &[change(START, "core.spawn_to_its_end(Box::pin(locks::keep", "core.spawn(Box::pin(locks::keep")],
        tests: &[Test::Named("consumer_faults", "locks::a_shutdown_keeps_the_lock_of_a_listener_that_it_waits_for")],
    },
    Mutant {
        name: "doubles-kept",
        what: "messages that a pull brings again are handed out again",
        changes: &[change(BUFFER, "filter(|offset| *offset >= self.end)", "filter(|_| true)")],
        tests: &[Test::Named("ferrocket_consumer", "queue::buffer::tests::messages_that_come_twice_are_taken_once")],
    },
    Mutant {
        name: "correction-not-stored",
        what: "the place that a broker or an administrator says is gone to and not stored",
        changes: &[change(REBALANCE, "core.progress.with(|table| table.reset(queue.id(), offset));", "")],
        tests: &[SIDE_BY_SIDE],
    },
    Mutant {
        name: "lock-behind-unlock",
        what: "a lock that is being given back is asked for again",
        changes: &[change(LOCKS, "for_each(|lease| lease.lost(now));", "for_each(|lease| _ = (lease, now));")],
        tests: &[Test::Named(
            "consumer_faults",
            "hand_over::a_lock_that_is_being_given_back_is_not_asked_for_again",
        )],
    },
    Mutant {
        name: "broadcast-gives-up-early",
        what: "in broadcasting a message is passed over when it fails for the first time",
        changes: &[change(SETTLE, "message.attempt() >= core.options.max_attempts", "message.attempt() >= 1")],
        tests: &[BROADCAST],
    },
    Mutant {
        name: "broadcast-at-once",
        what: "in broadcasting an orderly queue that comes back does not wait for its old listener",
        changes: &[change(HAND_OVER, "Order::Kept => ALONE", "Order::Kept => WITHOUT_LOCK")],
        tests: &[BROADCAST],
    },
    Mutant {
        name: "broadcast-ends-unstored",
        what: "a consumer ends, and what it has settled last is not stored",
        changes: &[change(
            CORE,
            "let unstored = self.store_last(&queues, left()).await;",
            "let unstored: Vec<MessageQueue> = Vec::new();",
        )],
        tests: &[BROADCAST],
    },
];
