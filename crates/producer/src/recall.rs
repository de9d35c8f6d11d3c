use std::sync::Arc;

use ferrocket_backend::RecallRequest;
use ferrocket_model::{ErrorKind, Failure, MessageId, RecallHandle, Topic, operation_error};

use crate::core::Core;

operation_error! {
    /// The message could not be taken back.
    RecallError {}
}

pub(crate) async fn recall(core: Arc<Core>, topic: Topic, handle: RecallHandle) -> Result<MessageId, RecallError> {
    let operation = || format!("take back a message of topic {topic}");
    let failed = |failure: Box<Failure>| RecallError { failure };
    if core.is_closed() {
        let closed = Failure::new(ErrorKind::Closed, operation()).with_detail("the producer was shut down");
        return Err(failed(Box::new(closed)));
    }
    let invalid = topic.check().err().map(|invalid| invalid.to_string());
    let derived =
        || (topic.is_retry() || topic.is_dead_letter()).then(|| "nothing is taken back from such a topic".to_owned());
    if let Some(invalid) = invalid.or_else(derived) {
        return Err(failed(Box::new(Failure::invalid_argument(operation(), invalid).with_topic(&topic))));
    }
    let deadline = core.clock() + core.options.send_timeout;
    let left = || deadline.saturating_sub(core.clock());
    // A shutdown waits for it as for a send.
    let Some(_place) = core.window.enter(1, left()).await else {
        let overloaded = Failure::new(ErrorKind::Overloaded, operation()).with_detail("no place in the window in time");
        return Err(failed(Box::new(overloaded)));
    };
    // The brokers of the topic must be known; one that has none cannot have the message.
    let new_topic_queues = core.options.new_topic_queues;
    core.stack.routes.route(&topic, Some(new_topic_queues), left()).await.map_err(failed)?;
    let request = RecallRequest { group: &core.group, topic: &topic, handle: &handle, timeout: left() };
    core.stack.backend.recall(request).await.map_err(failed)
}
