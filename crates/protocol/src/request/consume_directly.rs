use bytes::Bytes;
use ferrocket_model::{Group, Topic};

use crate::{
    Command, DecodeError, FieldSink, ReadRequest, Request, RequestCode, Response, WriteFields, body::DirectResult,
};

/// Lets a member of a group consume one message, now and apart from its queues: nothing is committed, locked or retried. An
/// administrator asks a broker by the message's id; the broker asks the client with the message as the body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "CONSUME_MESSAGE_DIRECTLY")]
pub struct ConsumeDirectly {
    /// The header.
    pub header: ConsumeDirectlyHeader,
    /// One stored message; empty when an administrator asks.
    pub body: Bytes,
}

crate::field::header_fields! {
    /// The header of a [`ConsumeDirectly`].
    #[doc(alias = "ConsumeMessageDirectlyResultRequestHeader")]
    pub struct ConsumeDirectlyHeader {
        /// The broker that has the message.
        opt broker: String = "brokerName",
        /// The client's id.
        opt client_id: String = "clientId",
        /// The group.
        req group: Group = "consumerGroup",
        /// Unit bits of the group.
        opt group_sys_flag: i32 = "groupSysFlag",
        /// The broker's id of the message.
        opt message_id: String = "msgId",
        /// The topic.
        opt topic: Topic = "topic",
        /// Unit bits of the topic.
        opt topic_sys_flag: i32 = "topicSysFlag",
    }
}

impl WriteFields for ConsumeDirectly {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        self.header.write_fields(sink);
    }
}

impl Request for ConsumeDirectly {
    const CODE: RequestCode = RequestCode::CONSUME_MESSAGE_DIRECTLY;
    type Response = DirectResult;

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl ReadRequest for ConsumeDirectly {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        Ok(Self { header: ConsumeDirectlyHeader::read_fields(command)?, body: command.body().clone() })
    }
}

impl Response for DirectResult {
    fn read(command: Command) -> Result<Self, DecodeError> {
        Self::read_body(command.body())
    }
}
