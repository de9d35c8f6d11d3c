use ferrocket_model::{Group, ReceivedMessage};

use crate::{BoxFuture, Outcome};

/// When a message that was given back comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redelivery {
    /// The server chooses by the number of attempts: 10 s, 30 s, 1 min, … 2 h by default.
    ByAttempt,
    /// After the delay of this level.
    AfterLevel(u8),
    /// Never: into the dead-letter topic.
    DeadLetter,
}

/// Gives a message back.
#[derive(Clone, Debug)]
pub struct SendBackRequest<'a> {
    /// The group.
    pub group: &'a Group,
    /// The message.
    pub message: &'a ReceivedMessage,
    /// When it comes again.
    pub redelivery: Redelivery,
    /// After this many attempts the server puts it into the dead-letter topic instead.
    pub max_attempts: u32,
}

/// Retries.
pub trait SendBacks {
    /// Gives a message back, to be delivered to the group again. `Ok` means that the server has it.
    ///
    /// # Errors
    ///
    /// When the server refuses or cannot be reached; with `applied` unknown the message may come twice.
    fn send_back<'a>(&'a self, request: SendBackRequest<'a>) -> BoxFuture<'a, Outcome<()>>;
}
