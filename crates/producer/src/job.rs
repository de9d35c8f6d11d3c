use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use ferrocket_backend::{BodyEncoding, SendRequest};
use ferrocket_model::{
    Applied, ErrorKind, Failure, InvalidMessage, Message, MessageId, MessageQueue, Route,
    properties::{self, name},
};

use crate::{
    attempt::Attempts,
    core::{Core, now_ms},
    queue,
    sending::{Plan, SendError, Target},
    topics::{TopicState, Turn},
    window::Place,
};

/// One message on its way: everything that its attempts share. Kept in one struct, because there is one per send in flight.
pub(crate) struct Job {
    pub(crate) core: Arc<Core>,
    pub(crate) message: Message,
    target: Target,
    /// When it began, by the producer's clock.
    started: Duration,
    /// The producer's clock as it was read last. It is read again only after something was waited for.
    pub(crate) now: Duration,
    pub(crate) attempts: Attempts,
}

/// What a job has once it may leave.
pub(crate) struct Ready {
    _place: Place,
    _turn: Option<Turn>,
    pub(crate) topic: Arc<TopicState>,
    pub(crate) route: Arc<Route>,
    /// The queue that the message must go to, if it must go to a certain one. Retries stay there.
    pub(crate) pinned: Option<MessageQueue>,
    pub(crate) parts: Parts,
}

/// What goes on the wire, the same for every attempt.
pub(crate) struct Parts {
    pub(crate) id: MessageId,
    properties: String,
    body: Bytes,
    encoding: BodyEncoding,
    born_ms: u64,
}

impl Job {
    pub(crate) fn new(plan: Plan) -> Self {
        let Plan { core, message, timeout, max_attempts, target } = plan;
        let now = core.clock();
        let timeout = timeout.unwrap_or(core.options.send_timeout);
        let attempts = Attempts::new(max_attempts.unwrap_or(core.options.retry.max_attempts), timeout);
        Self { core, message, target, started: now, now, attempts }
    }

    /// Makes ready what needs no waiting; that is the usual case. `None`: [`ready`](Self::ready) waits.
    pub(crate) fn ready_now(&mut self) -> Result<Option<Ready>, Box<Failure>> {
        self.check()?;
        let (core, message) = (&self.core, &self.message);
        if core.options.compression.applies(message.body().len()) || message.sharding_key().is_some() {
            return Ok(None);
        }
        let Some(topic) = core.topics.known(message.topic()) else { return Ok(None) };
        let Some(route) = topic.route() else { return Ok(None) };
        let Some(place) = core.window.try_enter(message.body().len()) else { return Ok(None) };
        let pinned = queue::pin(core, message, &mut self.target, &route)?;
        let parts = Parts::new(core, message, message.body().clone(), BodyEncoding::Plain)?;
        Ok(Some(Ready { _place: place, _turn: None, topic, route, pinned, parts }))
    }

