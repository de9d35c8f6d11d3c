use bytes::Bytes;
use ferrocket_model::Group;
use serde::Serialize;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(alias = "GetConsumerListByGroupResponseBody")]
pub struct ConsumerList {
    /// Client ids.
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
        let mut found = Self::default();
        body::Reader::read(command.body(), &mut |reader, key| {
            if key != "consumerIdList" {
                return reader.skip();
            }
            reader.list(&mut |reader| {
                found.consumer_id_list.push(reader.owned_text()?);
                body::limit(found.consumer_id_list.len(), "members of a group")
            })
        })?;
        Ok(found)
    }
}
