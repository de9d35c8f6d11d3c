use bytes::Bytes;
use ferrocket_model::{Group, MessageQueue, Topic};

use crate::{Command, DecodeError, FieldSink, ReadRequest, Request, RequestCode, WriteFields, body};

/// From a broker, one-way: an administrator set the offsets of a group back or ahead. Drop what these queues have fetched,
/// take the offsets, and go on from there.
///
/// Brokers of 5.x send it only where their own resetting is off (`useServerSideResetOffset`); 4.9 sends it to every member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "RESET_CONSUMER_CLIENT_OFFSET")]
pub struct ResetOffsets {
    /// The header.
    pub header: ResetOffsetsHeader,
    /// The offsets as JSON; see [`offsets`](Self::offsets).
    pub body: Bytes,
}

crate::field::header_fields! {
    /// The header of a [`ResetOffsets`].
    #[doc(alias = "ResetOffsetRequestHeader")]
    pub struct ResetOffsetsHeader {
        /// The group.
        req group: Group = "group",
        /// Whether offsets may go back as well as ahead; the broker has heeded it already.
        dft force: bool = "isForce",
        /// The offset that was asked for, where one was instead of a time.
        opt offset: i64 = "offset",
        /// The queue that was asked for; below 0, or not there, for all.
        opt queue_id: i32 = "queueId",
        /// The time that was asked for, Unix milliseconds.
        req timestamp: i64 = "timestamp",
        /// The topic.
        req topic: Topic = "topic",
    }
}

impl ResetOffsets {
    /// Tells a client its new offsets.
    pub fn new(header: ResetOffsetsHeader, offsets: &[(MessageQueue, u64)]) -> Self {
        Self { header, body: body::write_offsets(offsets) }
    }

    /// The same for a client written in C++, which brokers tell by a list instead of a map with objects as keys.
    #[doc(alias = "ResetOffsetBodyForC")]
    pub fn for_cpp(header: ResetOffsetsHeader, offsets: &[(MessageQueue, u64)]) -> Self {
        Self { header, body: body::write_offset_list(offsets) }
    }

    /// The new offset of each queue, in either form that brokers write.
    ///
    /// # Errors
    ///
    /// When the body is neither, or an offset is below 0.
    #[doc(alias = "ResetOffsetBody")]
    pub fn offsets(&self) -> Result<Vec<(MessageQueue, u64)>, DecodeError> {
        body::read_offsets(&self.body)
    }
}

impl WriteFields for ResetOffsets {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        self.header.write_fields(sink);
    }
}

impl Request for ResetOffsets {
    const CODE: RequestCode = RequestCode::RESET_CONSUMER_CLIENT_OFFSET;
    type Response = ();

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl ReadRequest for ResetOffsets {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        Ok(Self { header: ResetOffsetsHeader::read_fields(command)?, body: command.body().clone() })
    }
}
