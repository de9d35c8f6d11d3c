use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use ferrocket_backend::{BodyEncoding, SendKind, SendRequest};
use ferrocket_model::{
    Applied, DeliveryTime, ErrorKind, Failure, InvalidMessage, Message, MessageId, MessageQueue, Route, SendReceipt,
    properties,
};

use crate::{
    accumulate::Accumulated,
    attempt::Attempts,
    batch::{self, Members},
    core::Core,
    interceptor::Watch,
    queue::{self, Pin},
    sending::{Plan, SendError, Target},
    stats::SendOutcome,
    topics::{TopicState, Turn},
    window::{Place, Window},
    wire_properties,
};

/// One message, or one batch, on its way: everything that its attempts share. Kept in one struct, because there is one per send
/// in flight.
pub(crate) struct Job {
    pub(crate) core: Arc<Core>,
    /// The message, or the envelope of a batch.
    pub(crate) message: Message,
    pub(crate) kind: SendKind,
    id: MessageId,
    born_ms: u64,
    pub(crate) target: Target,
    /// When it began, by the producer's clock.
    started: Duration,
    /// The producer's clock as it was read last. It is read again only after something was waited for.
    pub(crate) now: Duration,
    pub(crate) attempts: Attempts,
    /// Of the message; those of a batch have their own.
    watch: Watch,
    /// What most sends do not have.
    extra: Option<Box<Extra>>,
}

/// See [`Job`].
#[derive(Default)]
pub(crate) struct Extra {
    /// Properties that go on the wire, and not into the message that an error gives back.
    pub(crate) properties: String,
    pub(crate) members: Option<Members>,
    /// The places in the window, where the messages of a batch have one each.
    pub(crate) places: Vec<Place>,
}

/// What a job has once it may leave.
pub(crate) struct Ready {
    place: Option<Place>,
    /// Held until it is stored, or has failed.
    turn: Option<Turn>,
    pub(crate) topic: Arc<TopicState>,
    pub(crate) route: Arc<Route>,
    /// The queue that the message must go to, if it must go to a certain one. Boxed, as it is rare.
    pub(crate) pinned: Option<Box<Pin>>,
    pub(crate) parts: Parts,
}

/// What goes on the wire, the same for every attempt.
pub(crate) struct Parts {
    properties: String,
    body: Bytes,
    encoding: BodyEncoding,
}

impl Job {
    /// A job of one message.
    pub(crate) fn one(plan: Plan, message: Message, kind: SendKind) -> Self {
        let Plan { core, timeout, max_attempts, target } = plan;
        let now = core.clock();
        let timeout = timeout.unwrap_or(core.options.send_timeout);
        let attempts = Attempts::new(max_attempts.unwrap_or(core.options.retry.max_attempts), timeout);
        let born_ms = core.unix_ms(now);
        let id = core.ids.next(born_ms);
        Self {
            core,
            message,
            kind,
            id,
            born_ms,
            target,
            started: now,
            now,
            attempts,
            watch: Watch::default(),
            extra: None,
        }
    }

    /// A job of a batch.
    pub(crate) fn batch(plan: Plan, messages: Vec<Message>) -> Result<Self, SendError> {
        match Members::wrap(&plan.core, messages) {
            Ok((envelope, members)) => {
                let mut job = Self::one(plan, envelope, SendKind::Batch);
                job.extra().members = Some(members);
                Ok(job)
            }
            Err((failure, members)) => Err(refused(&plan.core, failure, members)),
        }
    }

    /// A job of messages that have waited for each other: checked one by one, each with its place.
    pub(crate) fn accumulated(core: &Arc<Core>, batch: Accumulated) -> Result<Self, SendError> {
        let Accumulated { members, places, queue } = batch;
        let plan = Plan {
            core: core.clone(),
            timeout: None,
            max_attempts: None,
            target: queue.map_or(Target::Any, Target::Queue),
        };
        let mut job = match batch::envelope(core, &members.messages, &members.ids) {
            Ok(envelope) => Self::one(plan, envelope, SendKind::Batch),
            Err(failure) => return Err(refused(core, failure, members)),
        };
        let extra = job.extra();
        extra.members = Some(members);
        extra.places = places;
        Ok(job)
    }

