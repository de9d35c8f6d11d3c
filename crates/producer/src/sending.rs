use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ferrocket_backend::BoxFuture;
use ferrocket_model::{Failure, Message, MessageQueue, SendReceipt, operation_error};
use tracing::Instrument;

use crate::core::Core;

operation_error! {
    /// A message was not sent, or nobody knows. It gives the message back.
    SendError { messages: Vec<Message> }
}

impl SendError {
    pub(crate) fn new(failure: Box<Failure>, messages: Vec<Message>) -> Self {
        Self { failure, messages }
    }

    pub(crate) fn into_parts(self) -> (Box<Failure>, Vec<Message>) {
        (self.failure, self.messages)
    }

    /// The message, or the whole batch.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The message (or the whole batch) again, ready for another try.
    pub fn into_messages(self) -> Vec<Message> {
        self.messages
    }
}

/// What one send carries until it starts, beside its messages.
pub(crate) struct Plan {
    pub(crate) core: Arc<Core>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) target: Target,
}

/// Where a message goes.
pub(crate) enum Target {
    /// Wherever the producer thinks best.
    Any,
    Queue(MessageQueue),
    Select(Box<OnceSelector>),
}

/// A selector of one send.
type OnceSelector = dyn Fn(&[MessageQueue], &Message) -> Option<usize> + Send;

type Running<T> = BoxFuture<'static, Result<T, SendError>>;

/// What became of a send as it set out.
pub(crate) enum Begun<T> {
    Ended(Result<T, SendError>),
    Running(Running<T>),
}

/// Messages, and how they set out.
pub(crate) enum Start<T> {
    One(Message, fn(Plan, Message) -> Running<T>),
    /// May have ended once it has set out.
    Now(Message, fn(Plan, Message) -> Begun<T>),
    Many(Vec<Message>, fn(Plan, Vec<Message>) -> Running<T>),
}

/// A send that runs when awaited. Options of this one call are methods on it; they count until it is first polled.
#[must_use = "nothing is sent unless this is awaited"]
pub struct Sending<T = SendReceipt> {
    state: State<T>,
}

enum State<T> {
    New { plan: Plan, start: Start<T> },
    Running(Running<T>),
    Done,
}

impl<T> Sending<T> {
    pub(crate) fn new(core: Arc<Core>, start: Start<T>) -> Self {
        let plan = Plan { core, timeout: None, max_attempts: None, target: Target::Any };
        Self { state: State::New { plan, start } }
    }

    /// Takes this long at most, all attempts together. Default: the producer's `send_timeout`.
    pub fn timeout(self, total: Duration) -> Self {
        self.with(|plan| plan.timeout = Some(total))
    }

    /// Tries this often at most. Default: the producer's `max_attempts`.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with(|plan| plan.max_attempts = Some(attempts))
    }

    /// Goes to this queue; retries too.
    pub fn to_queue(self, queue: &MessageQueue) -> Self {
        self.with(|plan| plan.target = Target::Queue(queue.clone()))
    }

    /// Chooses the queue: an index into the list, or `None` for "no queue will do". Retries stay on that queue.
    #[doc(alias = "MessageQueueSelector")]
    pub fn select_queue<F, R>(self, select: F) -> Self
    where
        F: Fn(&[MessageQueue], &Message) -> R + Send + 'static,
        R: Into<Option<usize>>,
    {
        let select = Box::new(move |queues: &[MessageQueue], message: &Message| select(queues, message).into());
        self.with(|plan| plan.target = Target::Select(select))
    }

    fn with(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        if let State::New { plan, .. } = &mut self.state {
            change(plan);
        }
        self
    }
}

impl<T: 'static> Future for Sending<T> {
    type Output = Result<T, SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let State::New { .. } = this.state
            && let State::New { plan, start } = std::mem::replace(&mut this.state, State::Done)
        {
            match begin(plan, start) {
                Begun::Ended(result) => return Poll::Ready(result),
                Begun::Running(running) => this.state = State::Running(running),
            }
        }
        match &mut this.state {
            State::Running(running) => running.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

/// Sets out, within a span if somebody listens.
fn begin<T: 'static>(plan: Plan, start: Start<T>) -> Begun<T> {
    let topic = match &start {
        Start::One(message, _) | Start::Now(message, _) => Some(message.topic()),
        Start::Many(messages, _) => messages.first().map(Message::topic),
    };
    let topic = topic.map_or("", |topic| topic.as_str());
    let span = tracing::debug_span!(target: "ferrocket::send", "send", group = %plan.core.group, topic);
    let set_out = || match start {
        Start::One(message, start) => Begun::Running(start(plan, message)),
        Start::Now(message, start) => start(plan, message),
        Start::Many(messages, start) => Begun::Running(start(plan, messages)),
    };
    if span.is_disabled() {
        return set_out();
    }
    match span.in_scope(set_out) {
        Begun::Running(running) => Begun::Running(Box::pin(running.instrument(span))),
        ended => ended,
    }
}

impl<T> Unpin for Sending<T> {}

impl<T> std::fmt::Debug for Sending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
