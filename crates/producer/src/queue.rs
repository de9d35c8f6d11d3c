//! Which queue a message goes to.

use std::{panic::AssertUnwindSafe, time::Duration};

use ferrocket_model::{BrokerName, ErrorKind, Failure, Message, MessageQueue, Route};
use ferrocket_route::queue_of_key;

use crate::{
    batch::mixed_keys,
    core::{Core, Selector},
    job::{Job, operation},
    sending::Target,
    topics::TopicState,
};

/// The queue that a message must go to. Retries stay there.
pub(crate) struct Pin {
    pub(crate) queue: MessageQueue,
    /// A sharding key chose it. When the queue goes away, the key has another one.
    pub(crate) by_key: bool,
}

impl Pin {
    fn fixed(queue: MessageQueue) -> Self {
        Self { queue, by_key: false }
    }
}

/// The queue that this message must go to, if it must go to a certain one.
pub(crate) fn pin(job: &mut Job, route: &Route) -> Result<Option<Pin>, Box<Failure>> {
    let target = std::mem::replace(&mut job.target, Target::Any);
    // A selector sees the first message of a batch.
    let members = job.members().map(|members| members.messages.as_slice());
    let message = members.and_then(<[Message]>::first).unwrap_or(&job.message);
    match target {
        Target::Queue(queue) if queue.topic() != message.topic() => Err(Box::new(
            Failure::invalid_argument(
                operation(message),
                format!("the queue {queue} belongs to another topic than the message"),
            )
            .with_option("to_queue"),
        )),
        Target::Queue(queue) => Ok(Some(Pin::fixed(queue))),
        Target::Select(select) => selected(&*select, message, route).map(Pin::fixed).map(Some),
        Target::Any => match &job.core.options.select_queue {
            Some(select) => selected(&**select as &Selector, message, route).map(Pin::fixed).map(Some),
            None => {
                let first = queue_of(message, route);
                if members.is_some_and(|members| members.iter().any(|member| queue_of(member, route) != first)) {
                    return Err(mixed_keys(message));
                }
                Ok(first.map(|queue| Pin { queue: queue.clone(), by_key: true }))
            }
        },
    }
}

/// Where the key of a message belongs now, if that is another queue than the one that it was sent to, which is gone.
pub(crate) fn moved(job: &Job, pin: &Pin, route: &Route) -> Option<MessageQueue> {
    if !pin.by_key || route.publish.contains(&pin.queue) {
        return None;
    }
    let members = job.members().map(|members| members.messages.as_slice());
    let mut queues =
        members.unwrap_or(std::slice::from_ref(&job.message)).iter().map(|message| queue_of(message, route));
    let first = queues.next()??;
    // Keys of a batch that have no queue in common any more: it fails where it is, and its sender can split it.
    queues.all(|queue| queue == Some(first)).then(|| first.clone())
}

fn queue_of<'a>(message: &Message, route: &'a Route) -> Option<&'a MessageQueue> {
    queue_of_key(&route.publish, message.sharding_key()?)
}

fn selected<F>(select: &F, message: &Message, route: &Route) -> Result<MessageQueue, Box<Failure>>
where
    F: Fn(&[MessageQueue], &Message) -> Option<usize> + ?Sized,
{
    let rejected = |detail: String| {
        let failure = Failure::new(ErrorKind::Rejected, operation(message));
        Box::new(failure.with_detail(detail).with_option("select_queue"))
    };
    if route.publish.is_empty() {
        return Err(none(message));
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
pub(crate) fn choose<'a>(
    core: &Core,
    topic: &TopicState,
    route: &'a Route,
    last: Option<&BrokerName>,
    now: Duration,
) -> Option<&'a MessageQueue> {
    core.with_faults(|faults| topic.chooser.choose(&route.publish, last, faults, now))
}

/// No queue to send to.
pub(crate) fn none(message: &Message) -> Box<Failure> {
    Box::new(
        Failure::new(ErrorKind::RouteNotFound, operation(message))
            .with_detail("the topic has no queue that can be written")
            .with_advice("check the topic's permission, and that its brokers have a master"),
    )
}
