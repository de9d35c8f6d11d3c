use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
};

use ferrocket_model::MessageId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Transactions that are remembered; beyond it the oldest is forgotten, and the checker decides about it as about any other.
const REMEMBERED: usize = 10_000;

/// The transactions that this producer has ended.
///
/// Brokers ask about a half message also when its end has crossed their question, and each copy that a retried send left behind
/// is one more to ask about. Every commit stores the message once more (§3.9): what was committed here must not be committed
/// again by a checker that truthfully says "committed". So the producer itself answers these, with a rollback of the copy.
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
    /// The broker has confirmed it.
    Confirmed,
}

impl Ended {
    /// The broker is being told.
    pub(crate) fn begins(&self, id: &MessageId) {
        let mut state = self.state.lock();
        if state.transactions.insert(id.clone(), Progress::UnderWay).is_none() {
            state.order.push_back(id.clone());
        }
        while state.order.len() > REMEMBERED {
            if let Some(oldest) = state.order.pop_front() {
                state.transactions.remove(&oldest);
            }
        }
    }

    /// What came of it. An end that is not confirmed is forgotten: the checker decides.
    pub(crate) fn ends(&self, id: &MessageId, is_confirmed: bool) {
        let mut state = self.state.lock();
        if is_confirmed {
            if let Some(progress) = state.transactions.get_mut(id) {
                *progress = Progress::Confirmed;
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
                Some(Progress::Confirmed) => return true,
                None => return false,
            }
        }
    }

    fn progress(&self, id: &MessageId) -> Option<Progress> {
        self.state.lock().transactions.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_remembered_once_it_is_confirmed_and_forgotten_when_it_is_not() {
        let ended = Ended::default();
        let (one, two) = (MessageId::from("one"), MessageId::from("two"));
        ended.begins(&one);
        ended.begins(&two);
        assert_eq!(ended.progress(&one), Some(Progress::UnderWay));
        ended.ends(&one, true);
        ended.ends(&two, false);
        assert_eq!((ended.progress(&one), ended.progress(&two)), (Some(Progress::Confirmed), None));
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let ended = Ended::default();
        for n in 0..=REMEMBERED {
            let id = MessageId::from(n.to_string());
            ended.begins(&id);
            ended.ends(&id, true);
        }
        assert_eq!(ended.progress(&MessageId::from("0")), None);
        assert_eq!(ended.progress(&MessageId::from("1")), Some(Progress::Confirmed));
        assert_eq!(ended.state.lock().transactions.len(), REMEMBERED);
    }
}
