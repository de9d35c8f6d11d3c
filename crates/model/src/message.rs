use std::{
    fmt::{self, Display},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    InvalidName, Topic,
    properties::{self, name},
    system,
};

/// A message to send.
///
/// Tags, keys and properties are given as text and kept in wire form. They are checked when the message is sent
/// (or earlier, by [`check`](Self::check)); nothing here panics. Cloning shares the body.
#[derive(Clone)]
#[must_use]
pub struct Message {
    topic: Topic,
    body: Bytes,
    properties: String,
    flag: i32,
    invalid: Option<Box<InvalidMessage>>,
    /// Which system properties are there, so that a send need not look for them.
    noted: Noted,
}

/// Sizes instead of contents: a message is printed with every error that gives it back (S9).
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("tag", &self.tag())
            .field("body_bytes", &self.body.len())
            .field("property_bytes", &self.properties.len())
            .finish_non_exhaustive()
    }
}

/// When the broker hands a message out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryTime {
    /// At once.
    Now,
    /// After the delay of this level; brokers have 18 by default, from 1 s to 2 h.
    Level(u8),
    /// This long after the broker stored it.
    After(Duration),
    /// At this time.
    At(SystemTime),
}

/// Whether there is a blank of any kind; nearly always the bytes say so.
fn has_blank(text: &str) -> bool {
    if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0x0B)
    } else {
        text.contains(char::is_whitespace)
    }
}

/// See [`Message`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Noted {
    wait: bool,
    sharding_key: bool,
    /// There was a delivery time once.
    delivery: bool,
    is_reply: bool,
}

/// What says when a message is handed out.
const DELIVERY: [&str; 4] = [name::DELAY, name::TIMER_DELAY_SEC, name::TIMER_DELAY_MS, name::TIMER_DELIVER_MS];

/// What is wrong with a message. The limits are those of the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The topic's name (PRO-VAL-06 to 08).
    Topic(InvalidName),
    /// Brokers refuse sends to this topic (PRO-VAL-09).
    ForbiddenTopic,
    /// The body is empty (PRO-VAL-11); brokers of 5.x answer such a send with an internal error.
    EmptyBody,
    /// The body is larger than allowed (PRO-VAL-12).
    BodyTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A property cannot be sent (PRO-VAL-30).
    Property {
        /// Its name.
        name: String,
        /// Why.
        problem: &'static str,
    },
    /// All properties together do not fit their 16-bit length.
    PropertiesTooLong {
        /// Their size in wire form.
        bytes: usize,
    },
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(invalid) => write!(f, "the topic's name cannot be used: {invalid}"),
            Self::ForbiddenTopic => f.write_str("this topic belongs to the servers; sending to it is forbidden"),
            Self::EmptyBody => f.write_str("the body is empty; send at least one byte"),
            Self::BodyTooLarge { bytes, limit } => {
                write!(f, "the body has {bytes} bytes, and at most {limit} are allowed (`max_message_bytes`)")
            }
            Self::Property { name, problem } => write!(f, "property {name:?}: {problem}"),
            Self::PropertiesTooLong { bytes } => write!(
                f,
                "tag, keys and properties take {bytes} bytes on the wire, and at most {} are allowed",
                properties::MAX_BYTES
            ),
        }
    }
}

impl std::error::Error for InvalidMessage {}

