use ferrocket_backend::{BodyEncoding, BoxFuture, Outcome, SendRequest, Sends, Sent};
use ferrocket_model::{RecallHandle, SendStatus, system};
use ferrocket_protocol::{
    ResponseCode,
    message::{CompressionKind, SysFlag},
    request::{SendAnswer, SendHeader, SendMessage},
};
use tokio::time::Instant;

use crate::{
    RemotingBackend,
    backend::unknown_broker,
    verdict::{Peer, failure},
};

impl Sends for RemotingBackend {
    fn send<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<Sent>> {
        Box::pin(async move {
            let broker = request.queue.broker();
            let Some(address) = self.shared.brokers.master(broker) else {
                return Err(unknown_broker(broker, operation(&request)));
            };
            let deadline = Instant::now() + request.timeout;
            match self.shared.pool.call(&address, &message(&request), deadline).await {
                Ok(answer) => Ok(sent(answer)),
                Err(error) => {
                    let failure = failure(&error, operation(&request), Peer::Broker(broker, &address));
                    Err(Box::new(failure.with_topic(request.queue.topic())))
                }
            }
        })
    }

    fn send_oneway<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let broker = request.queue.broker();
            let Some(address) = self.shared.brokers.master(broker) else {
                return Err(unknown_broker(broker, operation(&request)));
            };
            let deadline = Instant::now() + request.timeout;
            let handed_over = self.shared.pool.send_one_way(&address, &message(&request), deadline).await;
            handed_over.map_err(|error| {
                let failure = failure(&error, operation(&request), Peer::Broker(broker, &address));
                Box::new(failure.with_topic(request.queue.topic()))
            })
        })
    }
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
    let sys_flag = kind.map_or(SysFlag::default(), |kind| SysFlag::default().with_compression(kind));
    SendMessage {
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
            batch: false,
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
