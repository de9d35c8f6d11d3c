use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ferrocket_backend::{BatchMessage, BodyEncoding, BoxFuture, Outcome, Probed, SendKind, SendRequest, Sends, Sent};
use ferrocket_model::{
    BrokerName, Failure, Group, RecallHandle, SendStatus, Topic, TraceHint,
    properties::{self, name},
    system,
};
use ferrocket_protocol::{
    ResponseCode,
    message::{CompressionKind, SysFlag, push_batch_record},
    request::{SendAnswer, SendForm, SendHeader, SendMessage},
};
use ferrocket_remoting::{CallError, PoolError};
use tokio::time::Instant;

use crate::{
    RemotingBackend,
    backend::{Shared, unknown_broker},
    verdict::{Peer, failure},
};

impl Sends for RemotingBackend {
    /// A connection is proof enough; one that has gone silent ends by itself.
    fn probe<'a>(&'a self, broker: &'a BrokerName, timeout: Duration) -> BoxFuture<'a, Probed> {
        Box::pin(async move {
            let Some(endpoint) = self.shared.brokers.to_send(broker) else { return Probed::Unknown };
            match self.shared.pool.connection(endpoint.address(), Instant::now() + timeout).await {
                Ok(_) => Probed::Reachable,
                Err(_) => Probed::Unreachable,
            }
        })
    }

    /// In a namespace of the first kind: its name, and once more before the group of a half message.
    fn added_property_bytes(&self) -> usize {
        self.shared.names.namespace().map_or(0, |namespace| name::INSTANCE_ID.len() + 2 * namespace.len() + 3)
    }

    fn encode_batch(&self, messages: &[BatchMessage<'_>]) -> Bytes {
        // Room for what frames a record, and for the namespace; without it a large body is copied again and again as it grows.
        let bytes = messages.iter().map(|message| message.body.len() + message.properties.len() + 64).sum();
        let mut body = BytesMut::with_capacity(bytes);
        for message in messages {
            let mut properties = Cow::Borrowed(message.properties);
            if let Some(namespace) = self.shared.names.namespace() {
                properties::push(properties.to_mut(), name::INSTANCE_ID, namespace);
            }
            push_batch_record(message.flag, message.body, &properties, &mut body);
        }
        body.freeze()
    }

    fn send<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<Sent>> {
        let shared = &*self.shared;
        // The usual case: the broker is connected and has room. Its future is small, for there are many of them.
        let begun = shared.brokers.with_endpoint(request.queue.broker(), |endpoint| {
            shared.with_message(&request, |message| endpoint.begin(message, request.began, request.timeout))
        });
        match begun {
            Some(mut answer) => Box::pin(async move {
                let error = match (&mut answer).await {
                    Ok(answer) => return Ok(sent(answer)),
                    Err(error) => error,
                };
                Box::pin(shared.answered_with(error, request, answer.address())).await
            }),
            None => Box::pin(shared.send_slowly(request)),
        }
    }

    fn begin_oneway(&self, request: &SendRequest<'_>) -> bool {
        let shared = &*self.shared;
        let begun = shared.brokers.with_endpoint(request.queue.broker(), |endpoint| {
            shared.with_message(request, |message| endpoint.begin_one_way(message)).then_some(())
        });
        begun.is_some()
    }

    fn send_oneway<'a>(&'a self, request: SendRequest<'a>) -> BoxFuture<'a, Outcome<()>> {
        let shared = &*self.shared;
        Box::pin(async move {
            let address = shared.address_to_send(&request)?;
            let deadline = request.began + request.timeout;
            let wire = Wire::new(shared, &request);
            let handed_over = shared.pool.send_one_way(&address, &wire.message(shared, &request), deadline).await;
            handed_over.map_err(|error| failed(&error, &request, &address))
        })
    }
}

impl Shared {
    /// A broker that goes away is dialed anew.
    async fn answered_with(&self, error: CallError, request: SendRequest<'_>, address: &str) -> Outcome<Sent> {
        match error {
            CallError::Answer { code: ResponseCode::GO_AWAY, .. } => self.send_anew(request).await,
            error => Err(failed(&error.into(), &request, address)),
        }
    }

