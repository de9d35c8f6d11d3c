use ferrocket_backend::{BoxFuture, Outcome, RecallRequest, Recalls};
use ferrocket_model::{Failure, MessageId};
use ferrocket_protocol::request::{RecallMessage, RecallTarget};

use crate::{RemotingBackend, backend::unknown_broker};

impl Recalls for RemotingBackend {
    fn recall<'a>(&'a self, request: RecallRequest<'a>) -> BoxFuture<'a, Outcome<MessageId>> {
        Box::pin(async move {
            let topic = request.topic;
            let operation = || format!("take back a message of topic {topic}");
            let handle = request.handle.to_string();
            let Some(target) = RecallTarget::read(&handle) else {
                let detail = "the recall handle is none that a broker gave";
                return Err(Box::new(Failure::invalid_argument(operation(), detail).with_topic(topic)));
            };
            let wire_topic = self.shared.names.topic(topic);
            if target.topic != *wire_topic {
                let of = self.shared.names.plain_topic(target.topic.as_str());
                let detail = format!("the recall handle belongs to topic {of}");
                return Err(Box::new(Failure::invalid_argument(operation(), detail).with_topic(topic)));
            }
            // The broker that keeps the message; behind proxies any one that has the topic (PRO-RCL-01).
            let known = self.shared.brokers.master(&target.broker).map(|address| (target.broker.clone(), address));
            let other = || {
                let brokers = self.shared.brokers.of_topic(topic);
                brokers.into_iter().find_map(|broker| Some((broker.clone(), self.shared.brokers.master(&broker)?)))
            };
            let Some((broker, address)) = known.or_else(other) else {
                return Err(unknown_broker(&target.broker, operation()));
            };
            let mut recall = RecallMessage::new(handle, &*wire_topic);
            recall.group = Some(self.shared.names.group(request.group).into_owned());
            recall.broker = Some(target.broker.to_string());
            let recalled = self.shared.call(&broker, &address, &recall, request.timeout, operation).await;
            match recalled {
                Ok(recalled) => Ok(MessageId::from(recalled.message_id)),
                Err(failure) => Err(Box::new(failure.with_topic(topic))),
            }
        })
    }
}
