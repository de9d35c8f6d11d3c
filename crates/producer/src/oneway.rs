use ferrocket_backend::BoxFuture;
use ferrocket_model::{Failure, Message};

use crate::{
    job::{Job, Ready},
    queue,
    send::kind_of,
    sending::{Plan, SendError},
};

pub(crate) fn start(plan: Plan, message: Message) -> BoxFuture<'static, Result<(), SendError>> {
    let kind = kind_of(&message);
    let mut job = Job::one(plan, message, kind);
    match job.intercept().and_then(|()| job.ready_now()) {
        Ok(Some(ready)) => Box::pin(finish(job, ready)),
        Ok(None) => Box::pin(async move {
            match job.ready().await {
                Ok(ready) => finish(job, ready).await,
                Err(failure) => Err(job.failed(failure)),
            }
        }),
        Err(failure) => Box::pin(std::future::ready(Err(job.failed(failure)))),
    }
}

#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice, and this future is one per send")]
fn finish(mut job: Job, ready: Ready) -> impl Future<Output = Result<(), SendError>> + Send {
    async move {
        match hand_over(&mut job, &ready).await {
            Ok(()) => {
                job.now = job.core.clock();
                job.core.stats.succeeded(1, job.elapsed(), 1);
                Ok(())
            }
            Err(failure) => Err(job.failed(failure)),
        }
    }
}

/// As a send, with one attempt and no answer.
async fn hand_over(job: &mut Job, ready: &Ready) -> Result<(), Box<Failure>> {
    let queue = match &ready.pinned {
        Some(pin) => pin.queue.clone(),
        None => queue::choose(&job.core, &ready.topic, &ready.route, None, job.now)
            .ok_or_else(|| queue::none(&job.message))?,
    };
    let left = job.attempts.deadline().saturating_sub(job.elapsed());
    let request = ready.parts.request(job, &queue, job.now, left);
    job.core.stack.backend.send_oneway(request).await
}
