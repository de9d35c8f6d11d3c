//! The way of a message: make ready, then attempt after attempt, until a broker has it or nothing helps.

use std::time::Duration;

use ferrocket_backend::{BoxFuture, Sent};
use ferrocket_model::{
    Applied, Attempt, BrokerName, ErrorKind, Failure, MessageId, MessageQueue, ReceiptParts, SendReceipt, SendStatus,
};
use tokio::time::Instant;

use crate::{
    attempt::{Attempts, Decision},
    core::Core,
    job::{Job, Ready},
    queue,
    sending::{Plan, SendError},
};

pub(crate) fn start(plan: Plan) -> BoxFuture<'static, Result<SendReceipt, SendError>> {
    let mut job = Job::new(plan);
    Box::pin(async move {
        match run(&mut job).await {
            Ok(stored) => {
                let took = job.elapsed();
                job.core.stats.succeeded(took, job.attempts.made());
                Ok(stored.receipt(job.attempts, took))
            }
            Err(failure) => {
                let applied = match job.attempts.applied() {
                    Applied::No => failure.applied(),
                    worst => worst,
                };
                job.core.stats.failed(applied == Applied::Unknown, job.attempts.made());
                let failure = failure.with_applied(applied).with_topic(job.message.topic());
                let failure = failure.with_attempts(job.attempts.into_records(|| None), job.started.elapsed());
                Err(SendError::new(Box::new(failure), job.message))
            }
        }
    })
}

/// A message that a broker has.
struct Stored {
    id: MessageId,
    queue: MessageQueue,
    sent: Sent,
}

async fn run(job: &mut Job) -> Result<Stored, Box<Failure>> {
    let mut ready = match job.ready_now()? {
        Some(ready) => ready,
        // Boxed, as all that is rare: it should not make every send larger.
        None => Box::pin(job.ready()).await?,
    };
    let mut last_broker: Option<BrokerName> = None;
    loop {
        let queue = match &ready.pinned {
            Some(queue) => queue.clone(),
            None => queue::choose(&job.core, &ready.topic, &ready.route, last_broker.as_ref(), job.now)
                .ok_or_else(|| queue::none(&job.message))?,
        };
        let Some(timeout) = job.attempts.begin(job.elapsed(), &job.core.options.retry) else {
            return Err(job.out_of_time());
        };
        let began = job.now;
        let request = ready.parts.request(job, &queue, began, timeout);
        let answer = job.core.stack.backend.send(request).await;
        job.now = Instant::now();
        let took = job.now.saturating_duration_since(began);
        match answer {
            Ok(sent) => {
                let core = &job.core;
                core.with_faults(|faults| faults.succeeded(queue.broker(), took, core.since_start(job.now)));
                if sent.status != SendStatus::Ok && job.attempts.not_ok(queue.broker(), took, &core.options.retry) {
                    last_broker = Some(queue.broker().clone());
                    continue;
                }
                return Ok(Stored { id: ready.parts.id, queue, sent });
            }
            Err(failure) => {
                Box::pin(again(job, &mut ready, &queue, took, failure)).await?;
                last_broker = Some(queue.broker().clone());
            }
        }
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
        // Whatever it says: a route that is still wrong fails the next attempt.
        let refreshed = tokio::time::timeout(left / 2, core.stack.routes.refresh(job.message.topic())).await;
        if let Ok(Ok(fresh)) = refreshed
            && !fresh.publish.is_empty()
        {
            ready.route = fresh;
        }
    }
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    job.now = Instant::now();
    Ok(())
}

fn record_fault(core: &Core, broker: &BrokerName, failure: &Failure, now: Instant) {
    let now = core.since_start(now);
    core.with_faults(|faults| match failure.kind() {
        ErrorKind::BrokerUnreachable => faults.unreachable(broker, now),
        // What is wrong with a message or a permission says nothing about the broker.
        ErrorKind::InvalidArgument | ErrorKind::PermissionDenied | ErrorKind::RouteNotFound | ErrorKind::Closed => {}
        _ => faults.failed(broker, now),
    });
}

impl Stored {
    fn receipt(self, attempts: Attempts, took: Duration) -> SendReceipt {
        let Self { id, queue, sent } = self;
        let attempts = attempts.into_records(|| Some(Attempt::succeeded(queue.broker().clone(), took)));
        // The broker says which queue it used; it is another one only where a queue was left to it.
        let queue = if sent.queue_id == queue.id() {
            queue
        } else {
            MessageQueue::new(queue.topic(), queue.broker(), sent.queue_id)
        };
        SendReceipt::from(ReceiptParts {
            message_id: id,
            status: sent.status,
            queue: Some(queue),
            offset: sent.offset,
            broker_message_id: sent.broker_message_id,
            transaction_id: sent.transaction_id,
            recall_handle: sent.recall_handle,
            attempts,
        })
    }
}
