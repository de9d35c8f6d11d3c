use std::{sync::Arc, time::Duration};

use ferrocket_model::{Group, Source};

use crate::{BoxFuture, Outcome, Records, Subscription};

/// Asks for messages of one queue.
#[derive(Clone, Debug)]
pub struct PullRequest<'a> {
    /// The group.
    pub group: &'a Group,
    /// The queue, shared by all messages that come from it.
    pub source: &'a Arc<Source>,
    /// What of the topic is wanted.
    pub subscription: &'a Subscription,
    /// Where to begin.
    pub offset: u64,
    /// Stored as consumed along the way, if given and if the server that is asked keeps progress: the next offset to consume.
    pub commit: Option<u64>,
    /// The most messages to take.
    pub max_messages: u32,
    /// How long the server may wait for messages.
    pub wait: Duration,
    /// How much longer than usual the answer may take beyond that: one did not come in time over a connection that lives.
    pub patience: Duration,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullOutcome {
    /// With messages.
    Found,
    /// There is nothing new.
    Nothing,
    /// There were messages, and none of them matched the filter. Ask again at once.
    Filtered,
    /// The offset is outside of what the queue holds, or an operator set another one: go on at `next_offset`, and store it.
    Moved,
}

/// The answer to a pull.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pulled {
    /// How it ended.
    pub outcome: PullOutcome,
    /// Its messages.
    pub records: Box<dyn Records>,
    /// Where to go on.
    pub next_offset: u64,
    /// The first offset that the queue holds.
    pub min_offset: u64,
    /// The offset behind its last message.
    pub max_offset: u64,
    /// What of the request's commit was stored.
    pub committed: Option<u64>,
}

impl Pulled {
    /// An answer without messages.
    pub fn empty(outcome: PullOutcome, next_offset: u64, min_offset: u64, max_offset: u64) -> Self {
        Self { outcome, records: Box::new(Vec::new()), next_offset, min_offset, max_offset, committed: None }
    }
}

/// Pulling.
pub trait Pulls {
    /// Asks for messages, and waits on the server for them.
    ///
    /// # Errors
    ///
    /// When the server refuses or cannot be reached.
    fn pull<'a>(&'a self, request: PullRequest<'a>) -> BoxFuture<'a, Outcome<Pulled>>;
}
