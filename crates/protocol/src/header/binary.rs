//! The ROCKETMQ binary header. All lengths are checked against what is there.

use std::{borrow::Cow, ops::Range};

use bytes::BytesMut;

use crate::{
    DecodeError, FieldSink, Language, WriteFields,
    command::Head,
    header::{FieldIndex, PREFIX_BYTES, Tail},
    limits,
};

/// Where the length of the ext fields stands when there is no remark.
const FIXED_BYTES: usize = 2 + 1 + 2 + 4 + 4;

/// What a header takes, nearly always: room that is made at once.
const EXPECTED_BYTES: usize = FIXED_BYTES + 8 + 512;

/// Writes a header, behind room for its prefix. The caller has made sure that the code fits 16 bits.
pub(crate) fn write(head: &Head<'_>, fields: &dyn WriteFields, extra: &[(&'static str, &str)], out: &mut BytesMut) {
    let mut tail = Tail::new(out, PREFIX_BYTES, EXPECTED_BYTES);
    let [code_0, code_1] = (head.code as i16).to_be_bytes();
    let [version_0, version_1] = (head.version as i16).to_be_bytes();
    let [opaque_0, opaque_1, opaque_2, opaque_3] = head.opaque.to_be_bytes();
    let [flag_0, flag_1, flag_2, flag_3] = head.flag.to_be_bytes();
    let remark = head.remark.unwrap_or_default();
    let [remark_0, remark_1, remark_2, remark_3] = (remark.len() as i32).to_be_bytes();
    #[rustfmt::skip]
    tail.put_array(&[
        code_0, code_1, head.language.code(), version_0, version_1, opaque_0, opaque_1, opaque_2, opaque_3,
        flag_0, flag_1, flag_2, flag_3, remark_0, remark_1, remark_2, remark_3,
    ]);
    if !remark.is_empty() {
        tail.put(remark.as_bytes());
    }
    let length_at = tail.position();
    tail.put_array(&[0; 4]);
    let mut sink = BinarySink { tail };
    if extra.is_empty() {
        fields.write_fields(&mut sink);
    } else {
        let mut merged = super::Merged::new(&mut sink, extra);
        fields.write_fields(&mut merged);
        merged.finish();
    }
    let mut tail = sink.tail;
    let length = (tail.position() - length_at - 4) as u32;
    tail.patch(length_at, length.to_be_bytes());
    tail.finish();
}

struct BinarySink<'a> {
    tail: Tail<'a>,
}

impl BinarySink<'_> {
    // Kept apart: they would make the short ways longer.
    #[inline(never)]
    fn long_text(&mut self, name: &[u8], value: &[u8]) {
        self.tail.put_both(&(name.len() as u16).to_be_bytes(), name);
        self.tail.put_both(&(value.len() as u32).to_be_bytes(), value);
    }

    #[inline(never)]
    fn long_number(&mut self, name: &'static str, value: i64) {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value).as_bytes();
        match (name.as_bytes(), digits.len()) {
            ([letter], length @ 0..256) => self.tail.put_both(&[0, 1, *letter, 0, 0, 0, length as u8], digits),
            (name, _) => self.long_text(name, digits),
        }
    }
}

impl FieldSink for BinarySink<'_> {
    fn text(&mut self, name: &'static str, value: &str) {
        let value = value.as_bytes();
        match name.as_bytes() {
            // The hottest request has names of one letter.
            [letter] => {
                let [a, b, c, d] = (value.len() as u32).to_be_bytes();
                self.tail.put_both(&[0, 1, *letter, a, b, c, d], value);
            }
            name => self.long_text(name, value),
        }
    }

    fn number(&mut self, name: &'static str, value: i64) {
        match name.as_bytes() {
            [letter] if (0..10).contains(&value) => {
                self.tail.put_array(&[0, 1, *letter, 0, 0, 0, 1, b'0' + value as u8]);
            }
            _ => self.long_number(name, value),
        }
    }

    fn boolean(&mut self, name: &'static str, value: bool) {
        match (name.as_bytes(), value) {
            ([letter], false) => {
                self.tail.put_array(&[0, 1, *letter, 0, 0, 0, 5, b'f', b'a', b'l', b's', b'e']);
            }
            (_, value) => self.text(name, if value { "true" } else { "false" }),
        }
    }
}

