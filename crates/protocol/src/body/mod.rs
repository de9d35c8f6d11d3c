//! JSON bodies. What is written is standard JSON; what is read may be what Java's libraries make of maps with number or
//! object keys (remoting-protocol §4.1), unknown keys are passed over, and missing ones take their defaults.

mod check_client;
mod direct_result;
mod heartbeat;
mod lock;
mod queues;
mod reader;
mod route;
mod running_info;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::{DecodeError, limits::MAX_BODY_ENTRIES, normalize_json};

pub(crate) use queues::{read_offsets, read_status, write_offset_list, write_offsets, write_status};
pub(crate) use reader::Reader;

pub use check_client::CheckClientData;
pub use direct_result::{DirectOutcome, DirectResult};
pub use heartbeat::{ConsumerData, HeartbeatData, ProducerData, SubscriptionData};
pub use lock::{LockData, LockedQueues};
pub use route::{BrokerAddresses, QueueData, TopicRoute};
pub use running_info::{PopQueueInfo, QueueInfo, RunningInfo, TopicStatus};

/// Reads a body that servers get. What clients get goes through [`Reader`], which takes less code and no detour.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let standard = normalize_json(body)?;
    serde_json::from_slice(&standard).map_err(|error| DecodeError::Body(error.to_string()))
}

/// Whether so many entries of one kind may be kept of a body.
pub(crate) fn limit(count: usize, what: &str) -> Result<(), DecodeError> {
    if count <= MAX_BODY_ENTRIES {
        return Ok(());
    }
    Err(DecodeError::Body(format!("more than {MAX_BODY_ENTRIES} {what}")))
}

/// Writes a body. Our body types have text keys only, so this cannot fail; an empty body would be refused by every server.
pub(crate) fn write<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

/// An explicit `null` reads as the default.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}
