use std::time::Duration;

use ferrocket_backend::BoxFuture;
use ferrocket_model::{Failure, Message};
use tokio::time::Instant;

use crate::{
    core::Core,
    send::{Prepared, check, choose, enter, pin},
    sending::{Plan, SendError, Target},
};

pub(crate) fn start(plan: Plan) -> BoxFuture<'static, Result<(), SendError>> {
    Box::pin(async move {
        let Plan { core, message, timeout, target, .. } = plan;
        let timeout = timeout.unwrap_or(core.options.send_timeout);
        let outcome = hand_over(&core, &message, target, timeout).await;
        outcome.map_err(|failure| {
            core.stats.failed(false, 1);
            SendError::new(Box::new(failure.with_topic(message.topic())), message)
        })
    })
}

/// As a send, with one attempt and no answer.
async fn hand_over(core: &Core, message: &Message, target: Target, timeout: Duration) -> Result<(), Box<Failure>> {
    let started = Instant::now();
    check(core, message, timeout)?;
    let _place = enter(core, message, timeout).await?;
    let left = || timeout.saturating_sub(started.elapsed());
    let new_topic_queues = core.options.new_topic_queues;
    let route = core.stack.routes.route(message.topic(), Some(new_topic_queues), left()).await?;
    let prepared = Prepared::new(core, message).await?;
    let queue = match pin(core, message, target, &route)? {
        Some(queue) => queue,
        None => choose(core, message, &route, None)?,
    };
    let request = prepared.request(core, message, &queue, left());
    core.stack.backend.send_oneway(request).await?;
    core.stats.succeeded(started.elapsed(), 1);
    Ok(())
}
