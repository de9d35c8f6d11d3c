use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    Message, MessageId, MessageQueue, OffsetId, Revocation, Topic,
    properties::{self, name},
};

/// A message that came from a broker: a view into the buffer it came in.
///
/// Cheap to clone; properties are parsed when asked for. A message keeps its whole receive buffer alive: call
/// [`detach`](Self::detach) on what you keep for long.
#[derive(Clone)]
#[doc(alias = "MessageExt")]
pub struct ReceivedMessage {
    topic: Topic,
    body: Bytes,
    properties: Bytes,
    id: OnceLock<MessageId>,
    broker_id: OnceLock<Option<Box<str>>>,
    source: Arc<Source>,
    facts: Facts,
    defect: Option<Arc<str>>,
}

/// Where messages of one ownership of one queue come from. One of these is shared by all of them.
#[doc(hidden)]
#[derive(Debug)]
pub struct Source {
    pub queue: MessageQueue,
    pub revocation: Revocation,
}

impl Source {
    /// A queue that nobody can take away.
    pub fn of(queue: MessageQueue) -> Arc<Self> {
        Arc::new(Self { queue, revocation: Revocation::new() })
    }
}

#[derive(Clone, Copy, Debug)]
struct Facts {
    offset: u64,
    commit_log_offset: i64,
    born_ms: u64,
    stored_ms: u64,
    born_host: Option<SocketAddr>,
    store_host: Option<SocketAddr>,
    flag: i32,
    reconsume_times: u32,
    wire_bytes: u32,
}

/// What a [`ReceivedMessage`] is made of. For transports.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct ReceivedParts {
    pub topic: Topic,
    /// Decompressed.
    pub body: Bytes,
    /// Wire form, UTF-8.
    pub properties: Bytes,
    pub source: Arc<Source>,
    pub offset: u64,
    pub commit_log_offset: i64,
    pub born_ms: u64,
    pub stored_ms: u64,
    pub born_host: Option<SocketAddr>,
    pub store_host: Option<SocketAddr>,
    pub flag: i32,
    pub reconsume_times: u32,
    /// What the record took on the wire.
    pub wire_bytes: u32,
    /// Why the body cannot be read: a wrong checksum, a compression that does not work out.
    pub defect: Option<Arc<str>>,
}

impl From<ReceivedParts> for ReceivedMessage {
    fn from(parts: ReceivedParts) -> Self {
        Self {
            topic: parts.topic,
            body: parts.body,
            properties: parts.properties,
            id: OnceLock::new(),
            broker_id: OnceLock::new(),
            source: parts.source,
            facts: Facts {
                offset: parts.offset,
                commit_log_offset: parts.commit_log_offset,
                born_ms: parts.born_ms,
                stored_ms: parts.stored_ms,
                born_host: parts.born_host,
                store_host: parts.store_host,
                flag: parts.flag,
                reconsume_times: parts.reconsume_times,
                wire_bytes: parts.wire_bytes,
            },
            defect: parts.defect,
        }
    }
}

impl ReceivedMessage {
    /// The topic it was sent to; for a retried message the original one.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The body, decompressed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body alone.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// A copy that keeps no receive buffer alive.
    pub fn detach(mut self) -> Self {
        self.body = Bytes::copy_from_slice(&self.body);
        self.properties = Bytes::copy_from_slice(&self.properties);
        self
    }

    /// The id that the sender gave it, the same over all retries; the broker's id where the sender gave none.
    #[doc(alias = "getMsgId")]
    pub fn id(&self) -> &MessageId {
        self.id.get_or_init(|| match self.property(name::UNIQ_KEY) {
            Some(id) => id.into(),
            None => self.broker_message_id().unwrap_or_default().into(),
        })
    }

    /// The broker's id: its address and commit log offset.
    #[doc(alias = "offsetMsgId")]
    pub fn broker_message_id(&self) -> Option<&str> {
        let make = || {
            let host = self.facts.store_host?;
            let (ip, port) = (host.ip(), u32::from(host.port()));
            let id = OffsetId { ip, port, commit_log_offset: self.facts.commit_log_offset };
            Some(id.to_string().into_boxed_str())
        };
        self.broker_id.get_or_init(make).as_deref()
    }

    /// The tag.
    #[doc(alias = "getTags")]
    pub fn tag(&self) -> Option<&str> {
        self.property(name::TAGS)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.property(name::KEYS).unwrap_or_default().split(' ').filter(|key| !key.is_empty())
    }

