use bytes::Bytes;
use ferrocket_model::Group;
use serde::{Deserialize, Serialize};

use crate::{Command, DecodeError, Response, body};

super::request! {
    /// The client ids of a consumer group's members. To any broker of the topic; a group without members is refused with
    /// `SYSTEM_ERROR`.
    #[doc(alias = "GET_CONSUMER_LIST_BY_GROUP")]
    pub struct GetConsumerList(GET_CONSUMER_LIST_BY_GROUP) -> ConsumerList {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// The group.
        req group: Group = "consumerGroup",
    }
}

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "GetConsumerListByGroupResponseBody")]
pub struct ConsumerList {
    /// Client ids.
    #[serde(deserialize_with = "body::nullable")]
    pub consumer_id_list: Vec<String>,
}

impl ConsumerList {
    /// The body of the answer.
    pub fn to_body(&self) -> Bytes {
        body::write(self)
    }
}

impl Response for ConsumerList {
    fn read(command: Command) -> Result<Self, DecodeError> {
        body::read(command.body())
    }
}
