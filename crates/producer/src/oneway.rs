use std::{sync::Arc, time::Duration};

use ferrocket_model::{BrokerName, ErrorKind, Failure, Message, MessageQueue, Topic};

use crate::{
    core::Core,
    job::{Job, Ready},
    queue,
    send::{self, kind_of},
    sending::{Begun, Plan, SendError},
};

pub(crate) fn start(plan: Plan, message: Message) -> Begun<()> {
    let kind = kind_of(&message);
    let mut job = Job::one(plan, message, kind);
    let ready = match job.intercept().and_then(|()| job.ready_to_leave()) {
        Ok(ready) => ready,
        Err(failure) => return Begun::Ended(Err(job.failed(failure))),
    };
    match ready.as_ref().map_or(Ok(false), |ready| leave(&job, ready)) {
        Ok(true) => {
            job.core.stats.succeeded(1, job.elapsed(), 1);
            Begun::Ended(Ok(()))
        }
        Ok(false) => Begun::Running(Box::pin(slowly(job, ready))),
        Err(failure) => Begun::Ended(Err(job.failed(failure))),
    }
}

/// The usual case: the broker is connected, and has room. Says whether it is.
fn leave(job: &Job, ready: &Ready) -> Result<bool, Box<Failure>> {
    let queue = queue_of(job, ready)?;
    let request = ready.parts.request(job, queue, job.now, job.attempts.deadline());
    Ok(job.core.stack.backend.begin_oneway(&request))
}

/// Waits for what is missing: a place in the window, a route, a connection.
async fn slowly(mut job: Job, ready: Option<Ready>) -> Result<(), SendError> {
    match hand_over(&mut job, ready).await {
        Ok(()) => {
            job.now = job.core.clock();
            job.core.stats.succeeded(1, job.elapsed(), 1);
            Ok(())
        }
        Err(failure) => Err(job.failed(failure)),
    }
}

/// As a send, with one attempt and no answer.
async fn hand_over(job: &mut Job, ready: Option<Ready>) -> Result<(), Box<Failure>> {
    let ready = match ready {
        // Its queue may be fixed already.
        Some(mut ready) => {
            ready.enter(job).await?;
            ready
        }
        None => job.ready().await?,
    };
    let queue = queue_of(job, &ready)?;
    let left = job.attempts.deadline().saturating_sub(job.elapsed());
    let handed_over = job.core.stack.backend.send_oneway(ready.parts.request(job, queue, job.now, left)).await;
    if let Err(failure) = &handed_over {
        let patience = job.left() / 2;
        learn_from(&job.core, job.message.topic(), queue.broker(), failure, patience).await;
    }
    handed_over
}

/// There is no second attempt, but the next send should know.
async fn learn_from(core: &Arc<Core>, topic: &Topic, broker: &BrokerName, failure: &Failure, patience: Duration) {
    send::record_fault(core, broker, failure, core.clock());
    if failure.kind() == ErrorKind::BrokerUnreachable {
        // Whatever it says: the route may be wrong, or the broker is away.
        let _ = tokio::time::timeout(patience, core.stack.routes.refresh(topic)).await;
    }
}

fn queue_of<'a>(job: &Job, ready: &'a Ready) -> Result<&'a MessageQueue, Box<Failure>> {
    match &ready.pinned {
        Some(pin) => Ok(&pin.queue),
        None => {
            queue::choose(&job.core, &ready.topic, &ready.route, None, job.now).ok_or_else(|| queue::none(&job.message))
        }
    }
}
