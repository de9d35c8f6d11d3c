//! The way of a message: check, wait for a place, find the topic, give it an id, compress, then attempt after attempt.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use ferrocket_backend::{BodyEncoding, BoxFuture, SendRequest, Sent};
use ferrocket_model::{
    Applied, Attempt, BrokerName, ErrorKind, Failure, InvalidMessage, Message, MessageId, MessageQueue, ReceiptParts,
    Route, SendReceipt, SendStatus,
    properties::{self, name},
};
use ferrocket_route::queue_of_key;
use tokio::time::Instant;

use crate::{
    attempt::{Attempts, Decision},
    core::{Core, Selector, now_ms},
    sending::{Plan, SendError, Target},
    window::Place,
};

pub(crate) fn start(plan: Plan) -> BoxFuture<'static, Result<SendReceipt, SendError>> {
    Box::pin(send(plan))
}

async fn send(plan: Plan) -> Result<SendReceipt, SendError> {
    let Plan { core, message, timeout, max_attempts, target } = plan;
    let started = Instant::now();
    let timeout = timeout.unwrap_or(core.options.send_timeout);
    let limit = max_attempts.unwrap_or(core.options.retry.max_attempts);
    let mut attempts = Attempts::new(limit, timeout);
    match run(&core, &message, target, started, timeout, &mut attempts).await {
        Ok((message_id, queue, sent)) => {
            let made = attempts.made();
            let took = started.elapsed();
            core.stats.succeeded(took, made);
            Ok(receipt(message_id, queue, sent, attempts, took))
        }
        Err(failure) => {
            let applied = match attempts.applied() {
                Applied::No => failure.applied(),
                worst => worst,
            };
            core.stats.failed(applied == Applied::Unknown, attempts.made());
            let failure = failure.with_applied(applied).with_topic(message.topic());
            let failure = failure.with_attempts(attempts.into_records(None), started.elapsed());
            Err(SendError::new(Box::new(failure), message))
        }
    }
}

type Stored = (MessageId, MessageQueue, Sent);

async fn run(
    core: &Arc<Core>,
    message: &Message,
    target: Target,
    started: Instant,
    timeout: Duration,
    attempts: &mut Attempts,
) -> Result<Stored, Box<Failure>> {
    check(core, message, timeout)?;
    let _place = enter(core, message, timeout).await?;
    let topic = message.topic();
    let left = timeout.saturating_sub(started.elapsed());
    let new_topic_queues = core.options.new_topic_queues;
    let mut route = core.stack.routes.route(topic, Some(new_topic_queues), left).await?;
    let prepared = Prepared::new(core, message).await?;
    let pinned = pin(core, message, target, &route)?;
    let mut last_broker: Option<BrokerName> = None;
    loop {
        let queue = match &pinned {
            Some(queue) => queue.clone(),
            None => choose(core, message, &route, last_broker.as_ref())?,
        };
        let Some(attempt_timeout) = attempts.begin(started.elapsed(), &core.options.retry) else {
            return Err(out_of_time(message, timeout));
        };
        let began = Instant::now();
        let request = prepared.request(core, message, &queue, attempt_timeout);
        let answer = core.stack.backend.send(request).await;
        let took = began.elapsed();
        match answer {
            Ok(sent) => {
                core.with_faults(|faults| faults.succeeded(queue.broker(), took, core.now()));
                if sent.status != SendStatus::Ok && attempts.not_ok(queue.broker(), took, &core.options.retry) {
                    last_broker = Some(queue.broker().clone());
                    continue;
                }
                return Ok((prepared.id, queue, sent));
            }
            Err(failure) => {
                record_fault(core, queue.broker(), &failure);
                let same = pinned.is_some() || route.publish.iter().all(|other| other.broker() == queue.broker());
                let policy = &core.options.retry;
                match attempts.failed(queue.broker(), took, &failure, policy, same, fastrand::f64()) {
                    Decision::GiveUp => return Err(failure),
                    Decision::Again { pause, refresh_route } => {
                        let left = timeout.saturating_sub(started.elapsed());
                        if left <= pause {
                            return Err(failure);
                        }
                        if refresh_route {
                            // Whatever it says: a route that is still wrong fails the next attempt.
                            if let Ok(Ok(fresh)) =
                                Box::pin(tokio::time::timeout(left / 2, core.stack.routes.refresh(topic))).await
                                && !fresh.publish.is_empty()
                            {
                                route = fresh;
                            }
                        }
                        if !pause.is_zero() {
                            Box::pin(tokio::time::sleep(pause)).await;
                        }
                    }
                }
                last_broker = Some(queue.broker().clone());
            }
        }
    }
}

