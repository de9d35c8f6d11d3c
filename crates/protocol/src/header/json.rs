//! The JSON header, written and read by hand: no map in between, values borrowed where nothing was escaped.

use std::{borrow::Cow, ops::Range};

use bytes::BytesMut;

use crate::{
    DecodeError, FieldSink, Language, WriteFields,
    command::Head,
    header::{FieldIndex, PREFIX_BYTES, Tail},
    json::{MAX_ESCAPED, Scanner, escape, write_escaped},
    limits,
};

/// What a header takes, nearly always: room that is made at once.
const EXPECTED_BYTES: usize = 768;

/// Writes a header, behind room for its prefix.
pub(crate) fn write(head: &Head<'_>, fields: &dyn WriteFields, extra: &[(&'static str, &str)], out: &mut BytesMut) {
    let mut tail = Tail::new(out, PREFIX_BYTES, EXPECTED_BYTES);
    let mut number = itoa::Buffer::new();
    tail.put_array(b"{\"code\":");
    tail.put(number.format(head.code).as_bytes());
    tail.put_array(b",\"extFields\":");
    let mut sink = JsonSink { tail, before: b'{' };
    if extra.is_empty() {
        fields.write_fields(&mut sink);
    } else {
        let mut merged = super::Merged::new(&mut sink, extra);
        fields.write_fields(&mut merged);
        merged.finish();
    }
    let JsonSink { mut tail, before } = sink;
    if before == b'{' {
        tail.put_array(b"{");
    }
    tail.put_array(b"},\"flag\":");
    tail.put(number.format(head.flag).as_bytes());
    tail.put_array(b",\"language\":\"");
    tail.put(head.language.name().as_bytes());
    tail.put_array(b"\",\"opaque\":");
    tail.put(number.format(head.opaque).as_bytes());
    if let Some(remark) = head.remark {
        tail.put_array(b",\"remark\":\"");
        write_escaped(remark, &mut tail);
        tail.put_array(b"\"");
    }
    tail.put_array(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    tail.put(number.format(head.version).as_bytes());
    tail.put_array(b"}");
    tail.finish();
}

struct JsonSink<'a> {
    tail: Tail<'a>,
    /// What stands before the next field.
    before: u8,
}

impl JsonSink<'_> {
    #[inline]
    fn name(&mut self, name: &'static str) {
        match name.as_bytes() {
            // The hottest request has names of one letter.
            [letter] => {
                self.tail.put_array(&[self.before, b'"', *letter, b'"', b':', b'"']);
                self.before = b',';
            }
            name => self.long_name(name),
        }
    }

    // Kept apart, as below: it would make the short way longer.
    #[inline(never)]
    fn long_name(&mut self, name: &[u8]) {
        self.tail.put_array(&[self.before, b'"']);
        self.tail.put(name);
        self.tail.put_array(b"\":\"");
        self.before = b',';
    }

    #[inline(never)]
    fn long_number(&mut self, name: &'static str, value: i64) {
        self.name(name);
        self.tail.put(itoa::Buffer::new().format(value).as_bytes());
        self.tail.put_array(b"\"");
    }
}

impl FieldSink for JsonSink<'_> {
    fn text(&mut self, name: &'static str, value: &str) {
        if name.len() > 1 {
            self.long_name(name.as_bytes());
            write_escaped(value, &mut self.tail);
            return self.tail.put_array(b"\"");
        }
        let room = self.tail.room(value.len() * MAX_ESCAPED + 16);
        let letter = name.as_bytes().first().copied().unwrap_or_default();
        let Some((start, rest)) = room.split_first_chunk_mut::<6>() else { return };
        *start = [self.before, b'"', letter, b'"', b':', b'"'];
        let written = escape(value.as_bytes(), rest);
        if let Some(end) = rest.get_mut(written) {
            *end = b'"';
        }
        self.before = b',';
        self.tail.advance(6 + written + 1);
    }

    fn number(&mut self, name: &'static str, value: i64) {
        match (name.as_bytes(), u8::try_from(value)) {
            ([letter], Ok(digit @ 0..=9)) => {
                self.tail.put_array(&[self.before, b'"', *letter, b'"', b':', b'"', b'0' + digit, b'"']);
                self.before = b',';
            }
            _ => self.long_number(name, value),
        }
    }

    fn boolean(&mut self, name: &'static str, value: bool) {
        self.name(name);
        if value { self.tail.put_array(b"true\"") } else { self.tail.put_array(b"false\"") }
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
    pub(crate) index: FieldIndex,
}