/// What the fixed part says, and where the variable parts are.
pub(crate) struct BinaryHead {
    pub(crate) code: i32,
    pub(crate) language: Option<Language>,
    pub(crate) version: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<Range<usize>>,
    pub(crate) fields: Option<Range<usize>>,
    pub(crate) index: FieldIndex,
}

/// Reads a header.
pub(crate) fn read(header: &[u8]) -> Result<BinaryHead, DecodeError> {
    let mut reader = Reader { bytes: header, at: 0 };
    let code = i32::from(i16::from_be_bytes(reader.take()?));
    let [language] = reader.take()?;
    let version = i32::from(i16::from_be_bytes(reader.take()?));
    let opaque = i32::from_be_bytes(reader.take()?);
    let flag = i32::from_be_bytes(reader.take()?);
    let remark = reader.range()?;
    let remark = (!remark.is_empty()).then_some(remark);
    if let Some(remark) = &remark {
        std::str::from_utf8(header.get(remark.clone()).unwrap_or_default())
            .map_err(|_| DecodeError::Utf8("a remark"))?;
    }
    let fields = reader.range()?;
    let fields = (!fields.is_empty()).then_some(fields);
    // Read them through once, so that a frame with a broken header is refused before anybody acts on it.
    let mut index = FieldIndex::default();
    let mut count = 0;
    let end = fields.as_ref().map_or(0, |fields| fields.end);
    let start = fields.as_ref().map_or(0, |fields| fields.start);
    let mut reader = Reader { bytes: header.get(..end).unwrap_or_default(), at: start };
    while reader.at < end {
        let (name, value) = reader.field()?;
        if !name.is_empty() && !value.is_empty() {
            index.note(name, value);
        }
        count += 1;
        if count > limits::MAX_EXT_FIELDS {
            return Err(DecodeError::TooManyFields(limits::MAX_EXT_FIELDS));
        }
    }
    let language = Language::from_code(i64::from(language));
    Ok(BinaryHead { code, language, version, opaque, flag, remark, fields, index })
}

/// Hands out ext fields. A zero-length name or value means "absent" on the wire, and is passed over.
#[derive(Clone, Debug)]
pub(crate) struct FieldReader<'a> {
    reader: Reader<'a>,
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader { bytes, at: 0 } }
    }

    #[allow(clippy::type_complexity, reason = "the item of `Fields`")]
    pub(crate) fn next_field(&mut self) -> Option<Result<(Cow<'a, str>, Cow<'a, str>), DecodeError>> {
        loop {
            if self.reader.at >= self.reader.bytes.len() {
                return None;
            }
            match self.reader.field() {
                Ok((name, value)) if name.is_empty() || value.is_empty() => {}
                Ok((name, value)) => return Some(Ok((self.reader.text(name), self.reader.text(value)))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.slice(N)?;
        bytes.try_into().map_err(|_| DecodeError::Lengths("a binary header"))
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length).ok_or(DecodeError::Lengths("a binary header"))?;
        let bytes = self.bytes.get(self.at..end).ok_or(DecodeError::Lengths("a binary header"))?;
        self.at = end;
        Ok(bytes)
    }

    /// A 32-bit length and the range that it spans.
    fn range(&mut self) -> Result<Range<usize>, DecodeError> {
        let length = i32::from_be_bytes(self.take()?);
        let length = usize::try_from(length).map_err(|_| DecodeError::Lengths("a binary header"))?;
        let start = self.at;
        self.slice(length)?;
        Ok(start..self.at)
    }

    /// Where name and value stand; both are text.
    fn field(&mut self) -> Result<(Range<usize>, Range<usize>), DecodeError> {
        let length = i16::from_be_bytes(self.take()?);
        let length = usize::try_from(length).map_err(|_| DecodeError::Lengths("a binary header"))?;
        let start = self.at;
        let name = self.slice(length)?;
        let value = self.range()?;
        let value_bytes = self.bytes.get(value.clone()).unwrap_or_default();
        for bytes in [name, value_bytes] {
            std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8("an ext field"))?;
        }
        Ok((start..start + length, value))
    }

    /// Text that was found to be some.
    fn text(&self, range: Range<usize>) -> Cow<'a, str> {
        let bytes = self.bytes.get(range).unwrap_or_default();
        Cow::Borrowed(std::str::from_utf8(bytes).unwrap_or_default())
    }
}
