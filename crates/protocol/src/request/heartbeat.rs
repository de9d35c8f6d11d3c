use bytes::Bytes;

use crate::{
    Command, DecodeError, FieldSink, FieldValue, ReadRequest, Request, RequestCode, Response, WriteFields,
    body::HeartbeatData, field,
};

/// Says which groups a client is a member of, and what they subscribe to. To every broker, every 30 s; brokers forget a client
/// after 120 s.
///
/// A success does not mean that the group exists: 5.5.0 answers 0 and does not register the member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "HEART_BEAT")]
pub struct Heartbeat {
    body: Bytes,
}

impl Heartbeat {
    /// Writes the body once; the same bytes go to every broker.
    pub fn new(data: &HeartbeatData) -> Self {
        Self { body: data.to_body() }
    }

    /// Reads what the client says.
    ///
    /// # Errors
    ///
    /// When the body is not the JSON of a heartbeat.
    pub fn data(&self) -> Result<HeartbeatData, DecodeError> {
        HeartbeatData::read(&self.body)
    }
}

impl WriteFields for Heartbeat {
    fn write_fields(&self, _: &mut dyn FieldSink) {}
}

impl Request for Heartbeat {
    const CODE: RequestCode = RequestCode::HEART_BEAT;
    type Response = HeartbeatAnswer;

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl ReadRequest for Heartbeat {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        Ok(Self { body: command.body().clone() })
    }
}

field::header_fields! {
    /// The answer to a [`Heartbeat`]. 4.9 sends no fields.
    pub struct HeartbeatFields {
        /// Whether the broker saw other subscriptions than before.
        opt subscription_changed: bool = "IS_SUB_CHANGE",
        /// Whether light heartbeats are understood.
        opt supports_v2: bool = "IS_SUPPORT_HEART_BEAT_V2",
    }
}

/// The answer to a [`Heartbeat`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatAnswer {
    /// The broker's version number.
    pub version: i32,
    /// Whether light heartbeats are understood.
    pub supports_v2: bool,
    /// Whether the broker saw other subscriptions than before.
    pub subscription_changed: bool,
}

impl Response for HeartbeatAnswer {
    fn read(command: Command) -> Result<Self, DecodeError> {
        let fields = HeartbeatFields::read_fields(&command)?;
        Ok(Self {
            version: command.version,
            supports_v2: fields.supports_v2.unwrap_or(false),
            subscription_changed: fields.subscription_changed.unwrap_or(true),
        })
    }
}

impl WriteFields for HeartbeatAnswer {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        self.subscription_changed.write("IS_SUB_CHANGE", sink);
        self.supports_v2.write("IS_SUPPORT_HEART_BEAT_V2", sink);
    }
}

impl HeartbeatAnswer {
    /// What a 5.x server answers.
    pub fn new(supports_v2: bool, subscription_changed: bool) -> Self {
        Self { version: crate::VERSION, supports_v2, subscription_changed }
    }
}