/// Reads a header. Unknown keys are passed over; later duplicates win; numbers may be texts.
pub(crate) fn read(header: &[u8]) -> Result<JsonHead, DecodeError> {
    let text = std::str::from_utf8(header).map_err(|_| DecodeError::Utf8("a JSON header"))?;
    let mut scanner = Scanner::new(text);
    let mut head = JsonHead { language: Some(Language::Java), ..JsonHead::default() };
    scanner.expect(b'{', "a header should begin here")?;
    let mut usual = 0;
    if !scanner.take(b'}') {
        loop {
            match key(&mut scanner, &mut usual)? {
                Key::Code => head.code = int(&mut scanner)?,
                Key::Opaque => head.opaque = int(&mut scanner)?,
                Key::Flag => head.flag = int(&mut scanner)?,
                Key::Version => head.version = int(&mut scanner)?,
                Key::Language => {
                    // Every server of today, and our own.
                    head.language = if scanner.literal(b"\"JAVA\"") {
                        Some(Language::Java)
                    } else if scanner.literal(b"\"RUST\"") {
                        Some(Language::Rust)
                    } else {
                        let value = scanner.value(1)?;
                        language(scanner.range(value))
                    };
                }
                Key::Remark => head.remark = optional(&mut scanner)?,
                Key::ExtFields => {
                    head.index = FieldIndex::default();
                    scanner.blanks();
                    let value = if scanner.peek() == Some(b'{') {
                        ext_fields(&mut scanner, &mut head.index)?
                    } else {
                        scanner.value(1)?
                    };
                    let bytes = scanner.range(value.clone());
                    match bytes.first() {
                        Some(b'{') => head.fields = Some(value),
                        _ if bytes == b"null" => head.fields = None,
                        _ => return Err(scanner.error("ext fields should be an object")),
                    }
                }
                Key::Other => {
                    if !scanner.literal(b"\"JSON\"") {
                        scanner.value(1)?;
                    }
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

/// The keys of a header.
#[derive(Clone, Copy)]
enum Key {
    Code,
    ExtFields,
    Flag,
    Language,
    Opaque,
    Remark,
    Version,
    Other,
}

/// Takes a key and its colon. Servers write keys in the order of their names, so it is looked for from `usual` on, which is the place
/// behind the one before it.
#[inline]
fn key(scanner: &mut Scanner<'_>, usual: &mut u8) -> Result<Key, DecodeError> {
    loop {
        let (stands, key) = match *usual {
            0 => (scanner.literal(b"\"code\":"), Key::Code),
            1 => (scanner.literal(b"\"extFields\":"), Key::ExtFields),
            2 => (scanner.literal(b"\"flag\":"), Key::Flag),
            3 => (scanner.literal(b"\"language\":"), Key::Language),
            4 => (scanner.literal(b"\"opaque\":"), Key::Opaque),
            5 => (scanner.literal(b"\"remark\":"), Key::Remark),
            6 => (scanner.literal(b"\"serializeTypeCurrentRPC\":"), Key::Other),
            7 => (scanner.literal(b"\"version\":"), Key::Version),
            _ => return any_key(scanner),
        };
        *usual += 1;
        if stands {
            return Ok(key);
        }
    }
}

/// Takes a key and its colon, wherever it stands.
fn any_key(scanner: &mut Scanner<'_>) -> Result<Key, DecodeError> {
    let key = scanner.string()?;
    scanner.expect(b':', "a colon should stand here")?;
    Ok(match key.text {
        "code" => Key::Code,
        "opaque" => Key::Opaque,
        "flag" => Key::Flag,
        "version" => Key::Version,
        "language" => Key::Language,
        "remark" => Key::Remark,
        "extFields" => Key::ExtFields,
        _ => Key::Other,
    })
}

/// Passes over the ext fields, counting them and noting where they are. Every escape is looked at, so that a frame with a
/// broken header is refused before anybody acts on it.
fn ext_fields(scanner: &mut Scanner<'_>, index: &mut FieldIndex) -> Result<Range<usize>, DecodeError> {
    let start = scanner.at;
    scanner.at += 1;
    if scanner.take(b'}') {
        return Ok(start..scanner.at);
    }
    for _ in 0..limits::MAX_EXT_FIELDS {
        match scanner.plain_field() {
            Some((name, value)) => index.note(name, value),
            None => {
                index.spill();
                scanner.skip_string()?;
                scanner.expect(b':', "a colon should stand here")?;
                if scanner.at_text() {
                    scanner.skip_string()?;
                } else {
                    scanner.value(2)?;
                }
            }
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
