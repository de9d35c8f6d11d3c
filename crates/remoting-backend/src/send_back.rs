use ferrocket_backend::{BoxFuture, Outcome, Redelivery, SendBackRequest, SendBacks};
use ferrocket_model::{ErrorKind, Failure};
use ferrocket_protocol::request::SendBack;

use crate::{RemotingBackend, backend::unknown_broker};

impl SendBacks for RemotingBackend {
    fn send_back<'a>(&'a self, request: SendBackRequest<'a>) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let message = request.message;
            let queue = message.queue();
            let operation = || format!("give {} of {queue} back for group {}", message.id(), request.group);
            if message.store_host().is_none() {
                return Err(Box::new(
                    Failure::new(ErrorKind::Unsupported, operation())
                        .with_detail("a message of an inner batch has no place of its own to be given back from"),
                ));
            }
            let Some(address) = self.shared.brokers.master(queue.broker()) else {
                return Err(unknown_broker(queue.broker(), operation()));
            };
            let level = match request.redelivery {
                Redelivery::DeadLetter => -1,
                Redelivery::AfterLevel(level) => i32::from(level),
                _ => 0,
            };
            let mut back = SendBack::new(
                level,
                &*self.shared.names.group(request.group),
                message.commit_log_offset(),
                self.shared.unit_mode,
            );
            back.broker = Some(queue.broker().to_string());
            back.origin_message_id = message.broker_message_id().map(str::to_owned);
            back.origin_topic = Some(self.shared.names.topic(message.topic()).to_string());
            back.max_reconsume_times = Some(i32::try_from(request.max_attempts.saturating_sub(1)).unwrap_or(i32::MAX));
            let timeout = self.shared.request_timeout;
            self.shared.call(queue.broker(), &address, &back, timeout, operation).await
        })
    }
}
