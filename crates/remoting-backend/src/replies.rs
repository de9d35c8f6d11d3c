use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ferrocket_backend::{ExpectedReply, Outcome, Replies};
use ferrocket_model::{
    BrokerName, ErrorKind, Failure, MessageQueue, ReceivedMessage, ReceivedParts, Reply, Source, properties,
};
use ferrocket_protocol::{message::SysFlag, request::PushReply};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{RemotingBackend, backend::Shared};

/// Who waits for which reply.
#[derive(Default)]
pub(crate) struct Waiting {
    /// One entry per request in flight, by correlation id.
    table: Mutex<HashMap<String, oneshot::Sender<Outcome<Reply>>>>,
    /// Replies that nobody waited for: late, or doubled.
    unwanted: AtomicU64,
}

impl Waiting {
    /// Everybody's waiting ends.
    pub(crate) fn close(&self) {
        self.table.lock().clear();
    }

    /// Replies that came when nobody waited for them.
    pub(crate) fn unwanted(&self) -> u64 {
        self.unwanted.load(Ordering::Relaxed)
    }
}

impl Replies for RemotingBackend {
    fn expect_reply(&self, correlation_id: &str) -> ExpectedReply {
        let (sender, receiver) = oneshot::channel();
        self.shared.replies.table.lock().insert(correlation_id.to_owned(), sender);
        let entry = Entry { shared: self.shared.clone(), correlation_id: correlation_id.to_owned() };
        Box::pin(async move {
            let reply = receiver.await;
            let closed = || Failure::new(ErrorKind::Closed, "wait for a reply").with_detail("the client was shut down");
            drop(entry);
            reply.unwrap_or_else(|_| Err(Box::new(closed())))
        })
    }
}

/// Ends the waiting when it is dropped.
struct Entry {
    shared: Arc<Shared>,
    correlation_id: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.replies.table.lock().remove(&self.correlation_id);
    }
}

impl Shared {
    /// A broker pushes a reply. One that nobody waits for is counted and dropped.
    pub(crate) fn reply_came(&self, push: PushReply, address: &str) {
        let properties = push.header.properties.as_deref().unwrap_or_default();
        let id = properties::find(properties, properties::name::CORRELATION_ID).unwrap_or_default().to_owned();
        let waiting = self.replies.table.lock().remove(&id);
        let is_wanted = waiting.is_some_and(|waiting| waiting.send(self.reply(push, address)).is_ok());
        if !is_wanted {
            self.replies.unwanted.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%address, correlation_id = %id, "a reply that nobody waits for");
        }
    }

    fn reply(&self, push: PushReply, address: &str) -> Outcome<Reply> {
        let PushReply { header, body } = push;
        let named = header.broker.as_deref().map(BrokerName::from).or_else(|| self.brokers.name_of(address));
        let broker = named.unwrap_or_else(|| BrokerName::from(address));
        let queue = MessageQueue::new(&header.topic, broker, u32::try_from(header.queue_id).unwrap_or(0));
        let (body, defect) = self.decoder.plain_body(SysFlag(header.sys_flag), body);
        if let Some(defect) = defect {
            return Err(Box::new(
                Failure::new(ErrorKind::Undecodable, "read a reply").with_detail(&*defect).with_address(address),
            ));
        }
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Reply::from_message(ReceivedMessage::from(ReceivedParts {
            topic: header.topic,
            wire_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            body,
            properties: header.properties.unwrap_or_default().into(),
            source: Source::of(queue),
            offset: 0,
            commit_log_offset: 0,
            born_ms: unsigned(header.born_ms),
            stored_ms: unsigned(header.stored_ms),
            born_host: header.born_host.trim_start_matches('/').parse().ok(),
            store_host: None,
            flag: header.flag,
            reconsume_times: 0,
            defect: None,
        })))
    }
}
