use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ferrocket_model::{ErrorKind, Failure, operation_error};

use crate::BoxFuture;

/// How long a goodbye to servers may take when the deadline of a shutdown has come already.
pub const LAST_WORD: Duration = Duration::from_millis(500);

operation_error! {
    /// Some work was not finished when the deadline came.
    ShutdownError { leftovers: Vec<Leftover> }
}

impl ShutdownError {
    /// What was left undone at the deadline.
    pub fn new(leftovers: Vec<Leftover>, deadline: Duration) -> Self {
        let what: Vec<String> = leftovers.iter().map(ToString::to_string).collect();
        let failure = Failure::new(ErrorKind::Timeout, "shut down completely")
            .with_detail(format!("after {deadline:?} this was left: {}", what.join(", ")))
            .with_applied(ferrocket_model::Applied::Yes);
        Self { failure: Box::new(failure), leftovers }
    }

    /// What was left undone.
    pub fn leftovers(&self) -> &[Leftover] {
        &self.leftovers
    }

    /// The same, to be put together with others.
    pub fn into_leftovers(self) -> Vec<Leftover> {
        self.leftovers
    }
}

/// What was left undone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leftover {
    /// Sends whose answer was still to come.
    Sends {
        /// The producer group.
        group: String,
        /// How many.
        count: usize,
    },
    /// Questions of brokers about transactions whose answer was still to come; they are asked again.
    Checks {
        /// The producer group.
        group: String,
        /// How many.
        count: usize,
    },
    /// Messages whose handler was still running; they will come again.
    Handlers {
        /// The consumer group.
        group: String,
        /// How many messages.
        messages: usize,
    },
    /// Offsets that could not be stored; their messages will come again.
    Offsets {
        /// The consumer group.
        group: String,
        /// How many queues.
        queues: usize,
    },
    /// Locks that could not be given back; they expire.
    Locks {
        /// The consumer group.
        group: String,
        /// How many queues.
        queues: usize,
    },
    /// Trace records that were not sent.
    Traces {
        /// How many.
        count: usize,
    },
    /// A server that could not be told that we leave.
    Unregister {
        /// Its address.
        address: String,
    },
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sends { group, count } => write!(f, "{count} sends of {group}"),
            Self::Checks { group, count } => write!(f, "{count} transaction checks of {group}"),
            Self::Handlers { group, messages } => write!(f, "{messages} messages in handlers of {group}"),
            Self::Offsets { group, queues } => write!(f, "offsets of {queues} queues of {group}"),
            Self::Locks { group, queues } => write!(f, "locks of {queues} queues of {group}"),
            Self::Traces { count } => write!(f, "{count} trace records"),
            Self::Unregister { address } => write!(f, "unregistering at {address}"),
        }
    }
}

/// Starts a shutdown with a deadline.
type Start = Box<dyn FnOnce(Duration) -> BoxFuture<'static, Result<(), ShutdownError>> + Send>;

/// Ends a client, a producer or a consumer: drains, commits, unlocks, unregisters, in that order.
///
/// # Cancel safety
///
/// Never polled: nothing happens. Dropped after it was polled: the shutdown goes on in the background; await another one for
/// its end.
#[must_use = "futures do nothing unless awaited"]
pub struct ShuttingDown {
    state: State,
}

enum State {
    New { start: Start, deadline: Duration },
    Running(BoxFuture<'static, Result<(), ShutdownError>>),
    Done,
}

impl ShuttingDown {
    /// A shutdown that has not begun. `start` gets the deadline.
    #[doc(hidden)]
    pub fn new(
        deadline: Duration,
        start: impl FnOnce(Duration) -> BoxFuture<'static, Result<(), ShutdownError>> + Send + 'static,
    ) -> Self {
        Self { state: State::New { start: Box::new(start), deadline } }
    }

    /// Takes this long at most, instead of the configured time.
    pub fn within(self, deadline: Duration) -> Self {
        match self.state {
            State::New { start, .. } => Self { state: State::New { start, deadline } },
            state => Self { state },
        }
    }
}

impl Future for ShuttingDown {
    type Output = Result<(), ShutdownError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::New { .. } = self.state
            && let State::New { start, deadline } = std::mem::replace(&mut self.state, State::Done)
        {
            self.state = State::Running(start(deadline));
        }
        match &mut self.state {
            State::Running(running) => running.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

// The closure is `Send` only, and nobody reaches it by reference.
#[doc(hidden)]
impl std::fmt::Debug for ShuttingDown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShuttingDown").finish_non_exhaustive()
    }
}
