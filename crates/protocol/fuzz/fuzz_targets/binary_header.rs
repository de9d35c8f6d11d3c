//! A ROCKETMQ header: no panic; what it says comes back when it is written and read again.
#![no_main]

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{
    Command, FieldSink, Frame, HeaderFormat, Request, RequestCode, RequestHead, WriteFields, encode_request, limits,
};
use libfuzzer_sys::fuzz_target;

struct Again(BTreeMap<String, String>);

impl WriteFields for Again {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        for value in self.0.values() {
            sink.text("value", value);
        }
    }
}

impl Request for Again {
    const CODE: RequestCode = RequestCode(7);
    type Response = ();
}

fuzz_target!(|data: &[u8]| {
    let frame = Frame { format: HeaderFormat::Binary, header: Bytes::copy_from_slice(data), body: Bytes::new() };
    let Ok(command) = Command::read(frame) else { return };
    assert!(data.len() >= 21);
    assert_eq!(command.code, i32::from(i16::from_be_bytes([data[0], data[1]])));
    assert_eq!(command.opaque, i32::from_be_bytes(data[5..9].try_into().unwrap()));
    let _ = (command.remark(), format!("{command:?}"));
    let mut fields = BTreeMap::new();
    for field in command.fields() {
        let (name, value) = field.expect("fields that were read can be gone through");
        assert!(!name.is_empty() && !value.is_empty());
        fields.insert(name.into_owned(), value.into_owned());
    }
    for (name, value) in &fields {
        assert_eq!(command.fields().find(name).unwrap().as_deref(), Some(value.as_str()));
    }
    // Every value can be written in both formats and comes back.
    let request = Again(fields);
    for format in [HeaderFormat::Json, HeaderFormat::Binary] {
        let mut out = BytesMut::new();
        let _ = encode_request(&request, &RequestHead::new(command.opaque, format), &[], &mut out).unwrap();
        if let Ok(Some(frame)) = Frame::decode(&mut out, limits::MAX_FRAME_BYTES) {
            let again = Command::read(frame).unwrap();
            let values: Vec<_> = again.fields().map(|field| field.unwrap().1.into_owned()).collect();
            assert!(values.iter().eq(request.0.values()));
            assert_eq!(again.opaque, command.opaque);
        }
    }
});
