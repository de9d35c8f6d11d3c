use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
};

use ferrocket_model::{MessageId, TransactionState};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Transactions that are remembered; beyond it the oldest is forgotten, and the checker decides about it as about any other.
const REMEMBERED: usize = 10_000;

/// The transactions that this producer has ended.
///
/// Brokers ask about a half message also when its end has crossed their question, and each copy that a retried send left behind
/// is one more to ask about. Every commit stores the message once more (§3.9): what was committed here must not be committed
/// again by a checker that truthfully says "committed". So the producer itself answers these, with a rollback of the copy. And what
/// the checker has ended is not ended again by the sender.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    transactions: HashMap<MessageId, Progress>,
    order: VecDeque<MessageId>,
}

/// How far the end of a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The broker is being told.
    UnderWay,
    /// The broker has confirmed this end.
    Confirmed(TransactionState),
}

impl Ended {
    /// Who gets through may tell the broker, and nobody else until the [`End`] is gone. Waits for one that is under way.
    ///
    /// # Errors
    ///
    /// How it has ended before.
    pub(crate) async fn begin<'a>(&'a self, id: &'a MessageId) -> Result<End<'a>, TransactionState> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.try_begin(id) {
                None => return Ok(End { ended: self, id, confirmed: None }),
                Some(Progress::UnderWay) => changed.await,
                Some(Progress::Confirmed(state)) => return Err(state),
            }
        }
    }

    /// `None`: it is the caller's now.
    fn try_begin(&self, id: &MessageId) -> Option<Progress> {
        let mut state = self.state.lock();
        if let Some(progress) = state.transactions.get(id) {
            return Some(*progress);
        }
        state.transactions.insert(id.clone(), Progress::UnderWay);
        state.order.push_back(id.clone());
        while state.order.len() > REMEMBERED {
            if let Some(oldest) = state.order.pop_front() {
                state.transactions.remove(&oldest);
            }
        }
        None
    }

    /// What came of it. An end that is not confirmed is forgotten: the checker decides.
    fn ends(&self, id: &MessageId, confirmed: Option<TransactionState>) {
        let mut state = self.state.lock();
        if let Some(confirmed) = confirmed {
            if let Some(progress) = state.transactions.get_mut(id) {
                *progress = Progress::Confirmed(confirmed);
            }
        } else if state.transactions.remove(id).is_some() {
            state.order.retain(|known| known != id);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Whether a transaction has ended here. Waits for an end that is under way.
    pub(crate) async fn has_ended(&self, id: &MessageId) -> bool {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.progress(id) {
                Some(Progress::UnderWay) => changed.await,
                Some(Progress::Confirmed(_)) => return true,
                None => return false,
            }
        }
    }

    fn progress(&self, id: &MessageId) -> Option<Progress> {
        self.state.lock().transactions.get(id).copied()
    }
}

/// The end of a transaction, while the broker is told. Forgotten when it is dropped, unless it was confirmed.
#[derive(Debug)]
pub(crate) struct End<'a> {
    ended: &'a Ended,
    id: &'a MessageId,
    confirmed: Option<TransactionState>,
}

impl End<'_> {
    /// The broker has confirmed it.
    pub(crate) fn confirm(mut self, state: TransactionState) {
        self.confirmed = Some(state);
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.ended.ends(self.id, self.confirmed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use TransactionState::{Commit, Rollback};
    use proptest::prelude::*;

    use super::*;

    fn polled<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn begin<'a>(ended: &'a Ended, id: &'a MessageId) -> End<'a> {
        match polled(ended.begin(id)) {
            Poll::Ready(Ok(end)) => end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_end_is_remembered_once_it_is_confirmed_and_forgotten_when_it_is_not() {
        let ended = Ended::default();
        let (one, two) = (MessageId::from("one"), MessageId::from("two"));
        let (first, second) = (begin(&ended, &one), begin(&ended, &two));
        assert_eq!(ended.progress(&one), Some(Progress::UnderWay));
        first.confirm(Commit);
        drop(second);
        assert_eq!((ended.progress(&one), ended.progress(&two)), (Some(Progress::Confirmed(Commit)), None));
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let ended = Ended::default();
        for n in 0..=REMEMBERED {
            begin(&ended, &MessageId::from(n.to_string())).confirm(Commit);
        }
        assert_eq!(ended.progress(&MessageId::from("0")), None);
        assert_eq!(ended.progress(&MessageId::from("1")), Some(Progress::Confirmed(Commit)));
        assert_eq!(ended.state.lock().transactions.len(), REMEMBERED);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin(TransactionState),
        Confirmed,
        Lost,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let begin = prop_oneof![Just(Commit), Just(Rollback)].prop_map(Step::Begin);
        proptest::collection::vec(prop_oneof![3 => begin, 1 => Just(Step::Confirmed), 1 => Just(Step::Lost)], 0..30)
    }

    proptest! {
        /// R-I2: sender and checker, in any order. Seen to fail with a second one that begins after the first was confirmed.
        #[test]
        fn whoever_ends_a_transaction_it_is_confirmed_once_and_nobody_is_told_beside_another(steps in steps()) {
            let (ended, id) = (Ended::default(), MessageId::from("half"));
            let (mut under_way, mut confirmed) = (None, None);
            for step in steps {
                match step {
                    Step::Begin(state) => match (polled(ended.begin(&id)), &under_way, confirmed) {
                        (Poll::Ready(Ok(end)), None, None) => under_way = Some((end, state)),
                        (Poll::Pending, Some(_), None) => {}
                        (Poll::Ready(Err(before)), None, Some(as_confirmed)) => prop_assert_eq!(before, as_confirmed),
                        (other, ..) => prop_assert!(false, "{:?}", other),
                    },
                    Step::Confirmed => if let Some((end, state)) = under_way.take() {
                        confirmed = Some(state);
                        end.confirm(state);
                    },
                    Step::Lost => under_way = None,
                }
            }
        }
    }
}
