//! The ROCKETMQ binary header. All lengths are checked against what is there.

use std::{borrow::Cow, ops::Range};

use bytes::{BufMut, BytesMut};

use crate::{DecodeError, FieldSink, Language, WriteFields, command::Head, limits};

/// Where the length of the ext fields stands when there is no remark.
const FIXED_BYTES: usize = 2 + 1 + 2 + 4 + 4;

/// Writes a header. The caller has made sure that the code fits 16 bits.
pub(crate) fn write(head: &Head<'_>, fields: &dyn WriteFields, extra: &[(&'static str, &str)], out: &mut BytesMut) {
    out.reserve(FIXED_BYTES + 8 + 512);
    let [code_0, code_1] = (head.code as i16).to_be_bytes();
    let [version_0, version_1] = (head.version as i16).to_be_bytes();
    let [opaque_0, opaque_1, opaque_2, opaque_3] = head.opaque.to_be_bytes();
    let [flag_0, flag_1, flag_2, flag_3] = head.flag.to_be_bytes();
    let remark = head.remark.unwrap_or_default();
    let [remark_0, remark_1, remark_2, remark_3] = (remark.len() as i32).to_be_bytes();
    // One write instead of six: each has to look whether there is room.
    #[rustfmt::skip]
    out.put_slice(&[
        code_0, code_1, head.language.code(), version_0, version_1, opaque_0, opaque_1, opaque_2, opaque_3,
        flag_0, flag_1, flag_2, flag_3, remark_0, remark_1, remark_2, remark_3,
    ]);
    if !remark.is_empty() {
        out.put_slice(remark.as_bytes());
    }
    let length_at = out.len();
    out.put_i32(0);
    let mut sink = BinarySink { out };
    if extra.is_empty() {
        fields.write_fields(&mut sink);
    } else {
        let mut merged = super::Merged::new(&mut sink, extra);
        fields.write_fields(&mut merged);
        merged.finish();
    }
    let length = (out.len() - length_at - 4) as u32;
    if let Some(slot) = out.get_mut(length_at..length_at + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

struct BinarySink<'a> {
    out: &'a mut BytesMut,
}

impl FieldSink for BinarySink<'_> {
    #[inline]
    fn text(&mut self, name: &'static str, value: &str) {
        let length = (value.len() as u32).to_be_bytes();
        match name.as_bytes() {
            // The hottest request has names of one letter.
            [letter] => {
                let [a, b, c, d] = length;
                self.out.extend_from_slice(&[0, 1, *letter, a, b, c, d]);
            }
            name => {
                self.out.extend_from_slice(&(name.len() as u16).to_be_bytes());
                self.out.extend_from_slice(name);
                self.out.extend_from_slice(&length);
            }
        }
        self.out.extend_from_slice(value.as_bytes());
    }

    fn number(&mut self, name: &'static str, value: i64) {
        match (name.as_bytes(), u8::try_from(value)) {
            ([letter], Ok(digit @ 0..=9)) => {
                self.out.extend_from_slice(&[0, 1, *letter, 0, 0, 0, 1, b'0' + digit]);
            }
            _ => self.text(name, itoa::Buffer::new().format(value)),
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
    let mut count = 0;
    let mut check = FieldReader::new(fields.clone().and_then(|range| header.get(range)).unwrap_or_default());
    while let Some(field) = check.next_field() {
        field?;
        count += 1;
        if count > limits::MAX_EXT_FIELDS {
            return Err(DecodeError::TooManyFields(limits::MAX_EXT_FIELDS));
        }
    }
    Ok(BinaryHead { code, language: Language::from_code(i64::from(language)), version, opaque, flag, remark, fields })
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
                Ok((name, value)) => return Some(Ok((Cow::Borrowed(name), Cow::Borrowed(value)))),
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

    fn field(&mut self) -> Result<(&'a str, &'a str), DecodeError> {
        let length = i16::from_be_bytes(self.take()?);
        let length = usize::try_from(length).map_err(|_| DecodeError::Lengths("a binary header"))?;
        let name = self.slice(length)?;
        let value = self.range()?;
        let value = self.bytes.get(value).unwrap_or_default();
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8("an ext field"));
        Ok((text(name)?, text(value)?))
    }
}
