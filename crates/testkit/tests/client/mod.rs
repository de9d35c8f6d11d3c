//! A client in a hundred lines: one request at a time, frames by hand.
#![allow(dead_code, reason = "every test binary uses its part")]

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use ferrocket_model::Filter;
use ferrocket_protocol::{
    Command, Frame, HeaderFormat, Request, RequestHead, Response, ResponseCode,
    body::{ConsumerData, HeartbeatData, ProducerData, SubscriptionData},
    encode_request, limits,
    message::{StoredMessage, StoredMessages},
    request::{Heartbeat, Pull, PullAnswer, PullFlags, PullHeader, SendAnswer, SendForm, SendHeader, SendMessage},
};
use ferrocket_testkit::TestCluster;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    opaque: i32,
    /// How many notifications came while an answer was awaited.
    pub(crate) passed_over: usize,
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

impl Client {
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new(), opaque: 0, passed_over: 0 }
    }

    pub(crate) async fn to(cluster: &TestCluster, address: &str) -> Self {
        Self::over(cluster.connector().connect(address).await.expect("somebody listens"))
    }

    pub(crate) async fn to_broker(cluster: &TestCluster) -> Self {
        Self::to(cluster, &cluster.broker("broker-0").address()).await
    }

    pub(crate) async fn write<R: Request>(&mut self, request: &R) -> i32 {
        self.opaque += 1;
        let head = RequestHead::new(self.opaque, HeaderFormat::Json);
        let mut out = BytesMut::new();
        let encoded = encode_request(request, &head, &[], &mut out).expect("it fits");
        out.extend_from_slice(&encoded.body.unwrap_or_default());
        self.write_raw(&out).await;
        self.opaque
    }

    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the connection is open");
    }

    /// The next frame, soon; `None` when the server closed.
    pub(crate) async fn read(&mut self) -> Option<Command> {
        soon(self.next()).await
    }

    /// The next frame, whenever it comes.
    pub(crate) async fn next(&mut self) -> Option<Command> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.buffer, limits::MAX_FRAME_BYTES).expect("a frame") {
                return Some(Command::read(frame).expect("a header"));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// What was read of a frame that is not whole.
    pub(crate) fn left_over(&self) -> &[u8] {
        &self.buffer
    }

    /// The answer to a request; notifications before it are passed over.
    pub(crate) async fn answer<R: Request>(&mut self, request: &R) -> Option<Command> {
        let opaque = self.write(request).await;
        loop {
            let command = self.read().await?;
            if command.is_response() && command.opaque == opaque {
                return Some(command);
            }
            self.passed_over += 1;
        }
    }

    /// The answer to a request whose header is written by hand; notifications before it are passed over.
    pub(crate) async fn ask_by_hand(&mut self, code: &Value, fields: &Value, body: &str) -> Command {
        self.opaque += 1;
        let mut header = json!({ "code": code, "flag": 0, "language": "JAVA", "opaque": self.opaque, "version": 513 });
        if fields.is_object() {
            header["extFields"] = fields.clone();
        }
        let header = header.to_string();
        let mut frame = BytesMut::new();
        frame.put_u32((4 + header.len() + body.len()) as u32);
        frame.put_u32(header.len() as u32);
        frame.put_slice(header.as_bytes());
        frame.put_slice(body.as_bytes());
        self.write_raw(&frame).await;
        loop {
            let command = self.read().await.expect("an answer");
            if command.is_response() {
                return command;
            }
        }
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ResponseCode> {
        let answer = self.answer(request).await.expect("an answer");
        match answer.response_code() {
            code if R::Response::CODES.contains(&code) => Ok(R::Response::read(answer).expect("a readable answer")),
            code => Err(code),
        }
    }

    pub(crate) async fn send(
        &mut self,
        topic: &str,
        queue: i32,
        tag: &str,
        body: &str,
    ) -> Result<SendAnswer, ResponseCode> {
        let properties = format!("TAGS\u{1}{tag}\u{2}UNIQ_KEY\u{1}KEY-{body}\u{2}");
        self.call(&send_request(topic, queue, &properties, body)).await
    }

    /// Joins a group that wants these tags of a topic.
    pub(crate) async fn join(&mut self, id: &str, group: &str, topic: &str, tags: &str) {
        let retry = format!("%RETRY%{group}");
        let subscription_data_set = vec![
            SubscriptionData::new(topic, &Filter::from(tags), 1),
            SubscriptionData::new(&retry, &Filter::all(), 1),
        ];
        let consumer = ConsumerData { group_name: group.into(), subscription_data_set, ..Default::default() };
        let beat = HeartbeatData { client_id: id.into(), consumer_data_set: vec![consumer], ..Default::default() };
        let answer = self.call(&Heartbeat::new(&beat)).await.expect("a heartbeat is answered");
        assert!(answer.supports_v2);
    }

    /// Registers as a producer of a group.
    pub(crate) async fn announce(&mut self, id: &str, group: &str) {
        let producer_data_set = vec![ProducerData { group_name: group.into() }];
        let beat = HeartbeatData { client_id: id.into(), producer_data_set, ..Default::default() };
        self.call(&Heartbeat::new(&beat)).await.expect("a heartbeat is answered");
    }

    pub(crate) async fn pull(&mut self, group: &str, topic: &str, offset: u64) -> Result<PullAnswer, ResponseCode> {
        self.call(&pull_request(group, topic, offset)).await
    }
}

pub(crate) fn send_request<'a>(topic: &'a str, queue_id: i32, properties: &'a str, body: &str) -> SendMessage<'a> {
    let header = SendHeader {
        group: "producers",
        topic,
        default_topic: "TBW102",
        default_topic_queues: 4,
        queue_id,
        sys_flag: 0,
        born_ms: 1_700_000_000_000,
        flag: 0,
        properties,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
        broker: "broker-0",
    };
    SendMessage { form: SendForm::Message, header, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// Of queue 0, with the subscription of the heartbeat, without waiting.
pub(crate) fn pull_request(group: &str, topic: &str, offset: u64) -> Pull {
    Pull(PullHeader::new(0u64, group, 32u32, 0u32, offset, 1i64, 0u64, 0, topic))
}

/// Of queue 0, and the broker may wait.
pub(crate) fn long_pull(group: &str, topic: &str, offset: u64, suspend: Duration) -> Pull {
    let Pull(mut header) = pull_request(group, topic, offset);
    header.sys_flag |= PullFlags::SUSPEND;
    header.suspend_ms = suspend.as_millis() as u64;
    Pull(header)
}

pub(crate) fn messages(answer: &PullAnswer) -> Vec<StoredMessage<'_>> {
    StoredMessages::new(&answer.messages).map(|message| message.expect("a readable record")).collect()
}

pub(crate) fn bodies(answer: &PullAnswer) -> Vec<String> {
    messages(answer).iter().map(|message| String::from_utf8_lossy(message.body).into_owned()).collect()
}

pub(crate) async fn in_memory() -> TestCluster {
    TestCluster::builder().in_memory().topic("Orders", 2).start().await.expect("it starts")
}
