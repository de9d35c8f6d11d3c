//! Questions of brokers about half messages, and their answers.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::{CheckAnswer, EventStream, ServerEvent, TransactionCheck, spawn};
use ferrocket_model::{MessageId, TransactionState, properties::name};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use crate::{
    TransactionEnd,
    core::Core,
    ended::Progress,
    interceptor::{contain, transaction_ends},
    transaction::DynChecker,
};

/// A checker that takes longer has no answer; the broker asks again.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// The questions that are being answered.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// How many there can be, and the permits of those that are not.
    slots: OnceLock<(Arc<Semaphore>, u32)>,
    ending: Arc<Notify>,
    is_over: AtomicBool,
}

impl Checks {
    /// Answers what brokers ask, `concurrency` questions at once; the others wait in a bounded queue, and are asked again when it is
    /// full. Ends with the producer. Called once.
    pub(crate) fn answer(core: &Arc<Core>, events: EventStream, checker: Arc<dyn DynChecker>, concurrency: u32) {
        let slots = Arc::new(Semaphore::new(concurrency as usize));
        let _ = core.checks.slots.set((slots.clone(), concurrency));
        let ending = core.checks.ending.clone();
        drop(spawn(Box::pin(listen(Arc::downgrade(core), events, checker, slots, ending))));
    }

    /// The producer was dropped: no further question is taken.
    pub(crate) fn abandon(&self) {
        self.is_over.store(true, Ordering::Release);
        self.ending.notify_one();
    }

    /// Takes no further question, and waits for the answers under way. Says how many are still missing.
    pub(crate) async fn drain(&self, until: Instant) -> usize {
        let Some((slots, concurrency)) = self.slots.get() else { return 0 };
        let all = tokio::time::timeout_at(until, slots.acquire_many(*concurrency)).await;
        let missing = if all.is_ok() { 0 } else { *concurrency as usize - slots.available_permits() };
        self.abandon();
        missing
    }
}

async fn listen(
    core: Weak<Core>,
    mut events: EventStream,
    checker: Arc<dyn DynChecker>,
    slots: Arc<Semaphore>,
    ending: Arc<Notify>,
) {
    loop {
        let event = {
            let mut over = std::pin::pin!(ending.notified());
            std::future::poll_fn(|cx| {
                if over.as_mut().poll(cx).is_ready() {
                    return std::task::Poll::Ready(None);
                }
                events.as_mut().poll_next(cx)
            })
            .await
        };
        let Some(event) = event else { return };
        let ServerEvent::CheckTransaction(check) = event else { continue };
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Some(core) = core.upgrade() else { return };
        if core.checks.is_over.load(Ordering::Acquire) {
            return;
        }
        let checker = checker.clone();
        drop(spawn(Box::pin(async move {
            let _slot = slot;
            answer(&core, &*checker, *check).await;
        })));
    }
}

/// One answer per question, whatever the checker does, but for those that cross an end which was not confirmed.
async fn answer(core: &Core, checker: &dyn DynChecker, check: TransactionCheck) {
    let TransactionCheck { half, answer } = check;
    let (id, topic) = (half.id().clone(), half.topic().clone());
    // An end that crosses the question is waited for, for as long as one takes.
    let patience = core.stack.request_timeout;
    let known = match tokio::time::timeout(patience, core.ended.asked(&id)).await {
        Ok(Ok(known)) => known,
        Ok(Err(ended)) => return has_ended(core, &id, answer, ended).await,
        Err(_) => return has_ended(core, &id, answer, Progress::UnderWay).await,
    };
    let transaction_id = half.transaction_id().map(str::to_owned);
    let marks = [half.tag(), half.property(name::KEYS), half.property(name::MSG_REGION), half.broker_message_id()];
    let [tag, keys, region, broker_message_id] = marks.map(|text| text.map(str::to_owned));
    // A body that cannot be unpacked is not the message that was sent: nobody can decide by it.
    let asked = match half.defect() {
        Some(defect) => Err(format!("the half message cannot be read: {defect}")),
        None => ask(checker, half).await,
    };
    let state = match asked {
        Ok(state) => state,
        Err(problem) => {
            tracing::warn!(group = %core.group, message = %id, problem, "a transaction stays open; the broker asks again");
            TransactionState::Unknown
        }
    };
    // The sender may have ended it while the checker looked.
    let mut end = None;
    if state != TransactionState::Unknown {
        match tokio::time::timeout(patience, core.ended.answer(&id, known)).await {
            Ok(Ok(begun)) => end = Some(begun),
            Ok(Err(ended)) => return has_ended(core, &id, answer, ended).await,
            Err(_) => return has_ended(core, &id, answer, Progress::UnderWay).await,
        }
    }
    transaction_ends(core, || TransactionEnd {
        group: core.group.clone(),
        topic,
        message_id: id.clone(),
        tag,
        keys,
        region,
        broker_message_id,
        transaction_id,
        state,
        from_check: true,
    });
    core.stats.checked();
    if let Some(end) = &mut end {
        end.tell(state);
    }
    let answered = answer(state).await;
    if let Some(end) = end {
        end.told(state, &answered, |failure| failure.applied());
    }
    if let Err(failure) = answered {
        tracing::warn!(group = %core.group, message = %id, %failure, "the broker did not confirm the answer to its question");
    }
}

/// A broker asks about a transaction that has ended here: what it has is a copy, and to commit that would deliver the message twice. If it
/// did not confirm the end, it may not have a copy: it is not answered, and asks again if it has.
async fn has_ended(core: &Core, id: &MessageId, answer: CheckAnswer, ended: Progress) {
    tracing::debug!(group = %core.group, message = %id, ?ended, "a broker asks about a transaction that has ended here");
    if !matches!(ended, Progress::Confirmed(_)) {
        return;
    }
    core.stats.checked();
    if let Err(failure) = answer(TransactionState::Rollback).await {
        tracing::debug!(group = %core.group, message = %id, %failure, "a copy of a half message stays; the broker asks again");
    }
}

async fn ask(checker: &dyn DynChecker, half: ferrocket_model::ReceivedMessage) -> Result<TransactionState, String> {
    let mut checking = contain(|| checker.check(half)).map_err(|panic| format!("the checker panicked: {panic}"))?;
    let contained = std::future::poll_fn(|cx| match contain(|| checking.as_mut().poll(cx)) {
        Ok(std::task::Poll::Ready(state)) => std::task::Poll::Ready(Ok(state)),
        Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    });
    match tokio::time::timeout(CHECK_LIMIT, contained).await {
        Ok(Ok(Ok(state))) => Ok(state),
        Ok(Ok(Err(error))) => Err(format!("the checker does not know: {error}")),
        Ok(Err(panic)) => Err(format!("the checker panicked: {panic}")),
        Err(_) => Err(format!("the checker took longer than {CHECK_LIMIT:?}")),
    }
}
