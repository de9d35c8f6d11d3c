use bytes::Bytes;
use ferrocket_model::{Group, ShortText, Topic};

use crate::{
    Command, DecodeError, FieldSink, FieldValue, ReadRequest, Request, RequestCode, Response, ResponseCode,
    WriteFields, field,
};

/// The header of a send: one letter per field, since this is the hottest request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "SendMessageRequestHeaderV2")]
pub struct SendHeader<'a> {
    /// `a`: the producer group.
    pub group: &'a str,
    /// `b`: the topic.
    pub topic: &'a str,
    /// `c`: the template that a new topic is made from.
    pub default_topic: &'a str,
    /// `d`: how many queues a new topic gets.
    pub default_topic_queues: u32,
    /// `e`: the queue; a negative one lets the broker choose.
    pub queue_id: i32,
    /// `f`: compression, transaction state and more.
    pub sys_flag: i32,
    /// `g`: when the message was made, Unix milliseconds.
    pub born_ms: i64,
    /// `h`: the user's flag.
    pub flag: i32,
    /// `i`: the properties in wire form.
    pub properties: &'a str,
    /// `j`: how often it was retried.
    pub reconsume_times: i32,
    /// `k`: unit mode.
    pub unit_mode: bool,
    /// `l`: for retry topics only.
    pub max_reconsume_times: Option<i32>,
    /// `m`: the body is a batch.
    pub batch: bool,
    /// `n`: the broker's name, for proxies.
    pub broker: &'a str,
}

/// What is sent: each has a code of its own, and all have the same header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendForm {
    /// One message.
    #[default]
    #[doc(alias = "SEND_MESSAGE_V2")]
    Message,
    /// Several messages of one topic in one body.
    #[doc(alias = "SEND_BATCH_MESSAGE")]
    Batch,
    /// The reply to a request, which the broker pushes to who asked.
    #[doc(alias = "SEND_REPLY_MESSAGE_V2")]
    Reply,
}

/// Stores a message, a batch of them, or a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "SEND_MESSAGE_V2")]
pub struct SendMessage<'a> {
    /// Which code it goes by.
    pub form: SendForm,
    /// The header.
    pub header: SendHeader<'a>,
    /// The body as it is stored: compressed, if `sys_flag` says so.
    pub body: Bytes,
}

impl WriteFields for SendMessage<'_> {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        let header = &self.header;
        sink.text("a", header.group);
        sink.text("b", header.topic);
        sink.text("c", header.default_topic);
        sink.number("d", i64::from(header.default_topic_queues));
        sink.number("e", i64::from(header.queue_id));
        sink.number("f", i64::from(header.sys_flag));
        sink.number("g", header.born_ms);
        sink.number("h", i64::from(header.flag));
        sink.text("i", header.properties);
        sink.number("j", i64::from(header.reconsume_times));
        sink.boolean("k", header.unit_mode);
        header.max_reconsume_times.write("l", sink);
        sink.boolean("m", header.batch);
        sink.text("n", header.broker);
    }
}

impl Request for SendMessage<'_> {
    const CODE: RequestCode = RequestCode::SEND_MESSAGE_V2;
    type Response = SendAnswer;

    fn code(&self) -> RequestCode {
        match self.form {
            SendForm::Message => Self::CODE,
            SendForm::Batch => RequestCode::SEND_BATCH_MESSAGE,
            SendForm::Reply => RequestCode::SEND_REPLY_MESSAGE_V2,
        }
    }

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

field::header_fields! {
    /// A send as a server reads it: [`SendHeader`], owned.
    pub struct ReadSendHeader {
        /// The producer group.
        opt group: Group = "a",
        /// The topic.
        req topic: Topic = "b",
        /// The template.
        opt default_topic: Topic = "c",
        /// Queues of a new topic.
        opt default_topic_queues: u32 = "d",
        /// The queue.
        req queue_id: i32 = "e",
        /// Compression and more.
        opt sys_flag: i32 = "f",
        /// When the message was made.
        opt born_ms: i64 = "g",
        /// The user's flag.
        opt flag: i32 = "h",
        /// The properties.
        opt properties: String = "i",
        /// How often it was retried.
        opt reconsume_times: i32 = "j",
        /// For retry topics.
        opt max_reconsume_times: i32 = "l",
        /// The body is a batch.
        opt batch: bool = "m",
        /// The broker's name.
        opt broker: String = "n",
    }
}

impl ReadRequest for ReadSendHeader {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        Self::read_fields(command)
    }
}

