use ferrocket_backend::BoxFuture;
use ferrocket_model::Failure;

use crate::{
    job::Job,
    queue,
    sending::{Plan, SendError},
};

pub(crate) fn start(plan: Plan) -> BoxFuture<'static, Result<(), SendError>> {
    let mut job = Job::new(plan);
    Box::pin(async move {
        hand_over(&mut job).await.map_err(|failure| {
            job.core.stats.failed(false, 1);
            SendError::new(Box::new(failure.with_topic(job.message.topic())), job.message)
        })
    })
}

/// As a send, with one attempt and no answer.
async fn hand_over(job: &mut Job) -> Result<(), Box<Failure>> {
    let ready = match job.ready_now()? {
        Some(ready) => ready,
        None => Box::pin(job.ready()).await?,
    };
    let queue = match &ready.pinned {
        Some(queue) => queue.clone(),
        None => queue::choose(&job.core, &ready.topic, &ready.route, None, job.now)
            .ok_or_else(|| queue::none(&job.message))?,
    };
    let left = job.timeout.saturating_sub(job.elapsed());
    let request = ready.parts.request(job, &queue, job.now, left);
    job.core.stack.backend.send_oneway(request).await?;
    job.core.stats.succeeded(job.started.elapsed(), 1);
    Ok(())
}
