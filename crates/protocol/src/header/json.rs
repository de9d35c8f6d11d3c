//! The JSON header, written and read by hand: no map in between, values borrowed where nothing was escaped.

use std::{borrow::Cow, ops::Range};

use bytes::{BufMut, BytesMut};

use crate::{
    DecodeError, FieldSink, Language, WriteFields,
    command::Head,
    json::{Scanner, write_escaped},
    limits,
};

/// Writes a header.
pub(crate) fn write(head: &Head<'_>, fields: &dyn WriteFields, extra: &[(&'static str, &str)], out: &mut BytesMut) {
    out.reserve(768);
    let mut number = itoa::Buffer::new();
    out.put_slice(b"{\"code\":");
    out.put_slice(number.format(head.code).as_bytes());
    out.put_slice(b",\"extFields\":{");
    let mut sink = JsonSink { out, first: true };
    if extra.is_empty() {
        fields.write_fields(&mut sink);
    } else {
        let mut merged = super::Merged::new(&mut sink, extra);
        fields.write_fields(&mut merged);
        merged.finish();
    }
    out.put_slice(b"},\"flag\":");
    out.put_slice(number.format(head.flag).as_bytes());
    out.put_slice(b",\"language\":\"");
    out.put_slice(head.language.name().as_bytes());
    out.put_slice(b"\",\"opaque\":");
    out.put_slice(number.format(head.opaque).as_bytes());
    if let Some(remark) = head.remark {
        out.put_slice(b",\"remark\":\"");
        write_escaped(remark, out);
        out.put_u8(b'"');
    }
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    out.put_slice(number.format(head.version).as_bytes());
    out.put_u8(b'}');
}

struct JsonSink<'a> {
    out: &'a mut BytesMut,
    first: bool,
}

impl JsonSink<'_> {
    fn name(&mut self, name: &'static str) {
        let first = std::mem::take(&mut self.first);
        match name.as_bytes() {
            // The hottest request has names of one letter.
            [letter] if !first => self.out.put_slice(&[b',', b'"', *letter, b'"', b':', b'"']),
            name => {
                self.out.put_slice(if first { b"\"" } else { b",\"" });
                self.out.put_slice(name);
                self.out.put_slice(b"\":\"");
            }
        }
    }
}

impl FieldSink for JsonSink<'_> {
    fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        write_escaped(value, self.out);
        self.out.put_u8(b'"');
    }

    fn number(&mut self, name: &'static str, value: i64) {
        self.name(name);
        self.out.put_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.put_u8(b'"');
    }
}

/// What the known keys say, and where the variable parts are.
#[derive(Default)]
pub(crate) struct JsonHead {
    pub(crate) code: i32,
    pub(crate) language: Option<Language>,
    pub(crate) version: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    /// The remark with its quotes.
    pub(crate) remark: Option<Range<usize>>,
    /// The object of ext fields with its braces.
    pub(crate) fields: Option<Range<usize>>,
}

/// Reads a header. Unknown keys are passed over; later duplicates win; numbers may be texts.
pub(crate) fn read(header: &[u8]) -> Result<JsonHead, DecodeError> {
    let text = std::str::from_utf8(header).map_err(|_| DecodeError::Utf8("a JSON header"))?;
    let mut scanner = Scanner::new(text);
    let mut head = JsonHead { language: Some(Language::Java), ..JsonHead::default() };
    scanner.expect(b'{', "a header should begin here")?;
    if !scanner.take(b'}') {
        loop {
            let key = scanner.string()?;
            scanner.expect(b':', "a colon should stand here")?;
            match key.text.as_bytes() {
                b"code" => head.code = int(&mut scanner)?,
                b"opaque" => head.opaque = int(&mut scanner)?,
                b"flag" => head.flag = int(&mut scanner)?,
                b"version" => head.version = int(&mut scanner)?,
                b"language" => {
                    let value = scanner.value(1)?;
                    head.language = language(scanner.range(value));
                }
                b"remark" => head.remark = optional(&mut scanner)?,
                b"extFields" => {
                    scanner.blanks();
                    let value =
                        if scanner.peek() == Some(b'{') { ext_fields(&mut scanner)? } else { scanner.value(1)? };
                    let bytes = scanner.range(value.clone());
                    match bytes.first() {
                        Some(b'{') => head.fields = Some(value),
                        _ if bytes == b"null" => head.fields = None,
                        _ => return Err(scanner.error("ext fields should be an object")),
                    }
                }
                _ => {
                    scanner.value(1)?;
                }
            }
            if scanner.take(b'}') {
                break;
            }
            scanner.expect(b',', "a comma or the end of the header should stand here")?;
        }
    }
    scanner.blanks();
    if scanner.at < header.len() {
        return Err(scanner.error("nothing should follow the header"));
    }
    Ok(head)
}

