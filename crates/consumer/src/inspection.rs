//! What brokers ask a consumer on behalf of administrators, and what they tell it.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use ferrocket_backend::{
    ConsumerPicture, DirectConsumption, DirectEnding, DirectVerdict, EventStream, QueuePicture, ServerEvent,
};
use ferrocket_model::{MessageQueue, ReceivedMessage};
use tokio::time::Instant;

use crate::{
    Outcome,
    core::{Core, Order},
    deliver::{self, Handled},
    listener::AnyListener,
    queue::Queue,
    rebalance::{self, locks},
};

/// Deals with what servers say. Nothing here waits for a listener or for a server: that is done by tasks of their own.
pub(crate) async fn listen(core: Arc<Core>, mut events: EventStream) {
    while let Some(event) = poll_fn(|cx| events.as_mut().poll_next(cx)).await {
        match event {
            ServerEvent::ConnectionsChanged => locks::doubt(&core),
            ServerEvent::ResetOffsets(offsets) => reset(&core, &offsets),
            ServerEvent::ShowPicture(answer) => answer(picture(&core)),
            ServerEvent::ConsumeDirectly(direct) => {
                let consuming = consume_directly(core.clone(), *direct);
                core.spawn(Box::pin(consuming));
            }
            _ => core.rebalance.notify_one(),
        }
    }
}

/// Goes on at other places (CON-ADM-04). A queue that is not ours is somebody else's affair.
fn reset(core: &Arc<Core>, offsets: &[(MessageQueue, u64)]) {
    for (id, offset) in offsets {
        let queue = core.queues.lock().get(id).cloned();
        if let Some(queue) = queue {
            tracing::warn!(group = %core.group, queue = %id, offset, "an administrator has set the offset");
            core.spawn(Box::pin(rebalance::restart(core.clone(), queue, *offset)));
        }
    }
}

fn picture(core: &Core) -> ConsumerPicture {
    let queues: Vec<_> = core.queues.lock().values().cloned().collect();
    let options = &core.options;
    let model = if options.is_broadcast { "BROADCASTING" } else { "CLUSTERING" };
    ConsumerPicture {
        is_orderly: options.order == Order::Kept,
        consume_from: options.consume_from,
        concurrency: core.workers.wanted(),
        started: core.started,
        options: vec![
            ("consumerGroup", core.group.to_string()),
            ("messageModel", model.to_owned()),
            ("allocateMessageQueueStrategy", core.strategy.name().to_owned()),
            ("consumeMessageBatchMaxSize", core.listener.max().to_string()),
            ("maxReconsumeTimes", options.max_attempts.saturating_sub(1).to_string()),
            ("pullBatchSize", options.pull_batch.to_string()),
            ("pullInterval", options.pull_interval.as_millis().to_string()),
            ("pullThresholdForQueue", options.queue_buffer.to_string()),
            ("pullThresholdSizeForQueue", (options.queue_buffer_bytes >> 20).to_string()),
            ("consumeConcurrentlyMaxSpan", options.max_offset_span.to_string()),
            ("suspendCurrentQueueTimeMillis", options.suspend.as_millis().to_string()),
            ("consumeTimeout", (options.handler_timeout.as_secs() / 60).to_string()),
            ("persistConsumerOffsetInterval", options.commit_interval.as_millis().to_string()),
        ],
        subscriptions: core.subscriptions.listed(),
        queues: queues.iter().map(|queue| queue_picture(core, queue)).collect(),
        paces: core.rates.snapshot(Instant::now()),
    }
}

fn queue_picture(core: &Core, queue: &Queue) -> QueuePicture {
    let position = core.progress.with(|table| table.position(queue.id()));
    let (buffered, messages, bytes) = {
        let buffer = queue.buffer.lock();
        (buffer.bounds(), buffer.len(), buffer.retained_bytes())
    };
    let status = queue.status.lock();
    QueuePicture {
        queue: queue.id().clone(),
        position: position.unwrap_or_default(),
        buffered,
        messages,
        bytes,
        running: queue.running.load(Ordering::Acquire),
        locked: queue.lease.as_ref().filter(|lease| lease.holds(Instant::now())).map(|lease| wall(lease.asked())),
        pulled: status.last_pull.map(wall),
        // Tools take one that never was for a queue that stands still since 1970.
        consumed: Some(wall(status.last_progress.unwrap_or(status.began))),
    }
}

/// A moment by the wall clock.
fn wall(moment: Instant) -> SystemTime {
    SystemTime::now().checked_sub(moment.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Runs the listener for one message, apart from everything else: nothing is counted, locked, settled or retried (CON-ADM-03).
async fn consume_directly(core: Arc<Core>, direct: DirectConsumption) {
    let DirectConsumption { message, answer } = direct;
    let began = Instant::now();
    let ending = match message.defect() {
        Some(defect) => DirectEnding::Failed(defect.to_owned()),
        None => handle(&core, message).await,
    };
    answer(DirectVerdict { is_orderly: core.options.order == Order::Kept, ending, took: began.elapsed() });
}

async fn handle(core: &Core, message: ReceivedMessage) -> DirectEnding {
    let handled = match &core.listener {
        AnyListener::Single(listener) => {
            let listener = listener.clone();
            deliver::contained(move || listener.consume(message), core.options.handler_timeout).await
        }
        AnyListener::Batch(_, listener) => {
            let listener = listener.clone();
            let handled =
                deliver::contained(move || listener.consume(vec![message]), core.options.handler_timeout).await;
            match handled {
                Handled::Returned(outcome) => {
                    let first = outcome.into_outcomes(1).pop();
                    Handled::Returned(first.unwrap_or_else(|| Outcome::retry("no outcome")))
                }
                Handled::Panicked(text) => Handled::Panicked(text),
                Handled::TimedOut => Handled::TimedOut,
            }
        }
        AnyListener::Stream => return DirectEnding::Failed("this consumer has no listener: it is a stream".to_owned()),
    };
    match handled {
        Handled::Returned(outcome) if outcome.is_consumed() => DirectEnding::Consumed,
        Handled::Returned(outcome) => {
            DirectEnding::Failed(outcome.reason().map(ToString::to_string).unwrap_or_default())
        }
        Handled::Panicked(text) => DirectEnding::Panicked(text),
        Handled::TimedOut => DirectEnding::Failed("the listener took too long (`handler_timeout`)".to_owned()),
    }
}