/// The answer to a send. Also codes 10, 11 and 12 mean that the message is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendAnswer {
    /// `SUCCESS`, `FLUSH_DISK_TIMEOUT`, `SLAVE_NOT_AVAILABLE` or `FLUSH_SLAVE_TIMEOUT`.
    pub code: ResponseCode,
    /// The broker's id of the message; for a batch one per message, with commas between.
    pub message_id: ShortText,
    /// The queue that was used.
    pub queue_id: u32,
    /// The offset in it; of the first message, for a batch.
    pub queue_offset: u64,
    /// The message's unique key, as the broker names a transaction. 4.9 does not send it.
    pub transaction_id: Option<Box<str>>,
    /// Takes a timer message back.
    pub recall_handle: Option<Box<str>>,
    /// The id of an inner batch.
    pub batch_id: Option<Box<str>>,
    /// What the broker says about message trace, where that is not the usual.
    pub trace: Option<Box<TraceSwitch>>,
}

/// What a broker says about message trace in the answer to a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSwitch {
    /// `MSG_REGION`: the broker's region, if it has another than `DefaultRegion`.
    pub region: Option<Box<str>>,
    /// `TRACE_ON`: whether the message is to be traced.
    pub is_on: bool,
}

impl Default for TraceSwitch {
    fn default() -> Self {
        Self { region: None, is_on: true }
    }
}

/// What brokers say that were given no name for their region.
const DEFAULT_REGION: &str = "DefaultRegion";

impl SendAnswer {
    /// An answer of a server.
    pub fn new(code: ResponseCode, message_id: impl Into<ShortText>, queue_id: u32, queue_offset: u64) -> Self {
        Self {
            code,
            message_id: message_id.into(),
            queue_id,
            queue_offset,
            transaction_id: None,
            recall_handle: None,
            batch_id: None,
            trace: None,
        }
    }
}

impl WriteFields for SendAnswer {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        let optional = |name, value: &Option<Box<str>>, sink: &mut dyn FieldSink| {
            if let Some(value) = value {
                sink.text(name, value);
            }
        };
        let trace = self.trace.as_deref();
        sink.text("MSG_REGION", trace.and_then(|trace| trace.region.as_deref()).unwrap_or(DEFAULT_REGION));
        sink.boolean("TRACE_ON", trace.is_none_or(|trace| trace.is_on));
        optional("batchUniqId", &self.batch_id, sink);
        sink.text("msgId", &self.message_id);
        self.queue_id.write("queueId", sink);
        self.queue_offset.write("queueOffset", sink);
        optional("recallHandle", &self.recall_handle, sink);
        optional("transactionId", &self.transaction_id, sink);
    }
}

impl Response for SendAnswer {
    const CODES: &'static [ResponseCode] = &[
        ResponseCode::SUCCESS,
        ResponseCode::FLUSH_DISK_TIMEOUT,
        ResponseCode::SLAVE_NOT_AVAILABLE,
        ResponseCode::FLUSH_SLAVE_TIMEOUT,
    ];

    fn read(command: Command) -> Result<Self, DecodeError> {
        let mut answer = Self::new(command.response_code(), "", 0, 0);
        let (mut queue_id, mut queue_offset) = (None, None);
        let mut fields = command.fields();
        while let Some(item) = fields.next_raw() {
            let (name, value) = item?;
            let text = |value: &[u8]| field::text(value).map(Box::from);
            match &*name {
                b"msgId" => answer.message_id = field::short_text(&value)?,
                b"queueId" => queue_id = Some(field::read_value("queueId", &value)?),
                b"queueOffset" => queue_offset = Some(field::read_value("queueOffset", &value)?),
                b"transactionId" => answer.transaction_id = Some(text(&value)?),
                b"recallHandle" => answer.recall_handle = Some(text(&value)?),
                b"MSG_REGION" if *value != *DEFAULT_REGION.as_bytes() => {
                    answer.trace.get_or_insert_default().region = Some(text(&value)?);
                }
                b"TRACE_ON" if *value == *b"false" => answer.trace.get_or_insert_default().is_on = false,
                b"batchUniqId" => answer.batch_id = Some(text(&value)?),
                _ => {}
            }
        }
        answer.queue_id = queue_id.ok_or(DecodeError::MissingField("queueId"))?;
        answer.queue_offset = queue_offset.ok_or(DecodeError::MissingField("queueOffset"))?;
        Ok(answer)
    }
}