/// Everything that can be said without asking anybody.
pub(crate) fn check(core: &Core, message: &Message, timeout: Duration) -> Result<(), Box<Failure>> {
    let operation = || format!("send to topic {}", message.topic());
    if core.is_closed() {
        return Err(Box::new(Failure::new(ErrorKind::Closed, operation()).with_detail("the producer was shut down")));
    }
    if timeout.is_zero() {
        return Err(Box::new(
            Failure::invalid_argument(operation(), "0 leaves no time to send").with_option("timeout"),
        ));
    }
    let limit = core.options.max_message_bytes;
    let size = InvalidMessage::BodyTooLarge { bytes: message.body().len(), limit };
    let sized = if message.body().len() > limit { Err(size) } else { Ok(()) };
    message
        .check()
        .and(sized)
        .map_err(|invalid| Box::new(Failure::invalid_argument(operation(), invalid.to_string()).with_source(invalid)))
}

/// Waits for a place in the window.
pub(crate) async fn enter(core: &Core, message: &Message, timeout: Duration) -> Result<Place, Box<Failure>> {
    match core.window.enter(message.body().len(), timeout).await {
        Some(place) => Ok(place),
        None => {
            let (count, bytes) = core.window.in_flight();
            Err(Box::new(
                Failure::new(ErrorKind::Overloaded, format!("send to topic {}", message.topic()))
                    .with_detail(format!(
                        "no place in the window within {timeout:?}: {count} sends with {bytes} bytes are in flight"
                    ))
                    .with_advice("send slower, or raise `max_in_flight` or `max_in_flight_bytes`"),
            ))
        }
    }
}

/// What goes on the wire, the same for every attempt.
pub(crate) struct Prepared {
    pub(crate) id: MessageId,
    pub(crate) properties: String,
    pub(crate) body: Bytes,
    pub(crate) encoding: BodyEncoding,
    pub(crate) born_ms: u64,
}

impl Prepared {
    pub(crate) async fn new(core: &Core, message: &Message) -> Result<Self, Box<Failure>> {
        let born_ms = now_ms();
        let id = core.ids.next(born_ms);
        let mut text = String::with_capacity(message.wire_properties().len() + 64);
        text.push_str(message.wire_properties());
        properties::push(&mut text, name::UNIQ_KEY, id.as_str());
        if message.property(name::WAIT).is_none() {
            properties::push(&mut text, name::WAIT, "true");
        }
        if text.len() > properties::MAX_BYTES {
            let invalid = InvalidMessage::PropertiesTooLong { bytes: text.len() };
            let operation = format!("send to topic {}", message.topic());
            return Err(Box::new(Failure::invalid_argument(operation, invalid.to_string()).with_source(invalid)));
        }
        let (body, encoding) = if core.options.compression.applies(message.body().len()) {
            Box::pin(core.options.compression.apply(message.body())).await
        } else {
            (message.body().clone(), BodyEncoding::Plain)
        };
        Ok(Self { id, properties: text, body, encoding, born_ms })
    }

    /// One attempt of it.
    pub(crate) fn request<'a>(
        &'a self,
        core: &'a Core,
        message: &Message,
        queue: &'a MessageQueue,
        timeout: Duration,
    ) -> SendRequest<'a> {
        SendRequest {
            group: &core.group,
            queue,
            body: &self.body,
            encoding: self.encoding,
            properties: &self.properties,
            flag: message.flag(),
            born_ms: self.born_ms,
            new_topic_queues: core.options.new_topic_queues,
            timeout,
        }
    }
}

