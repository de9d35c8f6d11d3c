use bytes::Bytes;
use ferrocket_model::Topic;

use crate::{Command, DecodeError, FieldSink, Response, ResponseCode, WriteFields, field};

super::request! {
    /// Messages by a key. To the brokers of the topic, each of which knows its own.
    ///
    /// Brokers look hashes up: compare the keys of what comes.
    #[doc(alias = "QUERY_MESSAGE")]
    pub struct QueryMessage(QUERY_MESSAGE) -> FoundMessages {
        /// Whether `key` is a unique key; else one of the message's `KEYS`. Not part of what 4.9 signs. With it, brokers take
        /// 32 for `max_messages`.
        opt unique: bool = "_UNIQUE_KEY_QUERY",
        /// Stored from this time on, Unix milliseconds.
        req begin_ms: i64 = "beginTimestamp",
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// Stored up to this time, Unix milliseconds.
        req end_ms: i64 = "endTimestamp",
        /// `K` for keys, `U` for unique keys. 4.9 does not know it.
        opt index_type: String = "indexType",
        /// The key.
        req key: String = "key",
        /// Goes on behind this one.
        opt last_key: String = "lastKey",
        /// The most messages to hand out.
        req max_messages: i32 = "maxNum",
        /// The topic.
        req topic: Topic = "topic",
    }
}

super::request! {
    /// The message at an offset of the commit log. To the broker that an offset id names.
    #[doc(alias = "VIEW_MESSAGE_BY_ID")]
    pub struct ViewMessage(VIEW_MESSAGE_BY_ID) -> FoundMessage {
        /// The commit log offset.
        req commit_log_offset: i64 = "offset",
        /// The topic, for authorization.
        opt topic: Topic = "topic",
    }
}

/// The answer to a [`QueryMessage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundMessages {
    /// `SUCCESS` or `QUERY_NOT_FOUND`.
    pub code: ResponseCode,
    /// When the index was last written, Unix milliseconds.
    pub index_updated_ms: i64,
    /// Up to where in the commit log the index goes.
    pub index_end: i64,
    /// Stored messages, one behind the other; none is no error.
    pub messages: Bytes,
}

field::header_fields! {
    /// The fields of [`FoundMessages`].
    pub struct FoundMessagesFields {
        /// Up to where in the commit log the index goes.
        req index_end: i64 = "indexLastUpdatePhyoffset",
        /// When the index was last written.
        req index_updated_ms: i64 = "indexLastUpdateTimestamp",
    }
}

impl FoundMessages {
    /// An answer of a server; without messages it is a `QUERY_NOT_FOUND`.
    pub fn new(index_updated_ms: i64, index_end: i64, messages: Bytes) -> Self {
        let code = if messages.is_empty() { ResponseCode::QUERY_NOT_FOUND } else { ResponseCode::SUCCESS };
        Self { code, index_updated_ms, index_end, messages }
    }
}

impl WriteFields for FoundMessages {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        FoundMessagesFields::new(self.index_end, self.index_updated_ms).write_fields(sink);
    }
}

impl Response for FoundMessages {
    const CODES: &'static [ResponseCode] = &[ResponseCode::SUCCESS, ResponseCode::QUERY_NOT_FOUND];

    fn read(command: Command) -> Result<Self, DecodeError> {
        let code = command.response_code();
        let fields = match FoundMessagesFields::read_fields(&command) {
            // Who found nothing may say nothing of an index.
            Err(DecodeError::MissingField(_)) if code == ResponseCode::QUERY_NOT_FOUND => {
                FoundMessagesFields::new(0, 0)
            }
            fields => fields?,
        };
        let (index_updated_ms, index_end) = (fields.index_updated_ms, fields.index_end);
        Ok(Self { code, index_updated_ms, index_end, messages: command.into_body() })
    }
}

/// The answer to a [`ViewMessage`]: one stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundMessage(pub Bytes);

impl Response for FoundMessage {
    fn read(command: Command) -> Result<Self, DecodeError> {
        Ok(Self(command.into_body()))
    }
}
