//! The way of a message: make ready, then attempt after attempt, until a broker has it or nothing helps.

use std::{sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, SendKind, Sent};
use ferrocket_model::{
    Attempt, BrokerName, ErrorKind, Failure, Message, MessageQueue, ReceiptParts, SendReceipt, SendStatus,
};

use crate::{
    accumulate,
    attempt::Decision,
    core::Core,
    detector::Detector,
    job::{Job, Ready},
    queue,
    sending::{Plan, SendError},
};

pub(crate) fn start(plan: Plan, message: Message) -> BoxFuture<'static, Result<SendReceipt, SendError>> {
    if plan.core.accumulator.as_ref().is_some_and(|accumulator| accumulator.takes(&plan, &message)) {
        return accumulate::start(plan, message);
    }
    let kind = kind_of(&message);
    let mut job = Job::one(plan, message, kind);
    // There is one such future per send in flight: what is rare is boxed apart, so that the usual one is small.
    match job.intercept().and_then(|()| job.ready_now()) {
        Ok(Some(ready)) => Box::pin(finish(job, ready)),
        Ok(None) => Box::pin(slowly(job)),
        Err(failure) => Box::pin(std::future::ready(Err(job.failed(failure)))),
    }
}

/// A reply goes by a code of its own.
pub(crate) fn kind_of(message: &Message) -> SendKind {
    if message.is_reply() { SendKind::Reply } else { SendKind::Message }
}

/// With something to wait for before the first attempt.
pub(crate) async fn slowly(mut job: Job) -> Result<SendReceipt, SendError> {
    match job.ready().await {
        Ok(ready) => finish(job, ready).await,
        Err(failure) => Err(job.failed(failure)),
    }
}

/// From ready to the end.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice, and this future is one per send")]
fn finish(mut job: Job, mut ready: Ready) -> impl Future<Output = Result<SendReceipt, SendError>> + Send {
    async move {
        match attempt(&mut job, &mut ready).await {
            Ok(stored) => {
                let receipt = receipt(&mut job, stored);
                job.succeeded(&ready.topic, std::slice::from_ref(&receipt));
                Ok(receipt)
            }
            Err(failure) => Err(job.failed(failure)),
        }
    }
}

/// Where a broker put it, and what it said.
pub(crate) struct Stored {
    pub(crate) queue: MessageQueue,
    pub(crate) sent: Sent,
}

/// Attempt after attempt.
pub(crate) async fn attempt(job: &mut Job, ready: &mut Ready) -> Result<Stored, Box<Failure>> {
    let mut last_broker: Option<BrokerName> = None;
    // A broker has it, not as safely as wanted: good enough when no other one does better (PRO-SEND-06).
    let mut stored: Option<Box<Stored>> = None;
    loop {
        let queue = match &ready.pinned {
            Some(pin) => Some(pin.queue.clone()),
            None => queue::choose(&job.core, &ready.topic, &ready.route, last_broker.as_ref(), job.now).cloned(),
        };
        let began = job.now;
        let (queue, timeout) = match (queue, job.attempts.begin(job.elapsed(), &job.core.options.retry)) {
            (Some(queue), Some(timeout)) => (queue, timeout),
            (None, _) => return stored.map(|stored| *stored).ok_or_else(|| queue::none(&job.message)),
            (_, None) => return stored.map(|stored| *stored).ok_or_else(|| job.out_of_time()),
        };
        let request = ready.parts.request(job, &queue, began, timeout);
        let answer = job.core.stack.backend.send(request).await;
        job.now = job.core.clock();
        let took = job.now.saturating_sub(began);
        let failure = match answer {
            Ok(sent) => {
                let core = &job.core;
                core.with_faults(|faults| faults.succeeded(queue.broker(), took, job.now));
                let is_free = ready.pinned.is_none();
                let policy = &core.options.retry;
                if sent.status != SendStatus::Ok && is_free && job.attempts.not_ok(queue.broker(), took, policy) {
                    last_broker = Some(queue.broker().clone());
                    stored.get_or_insert_with(|| Box::new(Stored { queue, sent }));
                    continue;
                }
                return Ok(Stored { queue, sent });
            }
            Err(failure) => failure,
        };
        if let Err(failure) = Box::pin(again(job, ready, &queue, took, failure)).await {
            return stored.map(|stored| *stored).ok_or(failure);
        }
        last_broker = Some(queue.broker().clone());
    }
}

/// An attempt failed: waits until the next one may begin, or says that there is none.
async fn again(
    job: &mut Job,
    ready: &mut Ready,
    queue: &MessageQueue,
    took: Duration,
    failure: Box<Failure>,
) -> Result<(), Box<Failure>> {
    record_fault(&job.core, queue.broker(), &failure, job.now);
    let core = job.core.clone();
    let same = ready.pinned.is_some() || ready.route.publish.iter().all(|other| other.broker() == queue.broker());
    let policy = &core.options.retry;
    let (pause, refresh_route) =
        match job.attempts.failed(queue.broker(), took, &failure, policy, same, fastrand::f64()) {
            Decision::GiveUp => return Err(failure),
            Decision::Again { pause, refresh_route } => (pause, refresh_route),
        };
    let left = job.left();
    if left <= pause {
        return Err(failure);
    }
    if refresh_route {
        // Whatever it says: a route that is still wrong fails the next attempt. A key has no other queue to try meanwhile.
        let (routes, topic) = (&core.stack.routes, job.message.topic());
        let refreshed = match &ready.pinned {
            Some(pin) if pin.by_key => tokio::time::timeout(left / 2, routes.refresh_past(topic, &ready.route)).await,
            _ => tokio::time::timeout(left / 2, routes.refresh(topic)).await,
        };
        if let Ok(Ok(fresh)) = refreshed
            && !fresh.publish.is_empty()
        {
            let moved = ready.pinned.as_ref().and_then(|pin| queue::moved(job, pin, &fresh));
            ready.route = fresh;
            if let Some(queue) = moved {
                ready.move_to(job, queue).await?;
            }
        }
    }
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    job.now = job.core.clock();
    Ok(())
}

/// What a failure says about its broker.
pub(crate) fn record_fault(core: &Arc<Core>, broker: &BrokerName, failure: &Failure, now: Duration) {
    core.with_faults(|faults| match failure.kind() {
        ErrorKind::BrokerUnreachable => {
            faults.unreachable(broker, now);
            if !faults.is_clean() {
                Detector::start(core);
            }
        }
        // What is wrong with a message or a permission says nothing about the broker.
        ErrorKind::InvalidArgument | ErrorKind::PermissionDenied | ErrorKind::RouteNotFound | ErrorKind::Closed => {}
        _ => faults.failed(broker, now),
    });
}

/// The receipt of a message. Once per job: it takes the attempts.
pub(crate) fn receipt(job: &mut Job, stored: Stored) -> SendReceipt {
    let Stored { queue, sent } = stored;
    let took = job.elapsed();
    let attempts = job.attempts.records(|| Some(Attempt::succeeded(queue.broker().clone(), took)));
    // The broker says which queue it used; it is another one only where a queue was left to it.
    let queue = if sent.queue_id == queue.id() {
        queue
    } else {
        MessageQueue::new(queue.topic(), queue.broker(), sent.queue_id)
    };
    SendReceipt::from(ReceiptParts {
        message_id: job.message_id(),
        status: sent.status,
        queue: Some(queue),
        offset: sent.offset,
        broker_message_id: sent.broker_message_id,
        transaction_id: sent.transaction_id,
        recall_handle: sent.recall_handle,
        trace: sent.trace,
        attempts,
    })
}
