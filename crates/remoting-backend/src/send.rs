use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ferrocket_backend::{BatchMessage, BodyEncoding, BoxFuture, Outcome, SendKind, SendRequest, Sends, Sent};
use ferrocket_model::{Failure, RecallHandle, SendStatus, system};
use ferrocket_protocol::{
    ResponseCode,
    message::{CompressionKind, SysFlag, push_batch_record},
    request::{SendAnswer, SendForm, SendHeader, SendMessage},
};
use ferrocket_remoting::{CallError, Endpoint, PoolError};

use crate::{
    RemotingBackend,
    backend::{Shared, unknown_broker},
    verdict::{Peer, failure},
};

impl Sends for RemotingBackend {
    fn encode_batch(&self, messages: &[BatchMessage<'_>]) -> Bytes {
        let mut body = BytesMut::new();
        for message in messages {
            push_batch_record(message.flag, message.body, message.properties, &mut body);
        }
        body.freeze()
    }

    fn send<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<Sent>> {
        let shared = &*self.shared;
        // The usual case: the broker is connected and has room. Its future is small, for there are many of them.
        let begun = shared.brokers.to_send(request.queue.broker()).and_then(|endpoint| {
            let answer = endpoint.begin(&message(&request), request.began, request.timeout)?;
            Some((endpoint, answer))
        });
        match begun {
            Some((endpoint, answer)) => Box::pin(async move {
                let error = match answer.await {
                    Ok(answer) => return Ok(sent(answer)),
                    Err(error) => error,
                };
                Box::pin(shared.answered_with(error, request, endpoint)).await
            }),
            None => Box::pin(shared.send_slowly(request)),
        }
    }

    fn send_oneway<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<()>> {
        let shared = &*self.shared;
        let endpoint = shared.brokers.to_send(request.queue.broker());
        if endpoint.is_some_and(|endpoint| endpoint.begin_one_way(&message(&request))) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(async move {
            let address = shared.address_to_send(&request)?;
            let deadline = request.began + request.timeout;
            let handed_over = shared.pool.send_one_way(&address, &message(&request), deadline).await;
            handed_over.map_err(|error| failed(&error, &request, &address))
        })
    }
}

impl Shared {
    /// A broker that goes away is dialed anew.
    async fn answered_with(&self, error: CallError, request: SendRequest<'_>, endpoint: Endpoint) -> Outcome<Sent> {
        match error {
            CallError::Answer { code: ResponseCode::GO_AWAY, .. } => self.send_slowly(request).await,
            error => Err(failed(&error.into(), &request, endpoint.address())),
        }
    }

    /// Dials, or waits for room.
    async fn send_slowly(&self, request: SendRequest<'_>) -> Outcome<Sent> {
        let address = self.address_to_send(&request)?;
        match self.pool.call(&address, &message(&request), request.began + request.timeout).await {
            Ok(answer) => Ok(sent(answer)),
            Err(error) => Err(failed(&error, &request, &address)),
        }
    }

    fn address_to_send(&self, request: &SendRequest<'_>) -> Outcome<Arc<str>> {
        let broker = request.queue.broker();
        self.brokers.master(broker).ok_or_else(|| unknown_broker(broker, operation(request)))
    }
}

fn failed(error: &PoolError, request: &SendRequest<'_>, address: &str) -> Box<Failure> {
    let failure = failure(error, operation(request), Peer::Broker(request.queue.broker(), address));
    Box::new(failure.with_topic(request.queue.topic()))
}

fn operation(request: &SendRequest<'_>) -> String {
    format!("send to topic {}", request.queue.topic())
}

fn message<'a>(request: &SendRequest<'a>) -> SendMessage<'a> {
    let kind = match request.encoding {
        BodyEncoding::Zlib => Some(CompressionKind::Zlib),
        BodyEncoding::Lz4 => Some(CompressionKind::Lz4),
        BodyEncoding::Zstd => Some(CompressionKind::Zstd),
        _ => None,
    };
    let mut sys_flag = kind.map_or(SysFlag::default(), |kind| SysFlag::default().with_compression(kind));
    if request.kind == SendKind::Half {
        sys_flag.0 |= SysFlag::TRANSACTION_PREPARED;
    }
    SendMessage {
        form: match request.kind {
            SendKind::Batch => SendForm::Batch,
            SendKind::Reply => SendForm::Reply,
            _ => SendForm::Message,
        },
        header: SendHeader {
            group: request.group.as_str(),
            topic: request.queue.topic().as_str(),
            default_topic: system::TEMPLATE_TOPIC,
            default_topic_queues: request.new_topic_queues,
            queue_id: i32::try_from(request.queue.id()).unwrap_or(i32::MAX),
            sys_flag: sys_flag.0,
            born_ms: i64::try_from(request.born_ms).unwrap_or(i64::MAX),
            flag: request.flag,
            properties: request.properties,
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: request.kind == SendKind::Batch,
            broker: request.queue.broker().as_str(),
        },
        body: request.body.clone(),
    }
}

fn sent(answer: SendAnswer) -> Sent {
    let status = match answer.code {
        ResponseCode::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
        ResponseCode::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
        ResponseCode::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
        _ => SendStatus::Ok,
    };
    let mut sent = Sent::new(status, answer.queue_id, Some(answer.queue_offset));
    sent.broker_message_id = (!answer.message_id.is_empty()).then_some(answer.message_id);
    sent.transaction_id = answer.transaction_id;
    sent.recall_handle = answer.recall_handle.map(|handle| RecallHandle::from_server(&handle));
    sent
}