    /// What joins a batch.
    pub(crate) fn into_member(mut self) -> (Message, MessageId, Watch) {
        (self.take_message(), self.id.clone(), std::mem::take(&mut self.watch))
    }

    /// An empty one stays: what sees its own end cannot be taken apart.
    fn take_message(&mut self) -> Message {
        let empty = Message::new(self.message.topic(), Bytes::new());
        std::mem::replace(&mut self.message, empty)
    }

    /// The id, for those who keep it.
    pub(crate) fn message_id(&self) -> MessageId {
        self.id.clone()
    }

    /// What most sends do not have.
    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// The messages of a batch.
    pub(crate) fn members(&self) -> Option<&Members> {
        self.extra.as_ref()?.members.as_ref()
    }

    /// Shows the message to the interceptors. Batches show theirs when they are made.
    pub(crate) fn intercept(&mut self) -> Result<(), Box<Failure>> {
        if !self.core.options.interceptors.is_empty() {
            let is_half = self.kind == SendKind::Half;
            return self.watch.open(&self.core, &mut self.message, &self.id, is_half, self.started);
        }
        Ok(())
    }

    /// Whether its messages have their places in the window already: then it is sent also while the producer ends.
    fn is_accepted(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| !extra.places.is_empty())
    }

    /// Whether sends of its key keep their order.
    fn is_keyed(&self) -> bool {
        match self.members() {
            Some(members) => members.messages.iter().any(|message| message.sharding_key().is_some()),
            None => self.message.sharding_key().is_some(),
        }
    }

    /// Makes ready what needs no waiting; that is the usual case. `None`: [`ready`](Self::ready) waits.
    pub(crate) fn ready_now(&mut self) -> Result<Option<Ready>, Box<Failure>> {
        self.ready_with(|window, bytes| window.try_enter(bytes).map(Some))
    }

    /// As [`ready_now`](Self::ready_now), for what is not in flight once it has left: it takes no place where there is one.
    pub(crate) fn ready_to_leave(&mut self) -> Result<Option<Ready>, Box<Failure>> {
        self.ready_with(|window, bytes| window.has_room(bytes).then_some(None))
    }

    /// `enter` gives what stands for a place, or says that there is none.
    fn ready_with(
        &mut self,
        enter: impl FnOnce(&Window, usize) -> Option<Option<Place>>,
    ) -> Result<Option<Ready>, Box<Failure>> {
        self.check()?;
        let (core, message) = (&self.core, &self.message);
        if self.compresses() || self.is_keyed() || self.is_accepted() {
            return Ok(None);
        }
        let Some(topic) = core.topics.known(message.topic()) else { return Ok(None) };
        let Some(route) = topic.route() else { return Ok(None) };
        let Some(place) = enter(&core.window, message.body().len()) else { return Ok(None) };
        let body = message.body().clone();
        let pinned = queue::pin(self, &route)?.map(Box::new);
        let parts = self.parts(body, BodyEncoding::Plain)?;
        Ok(Some(Ready { place, turn: None, topic, route, pinned, parts }))
    }

    /// Waits for a place in the window, for the route, and for its turn; compresses.
    pub(crate) async fn ready(&mut self) -> Result<Ready, Box<Failure>> {
        self.check()?;
        let core = self.core.clone();
        let topic = core.topics.of(self.message.topic(), &core.stack.routes);
        // Who has a sharding key stands in line from its first poll on, and takes its place in the window only when it is its turn:
        // others never wait for those in line.
        let expected = self.is_keyed().then(|| core.window.expect());
        let entrance = if self.is_keyed() { Some(self.in_time(topic.order.enter()).await?) } else { None };
        let mut place = None;
        if entrance.is_none() && !self.is_accepted() {
            place = Some(self.enter().await?);
        }
        let new_topic_queues = core.options.new_topic_queues;
        let left = self.left();
        let route = core.stack.routes.route(self.message.topic(), Some(new_topic_queues), left).await?;
        let pinned = queue::pin(self, &route)?.map(Box::new);
        let in_line = entrance.is_some();
        let mut waiting = pinned.as_ref().filter(|_| in_line).map(|pin| Box::pin(topic.order.turn(&pin.queue)));
        let mut turn = None;
        if let Some(waiting) = &mut waiting {
            // Its place in the line is taken now; whoever stands behind may come in.
            turn = match poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await {
                Poll::Ready(turn) => Some(turn),
                Poll::Pending => None,
            };
        }
        drop(entrance);
        let (body, encoding) = if self.compresses() {
            let (body, encoding) = core.options.compression.apply(self.message.body()).await;
            self.watch.compressed(body.len());
            (body, encoding)
        } else {
            (self.message.body().clone(), BodyEncoding::Plain)
        };
        let parts = self.parts(body, encoding)?;
        if turn.is_none()
            && let Some(waiting) = waiting
        {
            turn = Some(self.in_time(waiting).await?);
        }
        if place.is_none() && !self.is_accepted() {
            place = Some(self.enter().await?);
        }
        drop(expected);
        self.now = self.core.clock();
        Ok(Ready { place, turn, topic, route, pinned, parts })
    }

    /// Batches are never compressed (PRO-BAT-01).
    fn compresses(&self) -> bool {
        self.kind != SendKind::Batch && self.core.options.compression.applies(self.message.body().len())
    }

    fn parts(&self, body: Bytes, encoding: BodyEncoding) -> Result<Parts, Box<Failure>> {
        let more = self.extra.as_ref().map_or("", |extra| &extra.properties);
        // An envelope has no id: 4.9 brokers append its properties to those of each message, and the last id would win.
        let id = if self.kind == SendKind::Batch { "" } else { self.id.as_str() };
        let properties = wire_properties::of(&self.message, id, more);
        let bytes = properties.len() + self.core.added_property_bytes;
        if bytes > properties::MAX_BYTES {
            let invalid = InvalidMessage::PropertiesTooLong { bytes };
            return Err(invalid_message(&self.message, invalid));
        }
        Ok(Parts { properties, body, encoding })
    }

    /// A broker has it.
    pub(crate) fn succeeded(&mut self, topic: &TopicState, receipts: &[SendReceipt]) {
        let took = self.elapsed();
        self.core.stats.succeeded(receipts.len(), took, self.attempts.made());
        topic.latencies.record(SendOutcome::Sent, took);
        tracing::trace!(message_id = %self.id, ?took, attempts = self.attempts.made(), "sent");
        self.close(|place| receipts.get(place).map(Ok));
    }

    /// Shows interceptors what became of each message, which is `of` its place.
    fn close<'a>(&mut self, of: impl Fn(usize) -> Option<Result<&'a SendReceipt, &'a SendError>>) {
        match self.extra.as_mut().and_then(|extra| extra.members.as_mut()) {
            Some(members) => members.close(&self.core, of),
            None => self.watch.close(&self.core, &self.message, &self.id, of(0)),
        }
    }

    /// The send failed, with all that is known of it.
    pub(crate) fn failed(mut self, failure: Box<Failure>) -> SendError {
        let applied = match self.attempts.applied() {
            Applied::No => failure.applied(),
            worst => worst,
        };
        // Its places are kept to the end: a shutdown waits until everybody knows.
        let mut extra = self.extra.take();
        let members = extra.as_mut().and_then(|extra| extra.members.take()).unwrap_or_else(|| Members {
            messages: vec![self.take_message()],
            ids: vec![self.id.clone()],
            watches: vec![std::mem::take(&mut self.watch)],
        });
        self.core.stats.failed(members.messages.len(), applied == Applied::Unknown, self.attempts.made());
        let first = members.messages.first();
        let failure = match first {
            Some(message) => failure.with_topic(message.topic()),
            None => *failure,
        };
        let elapsed = self.core.clock().saturating_sub(self.started);
        if let Some(topic) = first.and_then(|message| self.core.topics.known(message.topic())) {
            let outcome = if applied == Applied::Unknown { SendOutcome::Unknown } else { SendOutcome::Failed };
            topic.latencies.record(outcome, elapsed);
        }
        tracing::debug!(message_id = %self.id, %failure, "a send failed");
        let failure = failure.with_applied(applied).with_attempts(self.attempts.records(|| None), elapsed);
        members.failed(&self.core, Box::new(failure))
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
    pub(crate) fn check(&self) -> Result<(), Box<Failure>> {
        let (core, message) = (&self.core, &self.message);
        if core.is_closed() && !self.is_accepted() {
            return Err(self.failure(ErrorKind::Closed).with_detail("the producer was shut down").into());
        }
        if self.attempts.deadline().is_zero() {
            let failure = Failure::invalid_argument(operation(message), "0 leaves no time to send");
            return Err(failure.with_option("timeout").into());
        }
        if self.attempts.limit() == 0 {
            let failure = Failure::invalid_argument(operation(message), "0 would never send; 1 tries once");
            return Err(failure.with_option("max_attempts").into());
        }
        let limit = core.options.max_message_bytes;
        let size = InvalidMessage::BodyTooLarge { bytes: message.body().len(), limit };
        let sized = if message.body().len() > limit { Err(size) } else { Ok(()) };
        if self.kind == SendKind::Half && message.is_reply() {
            let detail = "a reply goes to who asked at once; it cannot be part of a transaction";
            return Err(Failure::invalid_argument(operation(message), detail).into());
        }
        if self.kind == SendKind::Half && message.delivery() != DeliveryTime::Now {
            let detail = "brokers lose half messages that are to be delivered later; send it without delay";
            return Err(Failure::invalid_argument(operation(message), detail).into());
        }
        message.check().and(sized).map_err(|invalid| invalid_message(message, invalid))
    }

    /// Waits for a place in the window.
    pub(crate) async fn enter(&mut self) -> Result<Place, Box<Failure>> {
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

impl Drop for Job {
    /// Nobody knows what became of a send that was given up.
    fn drop(&mut self) {
        self.close(|_| None);
    }
}

impl Ready {
    /// Takes the place that it had no need of when it was to leave at once.
    pub(crate) async fn enter(&mut self, job: &mut Job) -> Result<(), Box<Failure>> {
        self.place = Some(job.enter().await?);
        Ok(())
    }

    /// A sharding key has another queue now: waits for the turn there. What was sent to the old queue and what is sent to the new
    /// one have no order between them.
    pub(crate) async fn move_to(&mut self, job: &mut Job, queue: MessageQueue) -> Result<(), Box<Failure>> {
        if self.turn.take().is_some() {
            self.turn = Some(job.in_time(self.topic.order.turn(&queue)).await?);
        }
        self.pinned = Some(Box::new(Pin { queue, by_key: true }));
        Ok(())
    }

    /// What is kept while a reply is waited for: the place in the window, and the topic. The next one of its queue may leave.
    pub(crate) fn into_place(self) -> (Option<Place>, Arc<TopicState>) {
        (self.place, self.topic)
    }
}

impl Parts {
    /// One attempt of it, from `began` on.
    pub(crate) fn request<'a>(
        &'a self,
        job: &'a Job,
        queue: &'a MessageQueue,
        began: Duration,
        timeout: Duration,
    ) -> SendRequest<'a> {
        SendRequest {
            kind: job.kind,
            group: &job.core.group,
            queue,
            body: &self.body,
            encoding: self.encoding,
            properties: &self.properties,
            flag: job.message.flag(),
            born_ms: job.born_ms,
            new_topic_queues: job.core.options.new_topic_queues,
            began: job.core.moment(began),
            timeout,
        }
    }
}

/// A batch that cannot be sent as it is.
fn refused(core: &Core, failure: Box<Failure>, members: Members) -> SendError {
    core.stats.failed(members.messages.len(), false, 1);
    members.failed(core, failure)
}

/// What is wrong with a message, as a failure of its send.
fn invalid_message(message: &Message, invalid: InvalidMessage) -> Box<Failure> {
    Box::new(Failure::invalid_argument(operation(message), invalid.to_string()).with_source(invalid))
}

/// What is asked, for errors.
pub(crate) fn operation(message: &Message) -> String {
    format!("send to topic {}", message.topic())
}