/// The queue that this message must go to, if it must go to a certain one. Retries stay there.
pub(crate) fn pin(
    core: &Core,
    message: &Message,
    target: Target,
    route: &Route,
) -> Result<Option<MessageQueue>, Box<Failure>> {
    match target {
        Target::Queue(queue) if queue.topic() != message.topic() => Err(Box::new(
            Failure::invalid_argument(
                format!("send to topic {}", message.topic()),
                format!("the queue {queue} belongs to another topic than the message"),
            )
            .with_option("to_queue"),
        )),
        Target::Queue(queue) => Ok(Some(queue)),
        Target::Select(select) => selected(&*select, message, route).map(Some),
        Target::Any => match &core.options.select_queue {
            Some(select) => selected(&**select as &Selector, message, route).map(Some),
            None => Ok(message.sharding_key().and_then(|key| queue_of_key(&route.publish, key)).cloned()),
        },
    }
}

fn selected<F>(select: &F, message: &Message, route: &Route) -> Result<MessageQueue, Box<Failure>>
where
    F: Fn(&[MessageQueue], &Message) -> Option<usize> + ?Sized,
{
    let rejected = |detail: String| {
        let operation = format!("send to topic {}", message.topic());
        Box::new(Failure::new(ErrorKind::Rejected, operation).with_detail(detail).with_option("select_queue"))
    };
    if route.publish.is_empty() {
        return Err(no_queue(message));
    }
    // A panic of the caller's closure is contained, as everywhere.
    let chosen = std::panic::catch_unwind(AssertUnwindSafe(|| select(&route.publish, message)))
        .map_err(|_| rejected("the selector panicked".to_owned()))?;
    let Some(index) = chosen else { return Err(rejected("the selector wants no queue for this message".to_owned())) };
    route.publish.get(index).cloned().ok_or_else(|| {
        rejected(format!("the selector chose queue number {index}, and there are {} queues", route.publish.len()))
    })
}

/// The next queue in turn, past brokers that are slow, away, or failed just now.
pub(crate) fn choose(
    core: &Core,
    message: &Message,
    route: &Route,
    last: Option<&BrokerName>,
) -> Result<MessageQueue, Box<Failure>> {
    let chooser = core.chooser(message.topic());
    let now = core.now();
    let queue = core.with_faults(|faults| chooser.choose(&route.publish, last, faults, now).cloned());
    queue.ok_or_else(|| no_queue(message))
}

fn no_queue(message: &Message) -> Box<Failure> {
    Box::new(
        Failure::new(ErrorKind::RouteNotFound, format!("send to topic {}", message.topic()))
            .with_detail("the topic has no queue that can be written")
            .with_advice("check the topic's permission, and that its brokers have a master"),
    )
}

fn record_fault(core: &Core, broker: &BrokerName, failure: &Failure) {
    let now = core.now();
    core.with_faults(|faults| match failure.kind() {
        ErrorKind::BrokerUnreachable => faults.unreachable(broker, now),
        // What is wrong with a message or a permission says nothing about the broker.
        ErrorKind::InvalidArgument | ErrorKind::PermissionDenied | ErrorKind::RouteNotFound | ErrorKind::Closed => {}
        _ => faults.failed(broker, now),
    });
}

fn out_of_time(message: &Message, timeout: Duration) -> Box<Failure> {
    Box::new(
        Failure::new(ErrorKind::Timeout, format!("send to topic {}", message.topic()))
            .with_detail(format!("the time of {timeout:?} was over"))
            .with_applied(Applied::No),
    )
}

fn receipt(id: MessageId, queue: MessageQueue, sent: Sent, attempts: Attempts, took: Duration) -> SendReceipt {
    let attempts = attempts.into_records(Some(Attempt::succeeded(queue.broker().clone(), took)));
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