    /// Once more, over a new connection. A second GO_AWAY is an answer.
    async fn send_anew(&self, request: SendRequest<'_>) -> Outcome<Sent> {
        let address = self.address_to_send(&request)?;
        let deadline = request.began + request.timeout;
        let connection = match self.pool.connection(&address, deadline).await {
            Ok(connection) => connection,
            Err(error) => return Err(failed(&error, &request, &address)),
        };
        let wire = Wire::new(self, &request);
        let left = deadline.saturating_duration_since(Instant::now());
        match connection.call(&wire.message(self, &request), left).await {
            Ok(answer) => Ok(sent(answer)),
            Err(error) => Err(failed(&error.into(), &request, &address)),
        }
    }

    /// Dials, or waits for room.
    async fn send_slowly(&self, request: SendRequest<'_>) -> Outcome<Sent> {
        let address = self.address_to_send(&request)?;
        let wire = Wire::new(self, &request);
        match self.pool.call(&address, &wire.message(self, &request), request.began + request.timeout).await {
            Ok(answer) => Ok(sent(answer)),
            Err(error) => Err(failed(&error, &request, &address)),
        }
    }

    fn address_to_send(&self, request: &SendRequest<'_>) -> Outcome<Arc<str>> {
        let broker = request.queue.broker();
        let endpoint = self.brokers.to_send(broker);
        let address = endpoint.map(|endpoint| Arc::from(endpoint.address())).or_else(|| self.brokers.master(broker));
        address.ok_or_else(|| unknown_broker(broker, operation(request)))
    }

    /// Shows the message as it goes on the wire.
    fn with_message<T>(&self, request: &SendRequest<'_>, show: impl FnOnce(&SendMessage<'_>) -> T) -> T {
        let wire = Wire::new(self, request);
        show(&wire.message(self, request))
    }
}

/// What of a message is different on the wire, in a namespace of the first kind.
struct Wire<'a> {
    group: Cow<'a, Group>,
    topic: Cow<'a, Topic>,
    properties: Cow<'a, str>,
}

impl<'a> Wire<'a> {
    fn new(shared: &Shared, request: &SendRequest<'a>) -> Self {
        let mut properties = Cow::Borrowed(request.properties);
        if let Some(namespace) = shared.names.namespace() {
            properties::push(properties.to_mut(), name::INSTANCE_ID, namespace);
            if request.kind == SendKind::Half {
                let group = shared.names.group(request.group);
                properties::set(properties.to_mut(), name::PGROUP, group.as_str());
            }
        }
        Self { group: shared.names.group(request.group), topic: shared.names.topic(request.queue.topic()), properties }
    }

    fn message<'b>(&'b self, shared: &Shared, request: &SendRequest<'b>) -> SendMessage<'b> {
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
                group: self.group.as_str(),
                topic: self.topic.as_str(),
                default_topic: system::TEMPLATE_TOPIC,
                default_topic_queues: request.new_topic_queues,
                queue_id: i32::try_from(request.queue.id()).unwrap_or(i32::MAX),
                sys_flag: sys_flag.0,
                born_ms: i64::try_from(request.born_ms).unwrap_or(i64::MAX),
                flag: request.flag,
                properties: &self.properties,
                reconsume_times: 0,
                unit_mode: shared.unit_mode,
                max_reconsume_times: None,
                batch: request.kind == SendKind::Batch,
                broker: request.queue.broker().as_str(),
            },
            body: request.body.clone(),
        }
    }
}

fn failed(error: &PoolError, request: &SendRequest<'_>, address: &str) -> Box<Failure> {
    let failure = failure(error, operation(request), Peer::Broker(request.queue.broker(), address));
    Box::new(failure.with_topic(request.queue.topic()))
}

fn operation(request: &SendRequest<'_>) -> String {
    format!("send to topic {}", request.queue.topic())
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
    sent.trace = answer.trace.map(|trace| Box::new(TraceHint { region: trace.region, is_on: trace.is_on }));
    sent.recall_handle = answer.recall_handle.map(|handle| RecallHandle::from_server(&handle));
    sent
}
