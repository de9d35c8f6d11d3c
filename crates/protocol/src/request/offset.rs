use ferrocket_model::{Group, MessageQueue, Topic};

use crate::{
    Command, DecodeError, FieldSink, FieldValue, ReadRequest, Request, RequestCode, Response, ResponseCode,
    WriteFields, field,
};

super::request! {
    /// How far a group is in a queue. To the master, else to a slave.
    #[doc(alias = "QUERY_CONSUMER_OFFSET")]
    pub struct QueryOffset(QUERY_CONSUMER_OFFSET) -> FoundOffset {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// The group.
        req group: Group = "consumerGroup",
        /// The queue.
        req queue_id: u32 = "queueId",
        /// Whether a broker may say 0 for "nothing stored" on a young queue. 4.9 does so whatever this says.
        opt zero_if_not_found: bool = "setZeroIfNotFound",
        /// The topic.
        req topic: Topic = "topic",
    }
}

super::request! {
    /// Stores how far a group is in a queue: the next offset to consume.
    #[doc(alias = "UPDATE_CONSUMER_OFFSET")]
    pub struct CommitOffset(UPDATE_CONSUMER_OFFSET) -> () {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// The next offset to consume.
        req offset: u64 = "commitOffset",
        /// The group.
        req group: Group = "consumerGroup",
        /// The queue.
        req queue_id: u32 = "queueId",
        /// The topic.
        req topic: Topic = "topic",
    }
}

super::request! {
    /// The first offset stored at a time or later.
    #[doc(alias = "SEARCH_OFFSET_BY_TIMESTAMP")]
    pub struct SearchOffset(SEARCH_OFFSET_BY_TIMESTAMP) -> u64 {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// `LOWER` (default) or `UPPER`.
        opt boundary: String = "boundaryType",
        /// The queue.
        req queue_id: u32 = "queueId",
        /// Unix milliseconds.
        req timestamp: i64 = "timestamp",
        /// The topic.
        req topic: Topic = "topic",
    }
}

/// The offset behind the last message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "GET_MAX_OFFSET")]
pub struct GetMaxOffset {
    /// The queue.
    pub queue: MessageQueue,
}

/// The offset of the first message that a queue still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "GET_MIN_OFFSET")]
pub struct GetMinOffset {
    /// The queue.
    pub queue: MessageQueue,
}

macro_rules! queue_request {
    ($($name:ident($code:ident)),*) => {$(
        impl $name {
            /// Asks about this queue.
            pub fn new(queue: MessageQueue) -> Self {
                Self { queue }
            }
        }

        impl WriteFields for $name {
            fn write_fields(&self, sink: &mut dyn FieldSink) {
                sink.text("bname", self.queue.broker().as_str());
                self.queue.id().write("queueId", sink);
                sink.text("topic", self.queue.topic().as_str());
            }
        }

        impl Request for $name {
            const CODE: RequestCode = RequestCode::$code;
            type Response = u64;
        }

        impl ReadRequest for $name {
            fn read_request(command: &Command) -> Result<Self, DecodeError> {
                let fields = QueueFields::read_fields(command)?;
                Ok(Self::new(MessageQueue::new(fields.topic, fields.broker.unwrap_or_default(), fields.queue_id)))
            }
        }
    )*};
}
queue_request!(GetMaxOffset(GET_MAX_OFFSET), GetMinOffset(GET_MIN_OFFSET));

field::header_fields! {
    /// The fields that name a queue.
    pub struct QueueFields {
        /// The broker.
        opt broker: String = "bname",
        /// The queue.
        req queue_id: u32 = "queueId",
        /// The topic.
        req topic: Topic = "topic",
    }
}

field::header_fields! {
    /// An answer that is an offset, as a server writes it.
    pub struct OffsetAnswer {
        /// The offset; negative ones mean "nothing".
        req offset: i64 = "offset",
    }
}

/// An offset.
impl Response for u64 {
    fn read(command: Command) -> Result<Self, DecodeError> {
        let offset = OffsetAnswer::read_fields(&command)?.offset;
        u64::try_from(offset).map_err(|_| DecodeError::Field {
            name: "offset",
            value: offset.to_string(),
            expected: "an offset from 0",
        })
    }
}

/// The answer to [`QueryOffset`]: an offset, or nothing stored. Never a sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset(pub Option<u64>);

impl Response for FoundOffset {
    const CODES: &'static [ResponseCode] = &[ResponseCode::SUCCESS, ResponseCode::QUERY_NOT_FOUND];

    fn read(command: Command) -> Result<Self, DecodeError> {
        if command.response_code() == ResponseCode::QUERY_NOT_FOUND {
            return Ok(Self(None));
        }
        Ok(Self(u64::try_from(OffsetAnswer::read_fields(&command)?.offset).ok()))
    }
}
