use bytes::Bytes;
use ferrocket_model::{Group, MessageQueue, Topic};

use crate::{Command, DecodeError, Response, body};

super::request! {
    /// From a broker: how far is this member of the group, as it knows itself, in the queues of a topic?
    #[doc(alias = "GET_CONSUMER_STATUS_FROM_CLIENT")]
    pub struct GetConsumerStatus(GET_CONSUMER_STATUS_FROM_CLIENT) -> ConsumerStatus {
        /// The client that an administrator asked for; brokers leave it out.
        opt client: String = "clientAddr",
        /// The group.
        req group: Group = "group",
        /// The topic; an empty one for all.
        req topic: Topic = "topic",
    }
}

/// How far a member is: the next offset to commit of each queue. A consumer that does not know the group has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[doc(alias = "GetConsumerStatusBody")]
pub struct ConsumerStatus {
    /// The offsets.
    pub offsets: Vec<(MessageQueue, u64)>,
}

impl ConsumerStatus {
    /// The body of the answer, with objects as keys: brokers of 5.5.0 read no other form.
    pub fn to_body(&self) -> Bytes {
        body::write_status(&self.offsets)
    }
}

impl Response for ConsumerStatus {
    fn read(command: Command) -> Result<Self, DecodeError> {
        body::read_status(command.body()).map(|offsets| Self { offsets })
    }
}
