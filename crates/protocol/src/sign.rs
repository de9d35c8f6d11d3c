//! What a signature is computed over: the values of all ext fields in the byte order of their names, then the body. Fields are
//! written in that order anyway, so no map is needed. (The signature itself is made by the transport, which has the secret.)

use bytes::{BufMut, BytesMut};

use crate::{FieldSink, Request, header::Merged};

/// Appends the signed content of a request to `out`. `extra` must contain the access key (and the token, if any), sorted by
/// name, and everything else that is sent with the request.
pub fn signed_content<R: Request>(request: &R, extra: &[(&'static str, &str)], out: &mut BytesMut) {
    struct Values<'a>(&'a mut BytesMut);
    impl FieldSink for Values<'_> {
        fn text(&mut self, _: &'static str, value: &str) {
            self.0.put_slice(value.as_bytes());
        }
        fn number(&mut self, _: &'static str, value: i64) {
            self.0.put_slice(itoa::Buffer::new().format(value).as_bytes());
        }
    }
    let mut values = Values(out);
    let mut merged = Merged::new(&mut values, extra);
    request.write_fields(&mut merged);
    merged.finish();
    out.put_slice(&request.body());
}
