use bytes::Bytes;
use ferrocket_model::MessageQueue;
use serde::{Deserialize, Serialize};

use super::{
    Reader, nullable,
    queues::{list as queues, read_list},
};
use crate::DecodeError;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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

    pub(crate) fn read_body(body: &[u8]) -> Result<Self, DecodeError> {
        let mut locked = Vec::new();
        Reader::read(body, &mut |reader, key| match key {
            "lockOKMQSet" => read_list(reader, &mut locked),
            _ => reader.skip(),
        })?;
        Ok(Self { locked })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::queues::MAX_QUEUES, *};

    /// S4: what a body makes us keep is bounded.
    #[test]
    fn too_many_locked_queues_are_an_error() {
        let queue = r#"{"brokerName":"b","queueId":1,"topic":"t"},"#;
        let read = |count: usize| {
            let body = format!("{{\"lockOKMQSet\":[{}]}}", queue.repeat(count));
            LockedQueues::read_body(body.as_bytes()).map(|queues| queues.locked.len())
        };
        assert_eq!(read(MAX_QUEUES), Ok(MAX_QUEUES));
        assert!(read(MAX_QUEUES + 1).is_err());
    }
}
