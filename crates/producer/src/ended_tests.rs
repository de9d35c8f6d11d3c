use std::task::{Context, Poll, Waker};

use TransactionState::{Commit, Rollback};
use proptest::prelude::*;

use super::*;

fn polled<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn begin<'a>(ended: &'a Ended, id: &'a MessageId) -> End<'a> {
    match polled(ended.begin(id, |_| false)) {
        Poll::Ready(Ok(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// As a broker would: confirmed, or with this said of whether it was applied.
fn tell(end: End<'_>, state: TransactionState, failed: Option<Applied>) {
    end.told(state, &failed.map_or(Ok(()), Err), |applied| *applied);
}

#[test]
fn an_end_is_remembered_when_it_was_applied_or_may_have_been_and_forgotten_otherwise() {
    let ended = Ended::default();
    let ids = ["confirmed", "lost", "refused", "dropped"].map(MessageId::from);
    let [confirmed, lost, refused, dropped] = ids.each_ref().map(|id| begin(&ended, id));
    assert_eq!(ended.progress(&ids[0]), Some(Progress::UnderWay));
    tell(confirmed, Commit, None);
    tell(lost, Rollback, Some(Applied::Unknown));
    tell(refused, Commit, Some(Applied::No));
    drop(dropped);
    let after = ids.each_ref().map(|id| ended.progress(id));
    assert_eq!(after, [Some(Progress::Confirmed(Commit)), Some(Progress::Unconfirmed(Rollback)), None, None]);
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
    assert_eq!(ended.progress(&MessageId::from("0")), None);
    assert_eq!(ended.progress(&MessageId::from("1")), Some(Progress::Confirmed(Commit)));
    assert_eq!(ended.progress(&under_way), Some(Progress::UnderWay));
    tell(slow, Commit, None);
    assert_eq!(ended.progress(&under_way), Some(Progress::Confirmed(Commit)));
    let state = ended.state.lock();
    assert_eq!((state.transactions.len(), state.order.len()), (REMEMBERED, REMEMBERED));
}

/// A question that waited for an end which was not confirmed is not answered: the broker may have applied it meanwhile. Seen to fail
/// with one that goes on.
#[test]
fn a_question_that_crosses_an_end_that_is_not_confirmed_lets_the_broker_ask_again() {
    let (ended, id) = (Ended::default(), MessageId::from("half"));
    let end = begin(&ended, &id);
    let mut context = Context::from_waker(Waker::noop());
    let mut crossing = pin!(ended.of(&id));
    let mut answering = pin!(ended.begin(&id, Progress::lets_checker));
    assert!(crossing.as_mut().poll(&mut context).is_pending() && answering.as_mut().poll(&mut context).is_pending());
    tell(end, Commit, Some(Applied::Unknown));
    assert_eq!(crossing.poll(&mut context), Poll::Ready(Some(Progress::Unconfirmed(Commit))));
    assert!(matches!(answering.poll(&mut context), Poll::Ready(Err(Progress::Unconfirmed(Commit)))));
    assert_eq!(polled(ended.of(&id)), Poll::Ready(None), "asked again, the checker decides");
    assert!(matches!(polled(ended.begin(&id, Progress::lets_checker)), Poll::Ready(Ok(_))));
}

#[derive(Clone, Debug)]
enum Step {
    Sender(TransactionState),
    Checker(TransactionState),
    Told(Option<Applied>),
    Dropped,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = || prop_oneof![Just(Commit), Just(Rollback)];
    let step = prop_oneof![
        2 => state().prop_map(Step::Sender),
        2 => state().prop_map(Step::Checker),
        2 => Just(Step::Told(None)),
        1 => Just(Step::Told(Some(Applied::No))),
        1 => Just(Step::Told(Some(Applied::Unknown))),
        1 => Just(Step::Dropped),
    ];
    proptest::collection::vec(step, 0..30)
}

proptest! {
    /// R-I2: sender and checker, in any order. Seen to fail with senders that are let through after a commit.
    #[test]
    fn a_commit_is_confirmed_once_and_nobody_tells_a_broker_beside_another(steps in steps()) {
        let (ended, id) = (Ended::default(), MessageId::from("half"));
        let (mut under_way, mut commits, mut last) = (None, 0, None);
        for step in steps {
            let (state, begun) = match step {
                Step::Sender(state) => (state, polled(ended.begin(&id, |before| before.lets_sender(state)))),
                Step::Checker(state) => (state, polled(ended.begin(&id, Progress::lets_checker))),
                Step::Told(failed) => {
                    if let Some((end, state)) = under_way.take() {
                        tell(end, state, failed);
                        if failed.is_none() {
                            commits += usize::from(state == Commit);
                            last = Some(state);
                        }
                    }
                    continue;
                }
                Step::Dropped => {
                    under_way = None;
                    continue;
                }
            };
            match begun {
                Poll::Ready(Ok(end)) => {
                    prop_assert!(under_way.is_none() && last != Some(Commit), "{:?} after {:?}", state, last);
                    under_way = Some((end, state));
                }
                Poll::Pending => prop_assert!(under_way.is_some()),
                Poll::Ready(Err(before)) => prop_assert!(under_way.is_none() && before != Progress::UnderWay),
            }
        }
        prop_assert!(commits <= 1, "{} commits", commits);
    }
}
