use std::time::{SystemTime, UNIX_EPOCH};

use ferrocket_backend::{BoxFuture, Offsets, Outcome};
use ferrocket_model::{Failure, Group, MessageQueue};
use ferrocket_protocol::{
    Request,
    request::{CommitOffset, GetMaxOffset, GetMinOffset, QueryOffset, SearchOffset},
};

use crate::{RemotingBackend, backend::no_master};

impl Offsets for RemotingBackend {
    fn committed<'a>(&'a self, group: &'a Group, queue: &'a MessageQueue) -> BoxFuture<'a, Outcome<Option<u64>>> {
        Box::pin(async move {
            let mut request = QueryOffset::new(
                &*self.shared.names.group(group),
                queue.id(),
                &*self.shared.names.topic(queue.topic()),
            );
            request.broker = Some(queue.broker().to_string());
            request.zero_if_not_found = Some(false);
            let operation = || format!("read the offset of group {group} in {queue}");
            self.ask(queue, &request, operation).await.map(|found| found.0)
        })
    }

    fn commit<'a>(&'a self, group: &'a Group, queue: &'a MessageQueue, offset: u64) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let names = &self.shared.names;
            let mut request = CommitOffset::new(offset, &*names.group(group), queue.id(), &*names.topic(queue.topic()));
            request.broker = Some(queue.broker().to_string());
            self.ask(queue, &request, || format!("commit offset {offset} of group {group} in {queue}")).await
        })
    }

    fn earliest<'a>(&'a self, queue: &'a MessageQueue) -> BoxFuture<'a, Outcome<u64>> {
        let request = GetMinOffset::new(self.shared.names.queue(queue));
        Box::pin(async move { self.ask(queue, &request, || format!("read the first offset of {queue}")).await })
    }

    fn latest<'a>(&'a self, queue: &'a MessageQueue) -> BoxFuture<'a, Outcome<u64>> {
        let request = GetMaxOffset::new(self.shared.names.queue(queue));
        Box::pin(async move { self.ask(queue, &request, || format!("read the last offset of {queue}")).await })
    }

    fn at_time<'a>(&'a self, queue: &'a MessageQueue, time: SystemTime) -> BoxFuture<'a, Outcome<u64>> {
        let ms = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut request = SearchOffset::new(
            queue.id(),
            i64::try_from(ms).unwrap_or(i64::MAX),
            &*self.shared.names.topic(queue.topic()),
        );
        request.broker = Some(queue.broker().to_string());
        Box::pin(async move { self.ask(queue, &request, || format!("search an offset by time in {queue}")).await })
    }
}

impl RemotingBackend {
    /// Asks the master: what a slave knows of a group may be old, and what it is told is lost with its next copy (CON-BUG-29).
    async fn ask<R: Request + Sync>(
        &self,
        queue: &MessageQueue,
        request: &R,
        operation: impl FnOnce() -> String,
    ) -> Outcome<R::Response> {
        let Some(address) = self.shared.brokers.master(queue.broker()) else {
            return Err(Box::new(no_master(queue.broker(), operation()).with_topic(queue.topic())));
        };
        let timeout = self.shared.request_timeout;
        let answer = self.shared.call(queue.broker(), &address, request, timeout, operation).await;
        answer.map_err(|failure: Box<Failure>| Box::new(failure.with_topic(queue.topic())))
    }
}
