use std::task::{Context, Poll, Waker};

use TransactionState::{Commit, Rollback};
use proptest::prelude::*;

use super::*;

fn polled<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn begin<'a>(ended: &'a Ended, id: &'a MessageId) -> End<'a> {
    match polled(ended.begin(id, Commit)) {
        Poll::Ready(Ok(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// As a broker would: confirmed, or with this said of whether it was applied.
fn tell(mut end: End<'_>, state: TransactionState, failed: Option<Applied>) {
    end.tell(state);
    end.told(state, &failed.map_or(Ok(()), Err), |applied| *applied);
}

fn progress(ended: &Ended, id: &MessageId) -> Option<Progress> {
    ended.state.lock().transactions.get(id).map(|known| known.progress)
}

/// Seen to fail with ends that are forgotten when their futures are dropped.
#[test]
fn an_end_is_remembered_when_it_was_applied_or_may_have_been_and_forgotten_otherwise() {
    let ended = Ended::default();
    let ids = ["confirmed", "lost", "refused", "dropped", "dropped on the way"].map(MessageId::from);
    let [confirmed, lost, refused, dropped, mut on_the_way] = ids.each_ref().map(|id| begin(&ended, id));
    assert_eq!(progress(&ended, &ids[0]), Some(Progress::UnderWay));
    tell(confirmed, Commit, None);
    tell(lost, Rollback, Some(Applied::Unknown));
    tell(refused, Commit, Some(Applied::No));
    drop(dropped);
    on_the_way.tell(Commit);
    drop(on_the_way);
    let [confirmed, lost, refused, dropped, on_the_way] = ids.each_ref().map(|id| progress(&ended, id));
    assert_eq!((confirmed, lost), (Some(Progress::Confirmed(Commit)), Some(Progress::Unconfirmed(Rollback))));
    assert_eq!((refused, dropped, on_the_way), (None, None, Some(Progress::Unconfirmed(Commit))));
}

/// Seen to fail with those under way among those that are forgotten.
#[test]
fn the_oldest_is_forgotten_when_there_are_too_many_but_never_one_under_way() {
    let (ended, under_way) = (Ended::default(), MessageId::from("under way"));
    let slow = begin(&ended, &under_way);
    for n in 0..=REMEMBERED {
        let id = MessageId::from(n.to_string());
        tell(begin(&ended, &id), Commit, None);
    }
    assert_eq!(progress(&ended, &MessageId::from("0")), None);
    assert_eq!(progress(&ended, &MessageId::from("1")), Some(Progress::Confirmed(Commit)));
    assert_eq!(progress(&ended, &under_way), Some(Progress::UnderWay));
    tell(slow, Commit, None);
    assert_eq!(progress(&ended, &under_way), Some(Progress::Confirmed(Commit)));
    let state = ended.state.lock();
    assert_eq!((state.transactions.len(), state.order.len()), (REMEMBERED, REMEMBERED));
}

/// The broker may have applied it after it asked. Seen to fail with answers that do not look at what was known when the
/// question came.
#[test]
fn a_question_that_crosses_an_end_that_is_not_confirmed_lets_the_broker_ask_again() {
    let (ended, id) = (Ended::default(), MessageId::from("half"));
    let Poll::Ready(Ok(before)) = polled(ended.asked(&id)) else { panic!("nothing is known") };
    let end = begin(&ended, &id);
    let mut context = Context::from_waker(Waker::noop());
    let mut crossing = pin!(ended.asked(&id));
    assert!(crossing.as_mut().poll(&mut context).is_pending());
    tell(end, Commit, Some(Applied::Unknown));
    assert_eq!(crossing.poll(&mut context), Poll::Ready(Err(Progress::Unconfirmed(Commit))));
    assert!(matches!(polled(ended.answer(&id, before)), Poll::Ready(Err(Progress::Unconfirmed(Commit)))));
    let Poll::Ready(Ok(again)) = polled(ended.asked(&id)) else { panic!("asked again, the checker decides") };
    assert!(matches!(polled(ended.answer(&id, again)), Poll::Ready(Ok(_))));
}

/// A message that nobody gets would be worse. Seen to fail with unconfirmed rollbacks that let nobody.
#[test]
fn what_the_checker_has_rolled_back_can_be_committed_whether_that_is_confirmed_or_not() {
    for failed in [None, Some(Applied::Unknown)] {
        let (ended, id) = (Ended::default(), MessageId::from("half"));
        tell(begin(&ended, &id), Rollback, failed);
        assert!(matches!(polled(ended.begin(&id, Rollback)), Poll::Ready(Err(_))));
        let end = begin(&ended, &id);
        assert_eq!(end.was_rolled_back(), failed.is_none());
        tell(end, Commit, Some(Applied::No));
        assert_eq!(progress(&ended, &id), None, "the checker decides about copies");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Sender(TransactionState),
    Asked,
    Checker(TransactionState),
    Told(Option<Applied>),
    Dropped,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = || prop_oneof![Just(Commit), Just(Rollback)];
    let step = prop_oneof![
        2 => state().prop_map(Step::Sender),
        2 => Just(Step::Asked),
        2 => state().prop_map(Step::Checker),
        2 => Just(Step::Told(None)),
        1 => Just(Step::Told(Some(Applied::No))),
        1 => Just(Step::Told(Some(Applied::Unknown))),
        1 => Just(Step::Dropped),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    /// R-I2: sender and checker, in any order. Seen to fail with senders that are let through after a commit, and with answers to questions
    /// of before a commit that was not confirmed.
    #[test]
    fn nobody_ends_what_is_committed_or_may_be_since_the_broker_asked(steps in steps()) {
        let (ended, id) = (Ended::default(), MessageId::from("half"));
        let (mut under_way, mut asked) = (None, (Asked::default(), 0));
        // When a commit was confirmed, and when one became possible.
        let (mut committed, mut perhaps) = (false, None);
        for (now, step) in (1..).zip(steps) {
            let (state, is_sender, begun) = match step {
                Step::Sender(state) => (state, true, polled(ended.begin(&id, state))),
                Step::Checker(state) => (state, false, polled(ended.answer(&id, asked.0))),
                Step::Asked => {
                    if let Poll::Ready(Ok(known)) = polled(ended.asked(&id)) {
                        asked = (known, now);
                    }
                    continue;
                }
                Step::Told(failed) => {
                    if let Some((end, state)) = under_way.take() {
                        tell(end, state, failed);
                        committed |= state == Commit && failed.is_none();
                        perhaps = (state == Commit && failed == Some(Applied::Unknown)).then_some(now);
                    }
                    continue;
                }
                Step::Dropped => {
                    if let Some((mut end, state)) = under_way.take() {
                        end.tell(state);
                        perhaps = (state == Commit).then_some(now);
                    }
                    continue;
                }
            };
            match begun {
                Poll::Ready(Ok(end)) => {
                    prop_assert!(under_way.is_none() && !committed, "{:?}", state);
                    prop_assert!(perhaps.is_none_or(|since| !is_sender && asked.1 > since), "{:?}", state);
                    under_way = Some((end, state));
                }
                Poll::Pending => prop_assert!(under_way.is_some()),
                Poll::Ready(Err(before)) => prop_assert!(under_way.is_none() && before != Progress::UnderWay),
            }
        }
    }
}
