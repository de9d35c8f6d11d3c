//! R26: half messages whose sender goes away, questions to another one, the same question twice, ends that are cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket::{Applied, Client, ErrorKind, Message, ReceivedMessage, TransactionProducer, TransactionState};
use ferrocket_testkit::{Call, Fault, TestCluster};
use tokio::time::Instant;

use crate::common::{SECOND, brokers, soon, wire::connect};

/// A producer whose checker gives this answer, after this time; and how often it was asked.
async fn producer(
    client: &Client,
    state: TransactionState,
    after: Duration,
) -> (TransactionProducer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let checker = move |_: ReceivedMessage| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(after).await;
            Ok::<_, std::io::Error>(state)
        }
    };
    let producer = client.transaction_producer("shop", checker).build().await.expect("it builds");
    (producer, asked)
}

fn visible(cluster: &TestCluster) -> Vec<String> {
    let messages = cluster.messages("Orders");
    messages.iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}

/// R26, R-I1: the sender is gone for good between half message and end; another producer of the group is asked.
#[tokio::test(start_paused = true)]
async fn r26_another_producer_of_the_group_answers_for_one_that_went_away() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (gone, _) = connect(&cluster).await;
    let (sender, asked_sender) = producer(&gone, TransactionState::Rollback, Duration::ZERO).await;
    let half = soon(sender.begin(Message::new("Orders", "paid"))).await.expect("it is kept");
    let id = half.message_id().to_string();
    drop((half, sender, gone));
    soon(cluster.until(|cluster| cluster.producers("shop").is_empty())).await;
    let (client, _) = connect(&cluster).await;
    let (_other, asked) = producer(&client, TransactionState::Commit, Duration::ZERO).await;
    // The other one must be known to the broker: a first send, or a heartbeat, makes it so.
    soon(_other.producer().send(Message::new("Elsewhere", "hello"))).await.expect("it is stored");
    soon(cluster.until(|cluster| !cluster.producers("shop").is_empty())).await;
    soon(cluster.until(|cluster| !cluster.messages("Orders").is_empty())).await;
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(visible(&cluster), ["paid"], "once, also after a long time");
    assert_eq!(cluster.messages("Orders")[0].id().as_str(), id);
    assert_eq!((asked.load(Ordering::SeqCst), asked_sender.load(Ordering::SeqCst)), (1, 0));
    assert_eq!(cluster.broker("broker-0").open_transactions(), 0);
}

/// R26, R-I2: what was rolled back stays so, whoever asks how often. Seen to fail with `Rollback` ended as `Commit` in
/// `transactions::ending`.
#[tokio::test(start_paused = true)]
async fn r26_what_was_rolled_back_is_never_committed() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    // Whoever asked this checker would get the wrong answer.
    let (sender, asked) = producer(&client, TransactionState::Commit, Duration::ZERO).await;
    let half = soon(sender.begin(Message::new("Orders", "never"))).await.expect("it is kept");
    soon(half.rollback()).await.expect("the broker confirms it");
    for _ in 0..20 {
        cluster.broker("broker-0").check_transactions_now();
        tokio::time::sleep(10 * SECOND).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing is open");
    // By the checker's word.
    let (client, _) = connect(&cluster).await;
    drop(sender);
    let (sender, asked) = producer(&client, TransactionState::Rollback, Duration::ZERO).await;
    drop(soon(sender.begin(Message::new("Orders", "never either"))).await.expect("it is kept"));
    soon(cluster.until(|cluster| cluster.broker("broker-0").open_transactions() == 0)).await;
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(visible(&cluster).is_empty(), "{:?}", visible(&cluster));
}

