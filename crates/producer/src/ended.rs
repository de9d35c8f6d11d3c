use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
};

use ferrocket_model::{Applied, MessageId, TransactionState};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Transactions that are remembered; beyond it the oldest is forgotten, and the checker decides about it as about any other.
const REMEMBERED: usize = 10_000;

/// The transactions that this producer has ended.
///
/// Brokers ask about a half message also when its end has crossed their question, and each copy that a retried send left behind
/// is one more to ask about. Every commit stores the message once more (§3.9): what was committed here must not be committed
/// again by a checker that truthfully says "committed". So the producer itself answers these, with a rollback of the copy. And what
/// the checker has committed is not committed again by the sender.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    transactions: HashMap<MessageId, Progress>,
    /// Those that are not under way, the oldest first.
    order: VecDeque<MessageId>,
}

/// How far the end of a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A broker is being told.
    UnderWay,
    /// A broker has confirmed this end.
    Confirmed(TransactionState),
    /// A broker was told, and did not confirm it: it may have been applied.
    Unconfirmed(TransactionState),
}

impl Progress {
    /// Whether the sender may end it now. Brokers store the message for every commit, also after a rollback: what a checker has rolled
    /// back can be committed, and nothing else can be ended a second time.
    pub(crate) fn lets_sender(self, state: TransactionState) -> bool {
        self == Self::Confirmed(TransactionState::Rollback) && state == TransactionState::Commit
    }

    /// Whether a checker may end it now. A broker that asks again does not know of an end that it has not confirmed.
    pub(crate) fn lets_checker(self) -> bool {
        matches!(self, Self::Unconfirmed(_))
    }
}

impl Ended {
    /// Who gets through may tell the broker, and nobody else until the [`End`] is gone. Waits for one that is under way.
    ///
    /// # Errors
    ///
    /// How it has ended before, if `lets` does not let it end again. An end that was waited for and is not confirmed lets nobody: the
    /// broker had asked before it was told, and will ask again if it is still open.
    pub(crate) async fn begin<'a>(
        &'a self,
        id: &'a MessageId,
        lets: impl Fn(Progress) -> bool,
    ) -> Result<End<'a>, Progress> {
        let mut has_waited = false;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let crossed = |before| has_waited && matches!(before, Progress::Unconfirmed(_));
            match self.try_begin(id, |before| lets(before) && !crossed(before)) {
                Ok(before) => return Ok(End { ended: self, id, after: before }),
                Err(Progress::UnderWay) => changed.await,
                Err(before) => return Err(before),
            }
            has_waited = true;
        }
    }

    /// How a transaction has ended. Waits for an end that is under way. `None` also for one that was not confirmed, unless it was waited
    /// for; see [`begin`](Self::begin).
    pub(crate) async fn of(&self, id: &MessageId) -> Option<Progress> {
        let mut has_waited = false;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.progress(id) {
                Some(Progress::UnderWay) => changed.await,
                Some(Progress::Unconfirmed(_)) if !has_waited => return None,
                progress => return progress,
            }
            has_waited = true;
        }
    }

    /// What was before, if it is the caller's now.
    fn try_begin(&self, id: &MessageId, lets: impl Fn(Progress) -> bool) -> Result<Option<Progress>, Progress> {
        let mut state = self.state.lock();
        let before = state.transactions.get(id).copied();
        match before {
            Some(before) if before == Progress::UnderWay || !lets(before) => return Err(before),
            Some(_) => state.order.retain(|known| known != id),
            None => {}
        }
        state.transactions.insert(id.clone(), Progress::UnderWay);
        Ok(before)
    }

    /// Nobody tells the broker any more.
    fn ends(&self, id: &MessageId, after: Option<Progress>) {
        let mut state = self.state.lock();
        match after {
            Some(after) => {
                state.transactions.insert(id.clone(), after);
                state.order.push_back(id.clone());
            }
            None => drop(state.transactions.remove(id)),
        }
        while state.order.len() > REMEMBERED {
            if let Some(oldest) = state.order.pop_front() {
                state.transactions.remove(&oldest);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn progress(&self, id: &MessageId) -> Option<Progress> {
        self.state.lock().transactions.get(id).copied()
    }
}

/// The end of a transaction, while the broker is told. When it is dropped before anything came of that, everything is as before: the
/// checker decides.
#[derive(Debug)]
pub(crate) struct End<'a> {
    ended: &'a Ended,
    id: &'a MessageId,
    after: Option<Progress>,
}

impl End<'_> {
    /// The broker has confirmed it, or has not, and may have applied it all the same.
    pub(crate) fn told<E>(mut self, state: TransactionState, ended: &Result<(), E>, applied: impl Fn(&E) -> Applied) {
        match ended {
            Ok(()) => self.after = Some(Progress::Confirmed(state)),
            Err(error) if applied(error) == Applied::No => {}
            Err(_) => self.after = Some(Progress::Unconfirmed(state)),
        }
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.ended.ends(self.id, self.after);
    }
}

#[cfg(test)]
#[path = "ended_tests.rs"]
mod tests;
