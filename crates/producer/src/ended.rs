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
    transactions: HashMap<MessageId, Known>,
    /// Those that are not under way, the oldest first.
    order: VecDeque<MessageId>,
    /// Counts what becomes of ends.
    turn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    progress: Progress,
    /// When it became so.
    turn: u64,
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

/// What was known when a broker asked: an end that was not confirmed until then, of which the broker does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked(Option<u64>);

impl Ended {
    /// For the sender, who may tell the broker, and nobody else until the [`End`] is gone. Waits for one that is under way.
    ///
    /// Brokers store the message for every commit, also after a rollback: what a checker has rolled back can be committed, and nothing
    /// else can be ended a second time.
    ///
    /// # Errors
    ///
    /// How it has ended before.
    pub(crate) async fn begin<'a>(&'a self, id: &'a MessageId, state: TransactionState) -> Result<End<'a>, Progress> {
        use TransactionState::{Commit, Rollback};
        let rolled_back =
            |progress| matches!(progress, Progress::Confirmed(Rollback) | Progress::Unconfirmed(Rollback));
        self.begin_if(id, |known| state == Commit && rolled_back(known.progress)).await
    }

    /// As [`begin`](Self::begin), for a checker's answer to a question.
    ///
    /// # Errors
    ///
    /// How it has ended, also if that was not confirmed and happened after the broker had asked: it may know by now, and asks again
    /// if it does not.
    pub(crate) async fn answer<'a>(&'a self, id: &'a MessageId, asked: Asked) -> Result<End<'a>, Progress> {
        self.begin_if(id, |known| {
            matches!(known.progress, Progress::Unconfirmed(_)) && asked == Asked(Some(known.turn))
        })
        .await
    }

    /// What is known as a broker asks. Waits for an end that is under way.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub(crate) async fn asked(&self, id: &MessageId) -> Result<Asked, Progress> {
        let mut has_waited = false;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let known = self.state.lock().transactions.get(id).copied();
            match known.map(|known| (known.progress, known.turn)) {
                None => return Ok(Asked::default()),
                Some((Progress::UnderWay, _)) => changed.await,
                Some((Progress::Unconfirmed(_), turn)) if !has_waited => return Ok(Asked(Some(turn))),
                Some((progress, _)) => return Err(progress),
            }
            has_waited = true;
        }
    }

    async fn begin_if<'a>(&'a self, id: &'a MessageId, lets: impl Fn(Known) -> bool) -> Result<End<'a>, Progress> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.try_begin(id, &lets) {
                Ok(before) => return Ok(End { ended: self, id, before, after: before }),
                Err(Progress::UnderWay) => changed.await,
                Err(before) => return Err(before),
            }
        }
    }

    /// What was before, if it is the caller's now.
    fn try_begin(&self, id: &MessageId, lets: impl Fn(Known) -> bool) -> Result<Option<Progress>, Progress> {
        let mut state = self.state.lock();
        let before = state.transactions.get(id).copied();
        match before {
            Some(known) if known.progress == Progress::UnderWay || !lets(known) => return Err(known.progress),
            Some(_) => state.order.retain(|other| other != id),
            None => {}
        }
        let turn = state.turn;
        state.transactions.insert(id.clone(), Known { progress: Progress::UnderWay, turn });
        Ok(before.map(|known| known.progress))
    }

    /// Nobody tells the broker any more.
    fn ends(&self, id: &MessageId, after: Option<Progress>) {
        let mut state = self.state.lock();
        state.turn += 1;
        let turn = state.turn;
        match after {
            Some(progress) => {
                state.transactions.insert(id.clone(), Known { progress, turn });
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
}

/// The end of a transaction, while the broker is told.
#[derive(Debug)]
pub(crate) struct End<'a> {
    ended: &'a Ended,
    id: &'a MessageId,
    before: Option<Progress>,
    after: Option<Progress>,
}

impl End<'_> {
    /// Whether the checker had rolled it back. Then no broker asks again.
    pub(crate) fn was_rolled_back(&self) -> bool {
        self.before == Some(Progress::Confirmed(TransactionState::Rollback))
    }

    /// From now on the broker may know, also if this is dropped.
    pub(crate) fn tell(&mut self, state: TransactionState) {
        self.after = Some(Progress::Unconfirmed(state));
    }

    /// The broker has confirmed it, or has not, and may have applied it all the same. One that was not applied is forgotten: the
    /// checker decides.
    pub(crate) fn told<E>(mut self, state: TransactionState, ended: &Result<(), E>, applied: impl Fn(&E) -> Applied) {
        match ended {
            Ok(()) => self.after = Some(Progress::Confirmed(state)),
            Err(error) if applied(error) == Applied::No => self.after = None,
            Err(_) => {}
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
