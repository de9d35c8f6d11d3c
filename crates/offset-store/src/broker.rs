use std::sync::Arc;

use ferrocket_backend::ConsumerBackend;
use ferrocket_model::{BoxError, Group, MessageQueue};

use crate::OffsetStore;

/// Offsets on the brokers that keep the queues: what consumers use unless told otherwise.
#[derive(Clone)]
#[doc(alias = "RemoteBrokerOffsetStore")]
pub struct BrokerOffsets {
    backend: Arc<dyn ConsumerBackend>,
}

impl BrokerOffsets {
    /// The offsets of a cluster.
    pub fn new(backend: Arc<dyn ConsumerBackend>) -> Self {
        Self { backend }
    }
}

impl OffsetStore for BrokerOffsets {
    async fn read(&self, group: &Group, queue: &MessageQueue) -> Result<Option<u64>, BoxError> {
        self.backend
            .committed(group, queue)
            .await
            .map_err(|failure| ferrocket_model::Error::from_failure(failure).into())
    }

    /// One queue after the other; [`Progress`](crate::Progress) writes the queues of each broker side by side.
    async fn write(&self, group: &Group, offsets: &[(MessageQueue, u64)]) -> Result<(), BoxError> {
        for (queue, offset) in offsets {
            let stored = self.backend.commit(group, queue, *offset).await;
            stored.map_err(|failure| BoxError::from(ferrocket_model::Error::from_failure(failure)))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for BrokerOffsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerOffsets").finish_non_exhaustive()
    }
}