    /// Waits for a place in the window, for the route, and for its turn; compresses.
    pub(crate) async fn ready(&mut self) -> Result<Ready, Box<Failure>> {
        let core = self.core.clone();
        let topic = core.topics.of(self.message.topic(), &core.stack.routes);
        // Who has a sharding key stands in line from its first poll on.
        let entrance = match self.message.sharding_key() {
            Some(_) => Some(self.in_time(topic.order.enter()).await?),
            None => None,
        };
        let place = self.enter().await?;
        let new_topic_queues = core.options.new_topic_queues;
        let left = self.left();
        let route = core.stack.routes.route(self.message.topic(), Some(new_topic_queues), left).await?;
        let pinned = queue::pin(&core, &self.message, &mut self.target, &route)?;
        let turn = match (entrance, &pinned) {
            (Some(entrance), Some(queue)) => {
                let mut turn = pin!(topic.order.turn(queue));
                let first = poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx))).await;
                drop(entrance);
                match first {
                    Poll::Ready(turn) => Some(turn),
                    Poll::Pending => Some(self.in_time(turn).await?),
                }
            }
            _ => None,
        };
        let (body, encoding) = core.options.compression.apply(self.message.body()).await;
        let parts = Parts::new(&core, &self.message, body, encoding)?;
        self.now = self.core.clock();
        Ok(Ready { _place: place, _turn: turn, topic, route, pinned, parts })
    }

    /// The send failed, with all that is known of it.
    pub(crate) fn failed(self, failure: Box<Failure>) -> SendError {
        let applied = match self.attempts.applied() {
            Applied::No => failure.applied(),
            worst => worst,
        };
        self.core.stats.failed(applied == Applied::Unknown, self.attempts.made());
        let failure = failure.with_applied(applied).with_topic(self.message.topic());
        let failure =
            failure.with_attempts(self.attempts.into_records(|| None), self.core.clock().saturating_sub(self.started));
        SendError::new(Box::new(failure), self.message)
    }

    /// What is left of the time.
    pub(crate) fn left(&mut self) -> Duration {
        self.now = self.core.clock();
        self.attempts.deadline().saturating_sub(self.elapsed())
    }

    /// The time since the start, when the clock was read last.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.saturating_sub(self.started)
    }

    /// Everything that can be said without asking anybody.
    fn check(&self) -> Result<(), Box<Failure>> {
        let (core, message) = (&self.core, &self.message);
        if core.is_closed() {
            return Err(self.failure(ErrorKind::Closed).with_detail("the producer was shut down").into());
        }
        if self.attempts.deadline().is_zero() {
            let failure = Failure::invalid_argument(operation(message), "0 leaves no time to send");
            return Err(failure.with_option("timeout").into());
        }
        let limit = core.options.max_message_bytes;
        let size = InvalidMessage::BodyTooLarge { bytes: message.body().len(), limit };
        let sized = if message.body().len() > limit { Err(size) } else { Ok(()) };
        message.check().and(sized).map_err(|invalid| invalid_message(message, invalid))
    }

    /// Waits for a place in the window.
    async fn enter(&mut self) -> Result<Place, Box<Failure>> {
        let left = self.left();
        match self.core.window.enter(self.message.body().len(), left).await {
            Some(place) => Ok(place),
            None => {
                let (count, bytes) = self.core.window.in_flight();
                let timeout = self.attempts.deadline();
                let detail = format!(
                    "no place in the window within {timeout:?}: {count} sends with {bytes} bytes are in flight"
                );
                let advice = "send slower, or raise `max_in_flight` or `max_in_flight_bytes`";
                Err(self.failure(ErrorKind::Overloaded).with_detail(detail).with_advice(advice).into())
            }
        }
    }

    /// Waits for a turn.
    async fn in_time(&mut self, turn: impl Future<Output = Turn>) -> Result<Turn, Box<Failure>> {
        let left = self.left();
        tokio::time::timeout(left, turn).await.map_err(|_| {
            let timeout = self.attempts.deadline();
            let detail =
                format!("after {timeout:?}, earlier sends to the queue of its sharding key were still under way");
            let advice = "sends with sharding keys leave one after the other; a batch is faster";
            self.failure(ErrorKind::Timeout).with_detail(detail).with_advice(advice).with_applied(Applied::No).into()
        })
    }

    pub(crate) fn out_of_time(&self) -> Box<Failure> {
        let detail = format!("the time of {:?} was over", self.attempts.deadline());
        self.failure(ErrorKind::Timeout).with_detail(detail).with_applied(Applied::No).into()
    }

    fn failure(&self, kind: ErrorKind) -> Failure {
        Failure::new(kind, operation(&self.message))
    }
}

impl Parts {
    fn new(core: &Core, message: &Message, body: Bytes, encoding: BodyEncoding) -> Result<Self, Box<Failure>> {
        let born_ms = now_ms();
        let id = core.ids.next(born_ms);
        let mut text = String::with_capacity(message.wire_properties().len() + 64);
        text.push_str(message.wire_properties());
        properties::push(&mut text, name::UNIQ_KEY, id.as_str());
        if !message.says_whether_to_wait() {
            properties::push(&mut text, name::WAIT, "true");
        }
        if text.len() > properties::MAX_BYTES {
            return Err(invalid_message(message, InvalidMessage::PropertiesTooLong { bytes: text.len() }));
        }
        Ok(Self { id, properties: text, body, encoding, born_ms })
    }

    /// One attempt of it, from `began` on.
    pub(crate) fn request<'a>(
        &'a self,
        job: &'a Job,
        queue: &'a MessageQueue,
        began: Duration,
        timeout: Duration,
    ) -> SendRequest<'a> {
        SendRequest {
            group: &job.core.group,
            queue,
            body: &self.body,
            encoding: self.encoding,
            properties: &self.properties,
            flag: job.message.flag(),
            born_ms: self.born_ms,
            new_topic_queues: job.core.options.new_topic_queues,
            began: job.core.moment(began),
            timeout,
        }
    }
}

fn invalid_message(message: &Message, invalid: InvalidMessage) -> Box<Failure> {
    Box::new(Failure::invalid_argument(operation(message), invalid.to_string()).with_source(invalid))
}

/// What is asked, for errors.
pub(crate) fn operation(message: &Message) -> String {
    format!("send to topic {}", message.topic())
}
