//! One file per request: its code, its header, its body, its answer. Each is written and read, so that clients and test
//! servers share it. A new request is one more small file here.

mod check_client;
mod check_transaction;
mod consume_directly;
mod consumer_connection;
mod consumer_list;
mod consumer_status;
mod create_topic;
mod end_transaction;
mod heartbeat;
mod lock;
mod members_changed;
mod offset;
mod pull;
mod push_reply;
mod query;
mod recall;
mod reset_offsets;
mod route;
mod running_info;
mod send;
mod send_back;
mod unregister;

use bytes::Bytes;

use crate::{Command, DecodeError, RequestCode, ResponseCode, WriteFields};

pub use check_client::CheckClient;
pub use check_transaction::{CheckTransaction, CheckTransactionHeader};
pub use consume_directly::{ConsumeDirectly, ConsumeDirectlyHeader};
pub use consumer_connection::{ConsumerConnection, GetConsumerConnection, GroupSubscription};
pub use consumer_list::{ConsumerList, GetConsumerList};
pub use consumer_status::{ConsumerStatus, GetConsumerStatus};
pub use create_topic::CreateTopic;
pub use end_transaction::{EndTransaction, TransactionEnding};
pub use heartbeat::{Heartbeat, HeartbeatAnswer, HeartbeatFields};
pub use lock::{LockBatch, UnlockBatch};
pub use members_changed::MembersChanged;
pub use offset::{
    CommitOffset, FoundOffset, GetMaxOffset, GetMinOffset, OffsetAnswer, QueryOffset, QueueFields, SearchOffset,
};
pub use pull::{Pull, PullAnswer, PullAnswerFields, PullFlags, PullHeader};
pub use push_reply::{PushReply, PushReplyHeader};
pub use query::{FoundMessage, FoundMessages, FoundMessagesFields, QueryMessage, ViewMessage};
pub use recall::{RecallMessage, RecallTarget, Recalled};
pub use reset_offsets::{ResetOffsets, ResetOffsetsHeader};
pub use route::GetRoute;
pub use running_info::GetRunningInfo;
pub use send::{ReadSendHeader, SendAnswer, SendForm, SendHeader, SendMessage, TraceSwitch};
pub use send_back::SendBack;
pub use unregister::Unregister;

/// A typed request: it names its code and its answer, so that nobody matches numbers by hand.
pub trait Request: WriteFields {
    /// What is asked.
    const CODE: RequestCode;
    /// What comes back.
    type Response: Response;

    /// The code of this very request, for the few types that go by several.
    fn code(&self) -> RequestCode {
        Self::CODE
    }

    /// The body; empty for most.
    fn body(&self) -> Bytes {
        Bytes::new()
    }
}

/// The answer to a request.
pub trait Response: Sized + Send + 'static {
    /// The codes that are answers; all others are refusals.
    const CODES: &'static [ResponseCode] = &[ResponseCode::SUCCESS];

    /// Reads an answer whose code is in [`CODES`](Self::CODES).
    ///
    /// # Errors
    ///
    /// When a field is missing or unreadable.
    fn read(command: Command) -> Result<Self, DecodeError>;
}

/// The server's side of a request.
pub trait ReadRequest: Sized {
    /// Reads the request out of a command with its code.
    ///
    /// # Errors
    ///
    /// When a field is missing or unreadable.
    fn read_request(command: &Command) -> Result<Self, DecodeError>;
}

/// Success without any content.
impl Response for () {
    fn read(_: Command) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// Declares a request whose fields are all in its header and whose body is empty.
macro_rules! request {
    ($(#[$doc:meta])* pub struct $name:ident($code:ident) -> $response:ty { $($fields:tt)* }) => {
        $crate::field::header_fields! { $(#[$doc])* pub struct $name { $($fields)* } }

        impl $crate::Request for $name {
            const CODE: $crate::RequestCode = $crate::RequestCode::$code;
            type Response = $response;
        }

        impl $crate::ReadRequest for $name {
            fn read_request(command: &$crate::Command) -> Result<Self, $crate::DecodeError> {
                Self::read_fields(command)
            }
        }
    };
}
use request;
