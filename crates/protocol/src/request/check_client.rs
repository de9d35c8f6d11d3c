use bytes::Bytes;

use crate::{
    Command, DecodeError, FieldSink, ReadRequest, Request, RequestCode, WriteFields,
    body::{self, CheckClientData},
};

/// Asks a broker whether it can do what a subscription wants, before the consumer starts. Only SQL92 needs it: a broker may
/// have such filters switched off (`SYSTEM_ERROR`), or not be able to compile this one (`SUBSCRIPTION_PARSE_FAILED`, with the
/// reason as remark).
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "CHECK_CLIENT_CONFIG")]
pub struct CheckClient {
    body: Bytes,
}

impl CheckClient {
    /// Asks for this client and subscription.
    pub fn new(data: &CheckClientData) -> Self {
        Self { body: body::write(data) }
    }

    /// Reads who asks, and about what.
    ///
    /// # Errors
    ///
    /// When the body is not the JSON of such a request.
    pub fn data(&self) -> Result<CheckClientData, DecodeError> {
        body::read(&self.body)
    }
}

impl WriteFields for CheckClient {
    fn write_fields(&self, _: &mut dyn FieldSink) {}
}

impl Request for CheckClient {
    const CODE: RequestCode = RequestCode::CHECK_CLIENT_CONFIG;
    type Response = ();

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl ReadRequest for CheckClient {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        Ok(Self { body: command.body().clone() })
    }
}