/// Passes over the ext fields, counting them. Every escape is looked at, so that a frame with a broken header is refused
/// before anybody acts on it.
fn ext_fields(scanner: &mut Scanner<'_>) -> Result<Range<usize>, DecodeError> {
    let start = scanner.at;
    scanner.at += 1;
    if scanner.take(b'}') {
        return Ok(start..scanner.at);
    }
    for _ in 0..limits::MAX_EXT_FIELDS {
        scanner.skip_string()?;
        scanner.expect(b':', "a colon should stand here")?;
        if scanner.at_text() {
            scanner.skip_string()?;
        } else {
            scanner.value(2)?;
        }
        if scanner.take(b'}') {
            return Ok(start..scanner.at);
        }
        scanner.expect(b',', "a comma or the end of the ext fields should stand here")?;
    }
    Err(DecodeError::TooManyFields(limits::MAX_EXT_FIELDS))
}

fn optional(scanner: &mut Scanner<'_>) -> Result<Option<Range<usize>>, DecodeError> {
    let value = scanner.value(1)?;
    Ok((scanner.range(value.clone()) != b"null").then_some(value))
}

/// A 32-bit number, also as text, also with a fraction of zero.
fn int(scanner: &mut Scanner<'_>) -> Result<i32, DecodeError> {
    // The usual case: plain digits.
    if let Some(value) = scanner.plain_number() {
        return Ok(value);
    }
    let range = scanner.value(1)?;
    let bytes = scanner.range(range);
    let text = match bytes {
        [b'"' | b'\'', inner @ .., _] => inner,
        other => other,
    };
    let text = std::str::from_utf8(text).unwrap_or_default();
    let whole = text.strip_suffix(".0").unwrap_or(text);
    if text == "null" {
        return Ok(0);
    }
    whole.parse().map_err(|_| scanner.error("a number of 32 bits should stand here"))
}

fn language(value: &[u8]) -> Option<Language> {
    if value == b"\"JAVA\"" {
        return Some(Language::Java); // every server of today
    }
    let text = std::str::from_utf8(value).ok()?;
    match text.trim_matches(['"', '\'']) {
        name if name.len() < text.len() => Language::from_name(name),
        number => Language::from_code(number.parse().ok()?),
    }
}

/// Reads a text value that was found by [`read`]; other values as their JSON text.
pub(crate) fn text(value: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let text = std::str::from_utf8(value).map_err(|_| DecodeError::Utf8("JSON text"))?;
    if text.starts_with(['"', '\'']) { Scanner::new(text).string()?.decode() } else { Ok(Cow::Borrowed(text)) }
}

/// Hands out ext fields. Numbers, booleans and nested values are handed out as their text; `null` is passed over.
#[derive(Clone, Debug)]
pub(crate) struct FieldReader<'a> {
    scanner: Scanner<'a>,
    started: bool,
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(object: &'a [u8]) -> Self {
        // The header was checked when it was read; this is the same bytes.
        let scanner = Scanner::new(std::str::from_utf8(object).unwrap_or_default());
        Self { scanner, started: false }
    }

    #[allow(clippy::type_complexity, reason = "the item of `Fields`")]
    pub(crate) fn next_field(&mut self) -> Option<Result<(Cow<'a, str>, Cow<'a, str>), DecodeError>> {
        loop {
            let opening = !std::mem::replace(&mut self.started, true);
            if opening {
                self.scanner.take(b'{');
                if self.scanner.take(b'}') {
                    return None;
                }
            } else if !self.scanner.take(b',') {
                return None;
            }
            match self.field() {
                Ok(Some(field)) => return Some(Ok(field)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "the item of `Fields`")]
    fn field(&mut self) -> Result<Option<(Cow<'a, str>, Cow<'a, str>)>, DecodeError> {
        let name = self.scanner.string()?.decode()?;
        self.scanner.expect(b':', "a colon should stand here")?;
        if self.scanner.at_text() {
            return Ok(Some((name, self.scanner.string()?.decode()?)));
        }
        let value = self.scanner.value(2)?;
        let value = self.scanner.range(value);
        if value == b"null" {
            return Ok(None);
        }
        Ok(Some((name, text(value)?)))
    }
}
