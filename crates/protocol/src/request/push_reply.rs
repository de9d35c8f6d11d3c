use bytes::Bytes;
use ferrocket_model::{Group, Topic};

use crate::{Command, DecodeError, FieldSink, ReadRequest, Request, RequestCode, WriteFields};

/// From a broker: here is the reply to a request of yours. The answer is success, also for a reply that nobody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "PUSH_REPLY_MESSAGE_TO_CLIENT")]
pub struct PushReply {
    /// The header.
    pub header: PushReplyHeader,
    /// The reply's body, compressed if `sys_flag` says so.
    pub body: Bytes,
}

crate::field::header_fields! {
    /// The header of a [`PushReply`].
    pub struct PushReplyHeader {
        /// The broker's name.
        opt broker: String = "bname",
        /// The replier's host and port.
        req born_host: String = "bornHost",
        /// When the reply was made, Unix milliseconds.
        req born_ms: i64 = "bornTimestamp",
        /// The template topic.
        opt default_topic: Topic = "defaultTopic",
        /// Queues of a new topic.
        opt default_topic_queues: i32 = "defaultTopicQueueNums",
        /// The replier's flag.
        req flag: i32 = "flag",
        /// The replier's group.
        req group: Group = "producerGroup",
        /// The reply's properties in wire form.
        opt properties: String = "properties",
        /// The queue.
        req queue_id: i32 = "queueId",
        /// How often it was retried.
        opt reconsume_times: i32 = "reconsumeTimes",
        /// The broker's host and port.
        req store_host: String = "storeHost",
        /// When the broker got it, Unix milliseconds.
        req stored_ms: i64 = "storeTimestamp",
        /// Compression and more.
        req sys_flag: i32 = "sysFlag",
        /// The reply topic.
        req topic: Topic = "topic",
        /// Unit mode.
        opt unit_mode: bool = "unitMode",
    }
}

impl WriteFields for PushReply {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        self.header.write_fields(sink);
    }
}

impl Request for PushReply {
    const CODE: RequestCode = RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT;
    type Response = ();

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl ReadRequest for PushReply {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        Ok(Self { header: PushReplyHeader::read_fields(command)?, body: command.body().clone() })
    }
}
