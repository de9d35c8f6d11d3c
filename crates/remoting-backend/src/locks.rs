use ferrocket_backend::{BoxFuture, Locks, Outcome};
use ferrocket_model::{BrokerName, Group, MessageQueue};
use ferrocket_protocol::{
    body::LockData,
    request::{LockBatch, UnlockBatch},
};

use crate::{RemotingBackend, backend::no_master};

impl Locks for RemotingBackend {
    fn lock<'a>(
        &'a self,
        group: &'a Group,
        broker: &'a BrokerName,
        queues: &'a [MessageQueue],
    ) -> BoxFuture<'a, Outcome<Vec<MessageQueue>>> {
        Box::pin(async move {
            let operation = || format!("lock {} queues of broker {broker} for group {group}", queues.len());
            // Only masters lock.
            let Some(address) = self.shared.brokers.master(broker) else {
                return Err(Box::new(no_master(broker, operation())));
            };
            let request = LockBatch::new(&self.lock_data(group, queues));
            let timeout = self.shared.request_timeout;
            let answer = self.shared.call(broker, &address, &request, timeout, operation).await?;
            let names = &self.shared.names;
            let is_locked = |queue: &&MessageQueue| {
                answer.locked.iter().any(|locked| {
                    locked.id() == queue.id()
                        && locked.broker() == queue.broker()
                        && names.plain_topic(locked.topic().as_str()) == *queue.topic()
                })
            };
            Ok(queues.iter().filter(is_locked).cloned().collect())
        })
    }

    fn unlock<'a>(
        &'a self,
        group: &'a Group,
        broker: &'a BrokerName,
        queues: &'a [MessageQueue],
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let operation = || format!("unlock {} queues of broker {broker} for group {group}", queues.len());
            let Some(address) = self.shared.brokers.master(broker) else {
                return Err(Box::new(no_master(broker, operation())));
            };
            let request = UnlockBatch::new(&self.lock_data(group, queues));
            self.shared.call(broker, &address, &request, self.shared.request_timeout, operation).await
        })
    }
}

impl RemotingBackend {
    fn lock_data(&self, group: &Group, queues: &[MessageQueue]) -> LockData {
        LockData {
            client_id: self.shared.members.client_id().to_owned(),
            consumer_group: self.shared.names.group(group).to_string(),
            mq_set: queues.iter().map(|queue| self.shared.names.queue(queue)).collect(),
            only_this_broker: false,
        }
    }
}