impl Message {
    /// A message for a topic.
    pub fn new(topic: impl Into<Topic>, body: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            body: body.into(),
            properties: String::new(),
            flag: 0,
            invalid: None,
            noted: Noted::default(),
        }
    }

    /// The one tag, by which consumers may filter. No blanks around it, no `||`.
    #[doc(alias = "setTags")]
    pub fn with_tag(mut self, tag: impl Display) -> Self {
        let tag = tag.to_string();
        if tag.trim().is_empty() {
            self.reject(name::TAGS, "a tag must not be blank");
        } else if tag.trim() != tag || tag.contains("||") {
            self.reject(name::TAGS, "a tag has no blanks around it and no \"||\"; no subscription could name it");
        } else {
            self.put(name::TAGS, &tag);
        }
        self
    }

    /// A business key, by which messages can be found later. May be called several times. No blanks: the wire separates
    /// keys by them.
    #[doc(alias = "setKeys")]
    pub fn with_key(mut self, key: impl Display) -> Self {
        let key = key.to_string();
        if key.is_empty() {
            self.reject(name::KEYS, "a key must not be empty");
        } else if has_blank(&key) {
            self.reject(name::KEYS, "a key must not contain blanks, because the wire separates keys by them");
        } else {
            match properties::find(&self.properties, name::KEYS) {
                Some(keys) => {
                    let keys = format!("{keys} {key}");
                    self.put(name::KEYS, &keys);
                }
                None => self.put(name::KEYS, &key),
            }
        }
        self
    }

    /// A property of your own. Names that servers and clients use themselves are refused.
    #[doc(alias = "putUserProperty")]
    pub fn with_property(mut self, name: impl Display, value: impl Display) -> Self {
        self.set_property(name, value);
        self
    }

    /// Messages with the same key go to the same queue: Java's string hash modulo the number of queues, so that mixed
    /// fleets agree.
    #[doc(alias = "messageGroup")]
    pub fn with_sharding_key(mut self, key: impl Display) -> Self {
        let key = key.to_string();
        if key.trim().is_empty() {
            self.reject(name::SHARDING_KEY, "a sharding key must not be blank");
        } else {
            self.put(name::SHARDING_KEY, &key);
        }
        self
    }

    /// Delivers after the delay of this level: 1 is the shortest; brokers cut what is above their last. Replaces an earlier
    /// delivery time.
    #[doc(alias = "setDelayTimeLevel")]
    pub fn with_delay_level(mut self, level: u8) -> Self {
        self.clear_delivery();
        if level == 0 {
            self.reject(name::DELAY, "delay levels begin at 1");
        } else {
            self.put(name::DELAY, &level.to_string());
        }
        self
    }

    /// Delivers this long after the broker stored it, to the second. Replaces an earlier delivery time. Needs a 5.x broker;
    /// 4.9 delivers at once.
    #[doc(alias = "setDelayTimeMs")]
    #[doc(alias = "setDelayTimeSec")]
    pub fn deliver_after(mut self, delay: Duration) -> Self {
        self.clear_delivery();
        self.put(name::TIMER_DELAY_MS, &delay.as_millis().to_string());
        self
    }

    /// Delivers at this time, to the second. Replaces an earlier delivery time. Needs a 5.x broker; 4.9 delivers at once.
    #[doc(alias = "setDeliverTimeMs")]
    pub fn deliver_at(mut self, time: SystemTime) -> Self {
        self.clear_delivery();
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.put(name::TIMER_DELIVER_MS, &time.to_string());
        self
    }

    /// Whether the broker answers only when the message is as safe as the broker is configured to make it. Default: true.
    #[doc(alias = "setWaitStoreMsgOK")]
    pub fn with_wait_for_store(mut self, wait: bool) -> Self {
        self.put(name::WAIT, if wait { "true" } else { "false" });
        self
    }

    /// A number that travels with the message and means nothing to servers. Default: 0.
    #[doc(alias = "setFlag")]
    pub fn with_flag(mut self, flag: i32) -> Self {
        self.flag = flag;
        self
    }

    /// As [`with_property`](Self::with_property), for interceptors.
    pub fn set_property(&mut self, name: impl Display, value: impl Display) {
        let (name, value) = (name.to_string(), value.to_string());
        if name.trim().is_empty() || value.trim().is_empty() {
            self.reject(&name, "name and value must not be blank");
        } else if properties::is_reserved(&name) {
            self.reject(&name, "this name is used by the system; choose another one");
        } else {
            self.put(&name, &value);
        }
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The body as given, never compressed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.property(name::TAGS)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.property(name::KEYS).unwrap_or_default().split(' ').filter(|key| !key.is_empty())
    }

    /// One property, a system one too.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::find(&self.properties, name)
    }

    /// All properties, system ones too.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::pairs(&self.properties)
    }

    /// The sharding key.
    pub fn sharding_key(&self) -> Option<&str> {
        if self.noted.sharding_key { self.property(name::SHARDING_KEY) } else { None }
    }

    /// The user flag.
    pub fn flag(&self) -> i32 {
        self.flag
    }

    /// Whether the broker answers only when the message is safe.
    pub fn waits_for_store(&self) -> bool {
        !self.says_whether_to_wait() || self.property(name::WAIT) != Some("false")
    }

    /// Whether [`with_wait_for_store`](Self::with_wait_for_store) was called.
    #[doc(hidden)]
    pub fn says_whether_to_wait(&self) -> bool {
        self.noted.wait
    }

    /// When the broker hands it out.
    pub fn delivery(&self) -> DeliveryTime {
        if !self.noted.delivery {
            return DeliveryTime::Now;
        }
        let number = |name| self.property(name).and_then(|value| value.parse::<u64>().ok());
        if let Some(level) = number(name::DELAY) {
            DeliveryTime::Level(level.try_into().unwrap_or(u8::MAX))
        } else if let Some(seconds) = number(name::TIMER_DELAY_SEC) {
            DeliveryTime::After(Duration::from_secs(seconds))
        } else if let Some(ms) = number(name::TIMER_DELAY_MS) {
            DeliveryTime::After(Duration::from_millis(ms))
        } else if let Some(ms) = number(name::TIMER_DELIVER_MS) {
            DeliveryTime::At(UNIX_EPOCH + Duration::from_millis(ms))
        } else {
            DeliveryTime::Now
        }
    }

    /// What brokers would refuse, and what they would take and then lose. `send` calls this; call it yourself to find
    /// mistakes earlier.
    ///
    /// # Errors
    ///
    /// The first mistake found. The size of the body is checked by the producer, which knows the limit.
    #[doc(alias = "Validators")]
    pub fn check(&self) -> Result<(), InvalidMessage> {
        self.topic.check().map_err(InvalidMessage::Topic)?;
        if system::is_send_forbidden(self.topic.as_str()) {
            return Err(InvalidMessage::ForbiddenTopic);
        }
        if self.body.is_empty() {
            return Err(InvalidMessage::EmptyBody);
        }
        if let Some(invalid) = &self.invalid {
            return Err((**invalid).clone());
        }
        if self.properties.len() > properties::MAX_BYTES {
            return Err(InvalidMessage::PropertiesTooLong { bytes: self.properties.len() });
        }
        Ok(())
    }

    /// Whether this replies to a request.
    #[doc(hidden)]
    pub fn is_reply(&self) -> bool {
        self.noted.is_reply
    }

    /// The properties in wire form.
    #[doc(hidden)]
    pub fn wire_properties(&self) -> &str {
        &self.properties
    }

    /// Sets a property that users may not set. For producers and trace.
    #[doc(hidden)]
    pub fn set_system_property(&mut self, name: &str, value: &str) {
        self.put(name, value);
    }

    fn put(&mut self, name: &str, value: &str) {
        if name == name::INNER_MULTI_DISPATCH && value.contains('/') {
            self.reject(name, "names of light message queues must not contain '/'");
        } else if properties::is_clean(name) && properties::is_clean(value) {
            properties::set(&mut self.properties, name, value);
            self.noted.wait |= name == name::WAIT;
            self.noted.sharding_key |= name == name::SHARDING_KEY;
            self.noted.delivery |= DELIVERY.contains(&name);
            self.noted.is_reply |= name == name::MSG_TYPE && value == "reply";
        } else {
            self.reject(name, "the characters U+0001 and U+0002 separate properties on the wire");
        }
    }

    fn reject(&mut self, name: &str, problem: &'static str) {
        if self.invalid.is_none() {
            let name = name.chars().take(64).collect();
            self.invalid = Some(Box::new(InvalidMessage::Property { name, problem }));
        }
    }

    fn clear_delivery(&mut self) {
        for name in DELIVERY {
            properties::remove(&mut self.properties, name);
        }
    }
}
