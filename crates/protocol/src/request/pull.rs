use bytes::Bytes;
use ferrocket_model::{Group, Topic};

use crate::{
    Command, DecodeError, FieldSink, ReadRequest, Request, RequestCode, Response, ResponseCode, WriteFields, field,
};

/// The bits of a pull's `sysFlag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "PullSysFlag")]
pub struct PullFlags;

impl PullFlags {
    /// `commitOffset` is to be stored.
    pub const COMMIT_OFFSET: i32 = 1;
    /// Wait on the broker for messages, up to `suspendTimeoutMillis` (and up to 5 s more, because brokers look every 5 s).
    pub const SUSPEND: i32 = 2;
    /// The subscription in this request counts, instead of the one in the heartbeat.
    pub const SUBSCRIPTION: i32 = 4;
    /// A lite pull.
    pub const LITE: i32 = 16;
}

field::header_fields! {
    /// The header of a pull.
    pub struct PullHeader {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// What to store as consumed, with [`PullFlags::COMMIT_OFFSET`].
        pos commit_offset: u64 = "commitOffset",
        /// The group.
        req group: Group = "consumerGroup",
        /// `TAG` or `SQL92`.
        opt expression_type: String = "expressionType",
        /// The most messages to hand out; brokers have limits of their own.
        req max_messages: u32 = "maxMsgNums",
        /// The queue.
        req queue_id: u32 = "queueId",
        /// Where to begin.
        req queue_offset: u64 = "queueOffset",
        /// The version of the subscription; a broker whose heartbeat is older refuses with `SUBSCRIPTION_NOT_LATEST`.
        req subscription_version: i64 = "subVersion",
        /// The expression, with [`PullFlags::SUBSCRIPTION`].
        opt subscription: String = "subscription",
        /// How long the broker may wait.
        req suspend_ms: u64 = "suspendTimeoutMillis",
        /// See [`PullFlags`].
        req sys_flag: i32 = "sysFlag",
        /// The topic.
        req topic: Topic = "topic",
    }
}

/// Asks for messages of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "PULL_MESSAGE")]
pub struct Pull(pub PullHeader);

impl WriteFields for Pull {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        self.0.write_fields(sink);
    }
}

impl Request for Pull {
    const CODE: RequestCode = RequestCode::PULL_MESSAGE;
    type Response = PullAnswer;
}

impl ReadRequest for Pull {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        PullHeader::read_fields(command).map(Self)
    }
}

/// The answer to a [`Pull`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullAnswer {
    /// `SUCCESS`, `PULL_NOT_FOUND`, `PULL_RETRY_IMMEDIATELY` or `PULL_OFFSET_MOVED`.
    pub code: ResponseCode,
    /// Where to go on.
    pub next_offset: u64,
    /// The first offset that the queue holds.
    pub min_offset: u64,
    /// The offset behind its last message.
    pub max_offset: u64,
    /// Which broker id to ask next: 0 is the master.
    pub suggested_broker: u64,
    /// To add to each message's offset (static topics).
    pub offset_delta: i64,
    /// Stored messages, one behind the other.
    pub messages: Bytes,
}

field::header_fields! {
    /// The fields of a [`PullAnswer`], as a server writes them.
    pub struct PullAnswerFields {
        /// The offset behind the last message.
        req max_offset: i64 = "maxOffset",
        /// The first offset.
        req min_offset: i64 = "minOffset",
        /// Where to go on.
        req next_offset: i64 = "nextBeginOffset",
        /// To add to each message's offset.
        opt offset_delta: i64 = "offsetDelta",
        /// Which broker id to ask next.
        opt suggested_broker: i64 = "suggestWhichBrokerId",
    }
}

impl PullAnswer {
    /// An answer of a server.
    pub fn new(code: ResponseCode, next_offset: u64, min_offset: u64, max_offset: u64, messages: Bytes) -> Self {
        Self { code, next_offset, min_offset, max_offset, suggested_broker: 0, offset_delta: 0, messages }
    }
}

impl WriteFields for PullAnswer {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        let signed = |offset| i64::try_from(offset).unwrap_or(i64::MAX);
        let mut fields =
            PullAnswerFields::new(signed(self.max_offset), signed(self.min_offset), signed(self.next_offset));
        fields.offset_delta = (self.offset_delta != 0).then_some(self.offset_delta);
        fields.suggested_broker = Some(signed(self.suggested_broker));
        fields.write_fields(sink);
    }
}

impl Response for PullAnswer {
    const CODES: &'static [ResponseCode] = &[
        ResponseCode::SUCCESS,
        ResponseCode::PULL_NOT_FOUND,
        ResponseCode::PULL_RETRY_IMMEDIATELY,
        ResponseCode::PULL_OFFSET_MOVED,
    ];

    fn read(command: Command) -> Result<Self, DecodeError> {
        let fields = PullAnswerFields::read_fields(&command)?;
        let offset = |offset: i64| u64::try_from(offset).unwrap_or(0);
        Ok(Self {
            code: command.response_code(),
            next_offset: u64::try_from(fields.next_offset).map_err(|_| DecodeError::Field {
                name: "nextBeginOffset",
                value: fields.next_offset.to_string(),
                expected: "an offset from 0",
            })?,
            min_offset: offset(fields.min_offset),
            max_offset: offset(fields.max_offset),
            suggested_broker: offset(fields.suggested_broker.unwrap_or(0)),
            offset_delta: fields.offset_delta.unwrap_or(0),
            messages: command.into_body(),
        })
    }
}
