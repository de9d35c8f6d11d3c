use bytes::Bytes;
use ferrocket_model::MessageQueue;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::nullable;

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

/// Queues as JSON objects; a missing or `null` list is empty.
mod queues {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct JsonQueue {
        broker_name: String,
        queue_id: i32,
        topic: String,
    }

    pub(super) fn serialize<S: Serializer>(queues: &[MessageQueue], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(queues.iter().map(|queue| JsonQueue {
            broker_name: queue.broker().as_str().to_owned(),
            queue_id: i32::try_from(queue.id()).unwrap_or(i32::MAX),
            topic: queue.topic().as_str().to_owned(),
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<MessageQueue>, D::Error> {
        let queues = Option::<Vec<JsonQueue>>::deserialize(input)?.unwrap_or_default();
        let read = |queue: JsonQueue| {
            let id = u32::try_from(queue.queue_id).map_err(|_| D::Error::custom("a queue id below 0"))?;
            Ok(MessageQueue::new(queue.topic, queue.broker_name, id))
        };
        queues.into_iter().map(read).collect()
    }
}