    /// One property, a system one too.
    #[doc(alias = "getUserProperty")]
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::find(self.property_text(), name)
    }

    /// All properties, system ones too.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::pairs(self.property_text())
    }

    /// The sharding key.
    pub fn sharding_key(&self) -> Option<&str> {
        self.property(name::SHARDING_KEY)
    }

    /// The queue it came from; for a retried message one of the group's retry topic.
    pub fn queue(&self) -> &MessageQueue {
        &self.source.queue
    }

    /// Its offset in that queue.
    #[doc(alias = "queueOffset")]
    pub fn offset(&self) -> u64 {
        self.facts.offset
    }

    /// Which delivery this is: 1 at the first.
    #[doc(alias = "getReconsumeTimes")]
    pub fn attempt(&self) -> u32 {
        self.facts.reconsume_times.saturating_add(1)
    }

    /// When the sender made it, by the sender's clock.
    pub fn born_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.facts.born_ms)
    }

    /// When the broker stored it, by the broker's clock.
    pub fn stored_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.facts.stored_ms)
    }

    /// How long ago the broker stored it, by this machine's clock; zero when the clocks disagree.
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.stored_at()).unwrap_or_default()
    }

    /// The sender's address as the broker saw it.
    pub fn born_host(&self) -> Option<SocketAddr> {
        self.facts.born_host
    }

    /// The broker's address.
    pub fn store_host(&self) -> Option<SocketAddr> {
        self.facts.store_host
    }

    /// The transaction it belonged to.
    pub fn transaction_id(&self) -> Option<&str> {
        self.property(name::TRANSACTION_ID).or_else(|| {
            self.property(name::TRAN_MSG).filter(|value| *value == "true").and(self.property(name::UNIQ_KEY))
        })
    }

    /// The user flag.
    pub fn flag(&self) -> i32 {
        self.facts.flag
    }

    /// Whether the queue went to another member, or the consumer ends: a long handler should stop.
    pub fn is_revoked(&self) -> bool {
        self.source.revocation.is_revoked()
    }

    /// The answer to this message, if it is a request.
    ///
    /// # Errors
    ///
    /// [`NotARequest`] when the message names nobody to reply to.
    #[doc(alias = "createReplyMessage")]
    pub fn reply(&self, body: impl Into<Bytes>) -> Result<Message, NotARequest> {
        let cluster = self.property(name::CLUSTER).ok_or(NotARequest)?;
        let client = self.property(name::REPLY_TO_CLIENT).ok_or(NotARequest)?;
        let correlation = self.property(name::CORRELATION_ID).ok_or(NotARequest)?;
        let mut reply = Message::new(format!("{cluster}_REPLY_TOPIC"), body);
        reply.set_system_property(name::MSG_TYPE, "reply");
        reply.set_system_property(name::CORRELATION_ID, correlation);
        reply.set_system_property(name::REPLY_TO_CLIENT, client);
        if let Some(ttl) = self.property(name::TTL) {
            reply.set_system_property(name::TTL, ttl);
        }
        Ok(reply)
    }

    /// A message with the same body, tag, keys and user properties, to forward. It gets an id of its own.
    pub fn to_message(&self, topic: impl Into<Topic>) -> Message {
        let mut copy = Message::new(topic, self.body.clone()).with_flag(self.facts.flag);
        for (name, value) in self.properties() {
            let ours = matches!(name, name::TAGS | name::KEYS | name::SHARDING_KEY);
            let theirs = properties::is_reserved(name) || name.starts_with("__") || name == "TRANSACTION_CHECK_TIMES";
            if ours || !theirs {
                copy.set_system_property(name, value);
            }
        }
        copy
    }

    /// Where it is in the broker's commit log. For send-back.
    #[doc(hidden)]
    pub fn commit_log_offset(&self) -> i64 {
        self.facts.commit_log_offset
    }

    /// What the record took on the wire. For flow control.
    #[doc(hidden)]
    pub fn wire_bytes(&self) -> usize {
        self.facts.wire_bytes as usize
    }

    /// Why the body cannot be read. Such a message never reaches a listener.
    #[doc(hidden)]
    pub fn defect(&self) -> Option<&str> {
        self.defect.as_deref()
    }

    /// Another topic, for namespaces and for messages of a retry topic.
    #[doc(hidden)]
    pub fn with_topic(mut self, topic: Topic) -> Self {
        self.topic = topic;
        self
    }

    /// As another delivery of it, for messages that are delivered again without the broker.
    #[doc(hidden)]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.facts.reconsume_times = attempt.saturating_sub(1);
        self
    }

    fn property_text(&self) -> &str {
        // Transports hand over valid UTF-8, so this shows text; it never hides a message.
        std::str::from_utf8(&self.properties).unwrap_or_default()
    }
}

impl fmt::Debug for ReceivedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedMessage")
            .field("topic", &self.topic)
            .field("id", self.id())
            .field("queue", self.queue())
            .field("offset", &self.offset())
            .field("attempt", &self.attempt())
            .field("tag", &self.tag())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The message has no reply address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotARequest;

impl fmt::Display for NotARequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message carries no reply address")
    }
}

impl std::error::Error for NotARequest {}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    message: ReceivedMessage,
}

impl Reply {
    #[doc(hidden)]
    pub fn from_message(message: ReceivedMessage) -> Self {
        Self { message }
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        self.message.body()
    }

    /// The body alone.
    pub fn into_body(self) -> Bytes {
        self.message.into_body()
    }

    /// One property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.message.property(name)
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.message.tag()
    }
}