/// R26, R-I2: the broker asks again while the first question is still being answered. Every question has its answer, and whatever
/// the checker says to each, the message is delivered once: the broker would store it for every commit (§3.9).
#[tokio::test(start_paused = true)]
async fn r26_the_same_question_three_times_has_three_answers_and_one_effect() {
    let cluster = brokers(1).transaction_timeout(3_600 * SECOND).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let (sender, asked) = producer(&client, TransactionState::Commit, 5 * SECOND).await;
    drop(soon(sender.begin(Message::new("Orders", "once"))).await.expect("it is kept"));
    for _ in 0..3 {
        assert_eq!(cluster.broker("broker-0").check_transactions_now(), 1);
    }
    soon(cluster.until_requests(Call::EndTransaction, 3)).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert_eq!(cluster.requests(Call::EndTransaction), 3, "one answer per question");
    assert_eq!(visible(&cluster), ["once"]);
    assert_eq!(cluster.broker("broker-0").open_transactions(), 0);
}

/// R26, R-I1, R-I2: the end is applied and its answer lost. It is told as unknown, and not sent again, since every commit
/// stores the message once more.
#[tokio::test(start_paused = true)]
async fn r26_a_commit_whose_answer_is_cut_at_any_byte_is_unknown_and_stored_once() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let (sender, asked) = producer(&client, TransactionState::Commit, Duration::ZERO).await;
    let mut cut = 0;
    loop {
        let half = soon(sender.begin(Message::new("Orders", format!("paid {cut}")))).await.expect("it is kept");
        let ends = cluster.requests(Call::EndTransaction);
        let _ = cluster.fault(Fault::on(Call::EndTransaction).times(1).cut_answer_after(cut));
        let ended = soon(half.commit()).await;
        assert_eq!(cluster.requests(Call::EndTransaction), ends + 1, "cut after {cut}");
        let Err(error) = ended else { break };
        assert_eq!(error.applied(), Applied::Unknown, "cut after {cut}: {error}");
        cut += 1;
    }
    assert!(cut > 30, "an answer is longer than {cut} bytes");
    tokio::time::sleep(300 * SECOND).await;
    let expected: Vec<_> = (0..=cut).map(|n| format!("paid {n}")).collect();
    assert_eq!(visible(&cluster), expected, "each once");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

/// R1, R26, R-I1, R-I2: the end itself is cut. It is told as unknown as soon as a byte of it was written, it is not sent again, and the
/// checker's word counts, once. Seen to fail with `Applied::No` for every connection that ended.
#[tokio::test(start_paused = true)]
async fn r26_a_commit_that_is_cut_at_any_byte_is_told_honestly_and_made_up_for_by_the_checker() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, wire) = connect(&cluster).await;
    let (sender, asked) = producer(&client, TransactionState::Commit, Duration::ZERO).await;
    let half = soon(sender.begin(Message::new("Orders", "whole"))).await.expect("it is kept");
    let before = wire.written();
    soon(half.commit()).await.expect("the broker confirms it");
    let end = wire.written() - before;
    assert!((150..1_000).contains(&end), "{end} bytes make an end");
    let mut expected = vec!["whole".to_owned()];
    for position in 0..end {
        let body = format!("cut at {position:04}");
        let half = soon(sender.begin(Message::new("Orders", body.clone()))).await.expect("it is kept");
        expected.push(body);
        let ends = cluster.requests(Call::EndTransaction);
        wire.cut_after(position);
        let error = soon(half.commit()).await.expect_err("it was cut");
        assert!(wire.was_cut(), "at {position}");
        assert_eq!(error.kind(), ErrorKind::BrokerUnreachable, "cut at {position}: {error}");
        if position > 0 {
            assert_eq!(error.applied(), Applied::Unknown, "cut at {position}: bytes of it were written");
        }
        assert_eq!(cluster.requests(Call::EndTransaction), ends, "cut at {position}: it is not sent again");
        // The broker asks over the next connection.
        soon(cluster.until(|cluster| cluster.broker("broker-0").open_transactions() == 0)).await;
    }
    tokio::time::sleep(300 * SECOND).await;
    let mut visible = visible(&cluster);
    visible.sort();
    expected.sort();
    assert_eq!(visible, expected, "each once");
    assert_eq!(asked.load(Ordering::SeqCst), end);
}

