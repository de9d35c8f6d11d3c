//! Subscriptions that change while the consumer runs: checked, told to the servers, and the queues shared out anew.

use std::sync::Arc;

use ferrocket_backend::Subscription;
use ferrocket_model::{ErrorKind, Failure, Filter, SetupError, Topic};

use super::{check::check_subscription, start::check_by_broker};
use crate::{core::Core, rebalance};

pub(super) async fn subscribe(core: Arc<Core>, topic: Topic, filter: Filter) -> Result<(), SetupError> {
    let operation = format!("subscribe {} to topic {topic}", core.group);
    running(&core, &operation)?;
    check_subscription(&operation, &topic, &filter)?;
    // Found at once, not with the next refresh (CON-BUG-49).
    if let Err(failure) = core.stack.routes.route(&topic, None, core.stack.request_timeout).await {
        tracing::warn!(%topic, %failure, "subscribed to a topic without a route; it is waited for");
    }
    let wanted = Subscription { topic: topic.clone(), filter: filter.clone(), version: 0 };
    check_by_broker(&core, &wanted).await?;
    let is_new = core.subscriptions.set(topic.clone(), filter);
    // Before anything is pulled with it, so that no broker says that it does not know the subscription (CON-BUG-46).
    core.backend.resubscribe(&core.group, core.subscriptions.listed()).await;
    if is_new {
        core.spawn(Box::pin(rebalance::watch(core.clone(), topic)));
    } else {
        for queue in core.queues.lock().values().filter(|queue| *queue.id().topic() == topic) {
            queue.interrupt.notify_one();
        }
    }
    core.rebalance.notify_one();
    Ok(())
}

pub(super) async fn unsubscribe(core: Arc<Core>, topic: Topic) -> Result<(), SetupError> {
    let operation = format!("unsubscribe {} from topic {topic}", core.group);
    running(&core, &operation)?;
    if topic.is_retry() || !core.subscriptions.remove(&topic) {
        return Err(Failure::invalid_argument(operation, "it is not subscribed").with_option("topic").into());
    }
    core.backend.resubscribe(&core.group, core.subscriptions.listed()).await;
    core.rebalance.notify_one();
    Ok(())
}

fn running(core: &Core, operation: &str) -> Result<(), SetupError> {
    match core.ending.is_cancelled() {
        true => Err(Failure::new(ErrorKind::Closed, operation).with_detail("the consumer was shut down").into()),
        false => Ok(()),
    }
}
