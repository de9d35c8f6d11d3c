use bytes::Bytes;
use ferrocket_model::MessageQueue;
use serde::{Deserialize, Serialize};

use super::{nullable, queues::list as queues};

/// Who wants to lock or unlock which queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "LockBatchRequestBody")]
pub struct LockData {
    /// The client's id.
    #[serde(deserialize_with = "nullable")]
    pub client_id: String,
    /// The group.
    #[serde(deserialize_with = "nullable")]
    pub consumer_group: String,
    /// The queues.
    #[serde(with = "queues")]
    pub mq_set: Vec<MessageQueue>,
    /// Whether the broker is not to pass this on to its replicas; clients say false.
    pub only_this_broker: bool,
}

/// The queues that the asker holds locks of now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[doc(alias = "LockBatchResponseBody")]
pub struct LockedQueues {
    /// Those of the queues in the request that are locked for the asker.
    #[serde(rename = "lockOKMQSet", with = "queues")]
    pub locked: Vec<MessageQueue>,
}

impl LockedQueues {
    /// The body of the answer.
    pub fn to_body(&self) -> Bytes {
        super::write(self)
    }
}
