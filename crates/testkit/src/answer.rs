use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{
    DecodeError, FieldSink, HeaderFormat, NoFields, ResponseCode, WriteFields, encode_response, request::OffsetAnswer,
};
use futures_core::future::BoxFuture;

const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

/// The remark of handlers that set none.
pub(crate) const NO_CODE: &str = "not set any response code";

/// What a request is answered with.
pub(crate) struct Answer {
    code: ResponseCode,
    remark: Option<String>,
    fields: Box<dyn WriteFields + Send + Sync>,
    body: Bytes,
}

/// Fields with the region, as answers to sends and to recalls have them.
pub(crate) struct WithRegion<F>(pub(crate) Arc<str>, pub(crate) F);

impl<F: WriteFields> WriteFields for WithRegion<F> {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        sink.text("MSG_REGION", &self.0);
        self.1.write_fields(sink);
    }
}

/// What a handler did with a request.
pub(crate) enum Handled {
    /// It is done.
    Now(Answer),
    /// It waits for something; meanwhile the connection goes on. Ends with it.
    Later(BoxFuture<'static, Answer>),
    /// As [`Later`](Self::Later), but done to its end also when nobody is there any more to hear of it.
    Surely(BoxFuture<'static, Answer>),
    /// It is done, and nobody ever hears of it.
    Never,
}

impl From<Answer> for Handled {
    fn from(answer: Answer) -> Self {
        Self::Now(answer)
    }
}

impl Answer {
    pub(crate) fn success() -> Self {
        Self { code: ResponseCode::SUCCESS, remark: None, fields: Box::new(NoFields), body: Bytes::new() }
    }

    pub(crate) fn refusal(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self { code, remark: Some(remark.into()), fields: Box::new(NoFields), body: Bytes::new() }
    }

    /// A refusal whose text goes on as Java's do.
    pub(crate) fn refusal_with_faq(code: ResponseCode, remark: impl Into<String>) -> Self {
        Self::refusal(code, remark.into() + FAQ)
    }

    pub(crate) fn unreadable(error: &DecodeError) -> Self {
        Self::refusal(ResponseCode::SYSTEM_ERROR, error.to_string())
    }

    pub(crate) fn unsupported(code: i32) -> Self {
        Self::refusal(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, format!(" request type {code} not supported"))
    }

    pub(crate) fn offset(offset: u64) -> Self {
        Self::success().with_fields(OffsetAnswer::new(i64::try_from(offset).unwrap_or(i64::MAX)))
    }

    pub(crate) fn with_remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    pub(crate) fn with_code(mut self, code: ResponseCode) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn with_fields(mut self, fields: impl WriteFields + Send + Sync + 'static) -> Self {
        self.fields = Box::new(fields);
        self
    }

    pub(crate) fn with_body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// The frame. As 5.5.0, always with a JSON header, whatever the request had.
    pub(crate) fn encode(&self, opaque: i32) -> BytesMut {
        self.encode_as(self.code, opaque)
    }

    /// The same with another code.
    pub(crate) fn encode_as(&self, code: ResponseCode, opaque: i32) -> BytesMut {
        let mut out = BytesMut::new();
        let remark = self.remark.as_deref();
        let format = HeaderFormat::Json;
        match encode_response(opaque, code, remark, &*self.fields, self.body.clone(), format, &mut out) {
            Ok(encoded) => out.extend_from_slice(&encoded.body.unwrap_or_default()),
            Err(error) => {
                let text = error.to_string();
                let code = ResponseCode::SYSTEM_ERROR;
                // A short text and no body always fit.
                let _ = encode_response(opaque, code, Some(&text), &NoFields, Bytes::new(), format, &mut out);
            }
        }
        out
    }
}