/// R26, R-I1: the end never arrives: the checker's word counts.
#[tokio::test(start_paused = true)]
async fn r26_a_commit_that_is_lost_is_made_up_for_by_the_checker() {
    // With the connection the broker lost its producer, until the next heartbeat. It asks every 30 s, as real ones do.
    let cluster = brokers(1).transaction_check_interval(30 * SECOND).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let (sender, asked) = producer(&client, TransactionState::Commit, Duration::ZERO).await;
    let half = soon(sender.begin(Message::new("Orders", "paid"))).await.expect("it is kept");
    let _ = cluster.fault(Fault::on(Call::EndTransaction).times(1).disconnect());
    let error = soon(half.commit()).await.expect_err("it was lost");
    assert_eq!(error.applied(), Applied::Unknown, "{error}");
    soon(cluster.until(|cluster| !cluster.messages("Orders").is_empty())).await;
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(visible(&cluster), ["paid"]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// R26, R-I2: a question crosses the end. The broker has stored the half message again for it, and whoever commits that copy
/// delivers the message twice, or one that was rolled back; a checker that truthfully says "committed" would do the first, and one that
/// is mistaken the second. Seen to fail with every question given to the checker, and, for the rollback alone, with ends that
/// are remembered only when they are commits.
#[tokio::test(start_paused = true)]
async fn r26_a_question_that_crosses_the_end_neither_doubles_a_commit_nor_undoes_a_rollback() {
    for (is_commit, expected) in [(true, &["once"][..]), (false, &[])] {
        let cluster = brokers(1).start().await.expect("it starts");
        let (client, _) = connect(&cluster).await;
        let (sender, asked) = producer(&client, TransactionState::Commit, 5 * SECOND).await;
        let half = soon(sender.begin(Message::new("Orders", "once"))).await.expect("it is kept");
        // The question is with the checker, which takes its time, when the sender ends it.
        tokio::time::sleep(SECOND).await;
        soon(async {
            while asked.load(Ordering::SeqCst) == 0 {
                cluster.broker("broker-0").check_transactions_now();
                tokio::time::sleep(SECOND).await;
            }
        })
        .await;
        let ended = if is_commit { soon(half.commit()).await } else { soon(half.rollback()).await };
        ended.expect("the broker confirms it");
        for _ in 0..20 {
            cluster.broker("broker-0").check_transactions_now();
            tokio::time::sleep(10 * SECOND).await;
        }
        assert_eq!(visible(&cluster), expected);
        assert_eq!(cluster.broker("broker-0").open_transactions(), 0, "and the copy is gone");
    }
}

/// R26, R-I2: the sender is slow, and the checker has ended its transaction before it does. Seen to fail, with the message stored twice,
/// and with a rollback of what everybody can read that says "done", when ends of the checker are not looked at; and with a message
/// that nobody gets, when what the checker has rolled back cannot be committed.
#[tokio::test(start_paused = true)]
async fn r26_an_end_that_comes_after_the_checkers_delivers_once_or_says_that_it_is_too_late() {
    use TransactionState::{Commit, Rollback};
    for (checked, state, is_conflict, expected) in [
        (Commit, Commit, false, &["once"][..]),
        (Commit, Rollback, true, &["once"]),
        (Rollback, Commit, false, &["once"]),
        (Rollback, Rollback, false, &[]),
    ] {
        let cluster = brokers(1).transaction_timeout(3_600 * SECOND).start().await.expect("it starts");
        let (client, _) = connect(&cluster).await;
        let (sender, asked) = producer(&client, checked, Duration::ZERO).await;
        let half = soon(sender.begin(Message::new("Orders", "once"))).await.expect("it is kept");
        assert_eq!(cluster.broker("broker-0").check_transactions_now(), 1);
        soon(cluster.until(|cluster| cluster.broker("broker-0").open_transactions() == 0)).await;
        match soon(half.end(state)).await {
            Ok(()) => assert!(!is_conflict, "{state:?} after {checked:?}"),
            Err(error) => {
                assert!(is_conflict, "{error}");
                assert_eq!((error.kind(), error.applied()), (ErrorKind::Conflict, Applied::No));
                assert!(error.to_string().contains("the checker said to commit it, which is done"), "{error}");
            }
        }
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(
            (&visible(&cluster)[..], asked.load(Ordering::SeqCst)),
            (&expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()[..], 1)
        );
    }
}

/// R26, R-I2: the checker's answer is applied, and its confirmation lost, before the sender commits. Seen to fail, with the message
/// stored twice, when such an answer is forgotten.
#[tokio::test(start_paused = true)]
async fn r26_a_commit_that_comes_after_an_answer_of_the_checker_that_may_have_been_applied_is_not_sent() {
    let cluster = brokers(1).transaction_timeout(3_600 * SECOND).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let (sender, _) = producer(&client, TransactionState::Commit, Duration::ZERO).await;
    let half = soon(sender.begin(Message::new("Orders", "once"))).await.expect("it is kept");
    let lost = cluster.fault(Fault::on(Call::EndTransaction).times(1).apply_then_disconnect());
    assert_eq!(cluster.broker("broker-0").check_transactions_now(), 1);
    soon(cluster.until(|cluster| !cluster.messages("Orders").is_empty())).await;
    tokio::time::sleep(SECOND).await;
    drop(lost);
    let error = soon(half.commit()).await.expect_err("nobody knows");
    assert_eq!(error.applied(), Applied::Unknown, "{error}");
    assert!(error.to_string().contains("did not confirm that it heard the checker, who said to commit it"), "{error}");
    for _ in 0..5 {
        cluster.broker("broker-0").check_transactions_now();
        tokio::time::sleep(10 * SECOND).await;
    }
    assert_eq!(visible(&cluster), ["once"]);
}

/// As many questions at once as allowed; the others wait for their turn. Seen to fail with one more than allowed.
#[tokio::test(start_paused = true)]
async fn no_more_questions_are_answered_at_once_than_allowed() {
    let cluster = brokers(1).transaction_timeout(3_600 * SECOND).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let checker = {
        let (running, most) = (running.clone(), most.clone());
        move |_: ReceivedMessage| {
            let running = running.clone();
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(SECOND).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(TransactionState::Commit)
            }
        }
    };
    let sender = client.transaction_producer("shop", checker).check_concurrency(3).build().await.expect("it builds");
    for n in 0..10 {
        drop(soon(sender.begin(Message::new("Orders", n.to_string()))).await.expect("it is kept"));
    }
    let began = Instant::now();
    assert_eq!(cluster.broker("broker-0").check_transactions_now(), 10);
    soon(cluster.until(|cluster| cluster.broker("broker-0").open_transactions() == 0)).await;
    assert_eq!((most.load(Ordering::SeqCst), visible(&cluster).len()), (3, 10));
    let took = began.elapsed();
    assert!((4 * SECOND..5 * SECOND).contains(&took), "ten, three at once, take four rounds: {took:?}");
}

/// A checker that takes more than a minute has no answer: the broker is told so, and asks again. Seen to fail without a limit.
#[tokio::test(start_paused = true)]
async fn a_checker_that_takes_over_a_minute_has_no_answer_and_is_asked_again() {
    let cluster = brokers(1).transaction_timeout(3_600 * SECOND).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let checker = {
        let asked = asked.clone();
        move |_: ReceivedMessage| {
            let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if is_first {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::io::Error>(TransactionState::Commit)
            }
        }
    };
    // One at a time: the one that hangs would hold up all others.
    let sender = client.transaction_producer("shop", checker).check_concurrency(1).build().await.expect("it builds");
    drop(soon(sender.begin(Message::new("Orders", "once"))).await.expect("it is kept"));
    let began = Instant::now();
    assert_eq!(cluster.broker("broker-0").check_transactions_now(), 1);
    soon(cluster.until_requests(Call::EndTransaction, 1)).await;
    let took = began.elapsed();
    assert!((60 * SECOND..61 * SECOND).contains(&took), "told after {took:?}");
    assert!(visible(&cluster).is_empty() && cluster.broker("broker-0").open_transactions() == 1, "it stays open");
    assert_eq!(cluster.broker("broker-0").check_transactions_now(), 1);
    soon(cluster.until(|cluster| cluster.broker("broker-0").open_transactions() == 0)).await;
    assert_eq!((visible(&cluster), asked.load(Ordering::SeqCst)), (vec!["once".to_owned()], 2));
}
