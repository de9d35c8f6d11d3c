//! Loads golden vectors (`vectors/<file>.json`, see `vectors/README.md`) and takes frames apart.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{
    Command, DecodeError, FieldSink, Frame, HeaderFormat, NoFields, ReadRequest, Request, RequestCode, RequestHead,
    Response, ResponseCode, WriteFields, encode_request, encode_response, limits,
};
use serde_json::Value;

/// One case of a file.
pub(crate) struct Case {
    pub(crate) value: Value,
}

impl Case {
    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().expect("a case has a name")
    }

    pub(crate) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn input(&self) -> &Value {
        &self.value["in"]
    }

    pub(crate) fn output(&self) -> &Value {
        &self.value["out"]
    }

    /// Whether Java threw.
    pub(crate) fn fails(&self) -> bool {
        self.value["out"].get("error").is_some()
    }
}

/// All cases; the file must hold as many as it says.
pub(crate) fn all(file: &str) -> Vec<Case> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: Value = serde_json::from_str(&text).expect("vectors are JSON");
    let cases = file["cases"].as_array().expect("a file has cases");
    assert_eq!(file["count"].as_u64(), Some(cases.len() as u64), "{path} is not whole");
    cases.iter().map(|value| Case { value: value.clone() }).collect()
}

/// The cases of one kind.
pub(crate) fn cases(file: &str, kind: &str) -> Vec<Case> {
    let mut cases = all(file);
    cases.retain(|case| case.kind() == kind);
    cases
}

/// A text; `None` for null.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    match &value[key] {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => panic!("{key} is {other}, not a text"),
    }
}

pub(crate) fn int(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap_or_else(|| panic!("{key} is {}, not a number", value[key]))
}

/// Bytes in hex; empty for null.
pub(crate) fn bytes(value: &Value, key: &str) -> Bytes {
    hex::decode(text(value, key).unwrap_or_default()).expect("hex").into()
}

/// The one command in these bytes, and nothing else.
pub(crate) fn command(frame: &[u8]) -> Result<Command, DecodeError> {
    let mut buffer = BytesMut::from(frame);
    let frame = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES)?.expect("a whole frame");
    assert!(buffer.is_empty(), "bytes behind the frame");
    Command::read(frame)
}

/// What an answer with this body is read as.
pub(crate) fn answer<R: Response>(body: Bytes) -> Result<R, DecodeError> {
    let mut out = BytesMut::new();
    let done = encode_response(1, ResponseCode::SUCCESS, None, &NoFields, body, HeaderFormat::Json, &mut out).unwrap();
    out.extend_from_slice(&done.body.unwrap_or_default()); // a large one travels behind its frame
    R::read(command(&out).unwrap())
}

pub(crate) type Map = BTreeMap<String, String>;

/// The ext fields as a map: a later one wins.
pub(crate) fn fields(command: &Command) -> Map {
    command
        .fields()
        .map(|field| field.map(|(name, value)| (name.into_owned(), value.into_owned())))
        .collect::<Result<_, _>>()
        .expect("readable ext fields")
}

/// The non-null entries of a JSON object of texts.
pub(crate) fn map(value: &Value) -> Map {
    let texts = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    value.as_object().map(|object| object.iter().filter_map(texts).collect()).unwrap_or_default()
}

/// Any ext fields and any body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AnyRequest {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl AnyRequest {
    pub(crate) fn new(map: &Map, body: Bytes) -> Self {
        // Names are static everywhere but here.
        let leak = |name: &String| &*Box::leak(name.clone().into_boxed_str());
        Self { fields: map.iter().map(|(name, value)| (leak(name), value.clone())).collect(), body }
    }
}

impl WriteFields for AnyRequest {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        for (name, value) in &self.fields {
            sink.text(name, value);
        }
    }
}

impl Request for AnyRequest {
    const CODE: RequestCode = RequestCode(7);
    type Response = ();

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// A request as it goes over the wire, in one piece.
pub(crate) fn wire<R: Request>(request: &R, format: HeaderFormat) -> BytesMut {
    let mut out = BytesMut::new();
    let encoded = encode_request(request, &RequestHead::new(5, format), &[], &mut out).expect("it fits");
    assert_eq!(encoded.bytes, out.len());
    out.extend_from_slice(&encoded.body.unwrap_or_default());
    out
}

pub(crate) const FORMATS: [HeaderFormat; 2] = [HeaderFormat::Json, HeaderFormat::Binary];

/// Reads a request, and asserts that writing it again, in both formats, says the same: each field that we write has the
/// value that stood there, and reading what we wrote gives an equal request.
pub(crate) fn check_request<R: ReadRequest + Request + PartialEq + std::fmt::Debug>(
    command: &Command,
    what: &str,
) -> R {
    let read = R::read_request(command).unwrap_or_else(|error| panic!("{what}: {error}"));
    let there = fields(command);
    for format in FORMATS {
        let again = self::command(&wire(&read, format)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(again.code, R::CODE.0, "{what}");
        assert_eq!(again.opaque, 5, "{what}");
        assert_eq!(again.body(), command.body(), "{what}");
        for (name, value) in fields(&again) {
            // An empty text is what a missing field means.
            assert_eq!(there.get(&name).unwrap_or(&String::new()), &value, "{what}: field {name}");
        }
        assert_eq!(R::read_request(&again).as_ref(), Ok(&read), "{what}");
    }
    read
}
