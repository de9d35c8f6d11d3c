//! A scanner for JSON as Java's libraries write it, which is not always JSON: headers are read with it directly, and bodies
//! are brought into standard form by [`normalize`].

use std::{borrow::Cow, ops::Range};

use crate::{DecodeError, header::Tail, limits::MAX_JSON_DEPTH};

/// Walks over JSON text. Every position is checked, and nesting is limited.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    /// UTF-8 as a whole, so that pieces need not be checked one by one.
    text: &'a str,
    pub(crate) at: usize,
}

/// A string as it stands between its quotes.
#[derive(Clone, Debug)]
pub(crate) struct RawText<'a> {
    pub(crate) text: &'a str,
    pub(crate) escaped: bool,
}

impl<'a> RawText<'a> {
    /// The text, unescaped. Borrowed when nothing was escaped.
    #[inline]
    pub(crate) fn decode(&self) -> Result<Cow<'a, str>, DecodeError> {
        let text = self.text;
        if self.escaped { unescape(text).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
    }

    /// Whether every escape can be read, without reading them.
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        let mut rest = self.text.as_bytes();
        while self.escaped
            && let Some(at) = rest.iter().position(|&byte| byte == b'\\')
        {
            let after = rest.get(at + 1..).unwrap_or_default();
            if after.first() == Some(&b'u') && !after.get(1..5).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            {
                return Err(DecodeError::Json { at, what: "a \\u escape needs four hex digits" });
            }
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(())
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether a text in quotes stands here, after blanks.
    #[inline]
    pub(crate) fn at_text(&mut self) -> bool {
        matches!(self.peek(), Some(b'"' | b'\'')) || {
            self.blanks();
            matches!(self.peek(), Some(b'"' | b'\''))
        }
    }

    pub(crate) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::Json { at: self.at, what }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes one byte, after blanks, if it is this one.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        // Nearly always it stands here; only people write blanks.
        if self.peek() != Some(byte) {
            self.blanks();
            if self.peek() != Some(byte) {
                return false;
            }
        }
        self.at += 1;
        true
    }

    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), DecodeError> {
        if self.take(byte) { Ok(()) } else { Err(self.error(what)) }
    }

    pub(crate) fn range(&self, range: Range<usize>) -> &'a [u8] {
        self.text.as_bytes().get(range).unwrap_or_default()
    }

    /// A string in double quotes, or in single ones, which 5.5.0 takes too.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<RawText<'a>, DecodeError> {
        let quote = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => quote,
            _ if self.at_text() => self.peek().unwrap_or(b'"'),
            _ => return Err(self.error("a text in quotes should stand here")),
        };
        self.at += 1;
        let start = self.at;
        let (end, escaped) = if quote == b'"' { self.text_end::<b'"'>()? } else { self.text_end::<b'\''>()? };
        Ok(RawText { text: self.text.get(start..end).unwrap_or_default(), escaped })
    }

    /// Passes over a string, and looks at its escapes. Says where its text stands, if nothing in it is escaped.
    #[inline]
    pub(crate) fn skip_string(&mut self) -> Result<Option<Range<usize>>, DecodeError> {
        if self.peek() == Some(b'"') {
            self.at += 1;
            let start = self.at;
            let (end, escaped) = self.text_end::<b'"'>()?;
            if !escaped {
                return Ok(Some(start..end));
            }
            RawText { text: self.text.get(start..end).unwrap_or_default(), escaped }.check()?;
            return Ok(None);
        }
        self.string()?.check()?;
        Ok(None)
    }

    /// Takes these bytes, if they stand here.
    #[inline]
    pub(crate) fn literal(&mut self, bytes: &[u8]) -> bool {
        let stands = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(bytes));
        if stands {
            self.at += bytes.len();
        }
        stands
    }

    /// Goes behind the closing quote, and says where that stands and whether something was escaped.
    #[inline]
    fn text_end<const QUOTE: u8>(&mut self) -> Result<(usize, bool), DecodeError> {
        let bytes = self.text.as_bytes();
        let (mut from, mut escaped) = (self.at, false);
        while let Some(found) = find_special::<QUOTE>(bytes, from) {
            if bytes.get(found) == Some(&QUOTE) {
                self.at = found + 1;
                return Ok((found, escaped));
            }
            escaped = true;
            from = found + 2;
        }
        Err(self.error("a text has no end"))
    }

    /// A plain number from 0, as servers write them, if one stands here; nothing is passed over otherwise.
    #[inline]
    pub(crate) fn plain_number(&mut self) -> Option<i32> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let mut value: i64 = 0;
        let mut length = 0;
        while let Some(digit) = rest.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            value = value * 10 + i64::from(digit);
            length += 1;
            if length > 10 {
                return None;
            }
        }
        let ends = length > 0 && matches!(rest.get(length), Some(b',' | b'}'));
        let value = i32::try_from(value).ok().filter(|_| ends)?;
        self.at += length;
        Some(value)
    }

    /// Passes over any value and says where it stood.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Range<usize>, DecodeError> {
        if depth > MAX_JSON_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.blanks();
        let start = self.at;
        match self.peek() {
            Some(b'"' | b'\'') => {
                self.string()?;
            }
            Some(b'{') => {
                self.at += 1;
                if !self.take(b'}') {
                    loop {
                        self.key(depth + 1)?;
                        self.expect(b':', "a colon should stand here")?;
                        self.value(depth + 1)?;
                        if self.take(b'}') {
                            break;
                        }
                        self.expect(b',', "a comma or the end of an object should stand here")?;
                    }
                }
            }
            Some(b'[') => {
                self.at += 1;
                if !self.take(b']') {
                    loop {
                        self.value(depth + 1)?;
                        if self.take(b']') {
                            break;
                        }
                        self.expect(b',', "a comma or the end of a list should stand here")?;
                    }
                }
            }
            _ => self.bare()?,
        }
        Ok(start..self.at)
    }

    /// A key: a text, a bare number, or a whole object (maps with such keys are what fastjson writes, remoting-protocol §4.1).
    pub(crate) fn key(&mut self, depth: usize) -> Result<Range<usize>, DecodeError> {
        self.blanks();
        match self.peek() {
            Some(b'"' | b'\'' | b'{' | b'[') => self.value(depth),
            Some(b'0'..=b'9' | b'-') => {
                let start = self.at;
                self.bare()?;
                Ok(start..self.at)
            }
            _ => Err(self.error("a key should stand here")),
        }
    }

    /// A number, `true`, `false` or `null`.
    fn bare(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let is_stop = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\r' | b'\n');
        self.at += rest.iter().position(is_stop).unwrap_or(rest.len());
        let text = self.range(start..self.at);
        let number = matches!(text.first(), Some(b'0'..=b'9' | b'-'))
            && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        if number || matches!(text, b"true" | b"false" | b"null") {
            Ok(())
        } else {
            self.at = start;
            Err(self.error("a value should stand here"))
        }
    }
}

/// The next quote or backslash, eight bytes at a time.
#[inline]
fn find_special<const QUOTE: u8>(bytes: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes.get(from..)?;
    let mut at = from;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        // A byte that is zero behind the XOR borrows into its highest bit; the lowest such byte is the first found, and bytes
        // that had the bit are none.
        let quotes = (word ^ (ONES * QUOTE as u64)).wrapping_sub(ONES);
        let backslashes = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
        let found = (quotes | backslashes) & !word & HIGHS;
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
        rest = tail;
    }
    rest.iter().position(|byte| *byte == QUOTE || *byte == b'\\').map(|place| at + place)
}

fn unescape(text: &str) -> Result<String, DecodeError> {
    let error = |at, what| DecodeError::Json { at, what };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let mut chars = after.chars();
        chars.next();
        let escape = chars.next().ok_or(error(at, "an escape has no end"))?;
        rest = chars.as_str();
        match escape {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let (unit, tail) = hex4(rest).ok_or(error(at, "a \\u escape needs four hex digits"))?;
                rest = tail;
                match unit {
                    0xD800..=0xDBFF => {
                        let low = rest.strip_prefix("\\u").and_then(hex4);
                        match low {
                            Some((low @ 0xDC00..=0xDFFF, tail)) => {
                                let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                                rest = tail;
                            }
                            _ => out.push(char::REPLACEMENT_CHARACTER),
                        }
                    }
                    _ => out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
            other => out.push(other), // \" \\ \/ and what Java's libraries pass through
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn hex4(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..4)?;
    let unit = u32::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some((unit, text.get(4..)?))
}

/// The most bytes that one byte becomes: `\u001f`.
pub(crate) const MAX_ESCAPED: usize = 6;

/// Writes the inside of a text, escaping what JSON must escape.
pub(crate) fn write_escaped(text: &str, tail: &mut Tail<'_>) {
    let room = tail.room(text.len() * MAX_ESCAPED + 8);
    let written = escape(text.as_bytes(), room);
    tail.advance(written);
}

/// Eight bytes at a time: they are stored as they are, and where one of them must be escaped, it is written over from there.
pub(crate) fn escape(text: &[u8], out: &mut [u8]) -> usize {
    let (mut read, mut written) = (0, 0);
    while let Some(chunk) = text.get(read..).and_then(|rest| rest.first_chunk::<8>()) {
        let Some(slot) = out.get_mut(written..).and_then(|rest| rest.first_chunk_mut::<8>()) else { break };
        *slot = *chunk;
        match first_escaped(u64::from_le_bytes(*chunk)) {
            None => {
                read += 8;
                written += 8;
            }
            Some(clean) => {
                read += clean;
                written += clean;
                let byte = text.get(read).copied().unwrap_or_default();
                written += escape_byte(byte, out.get_mut(written..).unwrap_or_default());
                read += 1;
            }
        }
    }
    // What is left is less than eight bytes: blanks fill it up.
    loop {
        let rest = text.get(read..).unwrap_or_default();
        let mut chunk = [b' '; 8];
        let Some(start) = chunk.get_mut(..rest.len()).filter(|_| !rest.is_empty()) else { return written };
        start.copy_from_slice(rest);
        let Some(slot) = out.get_mut(written..).and_then(|rest| rest.first_chunk_mut::<8>()) else { return written };
        *slot = chunk;
        match first_escaped(u64::from_le_bytes(chunk)) {
            None => return written + rest.len(),
            Some(clean) => {
                written += clean;
                let byte = rest.get(clean).copied().unwrap_or_default();
                written += escape_byte(byte, out.get_mut(written..).unwrap_or_default());
                read += clean + 1;
            }
        }
    }
}

/// Which of eight bytes is the first one that JSON escapes.
#[inline]
fn first_escaped(word: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES);
    // The lowest of the marked bytes is right; those above it may be marked by a borrow.
    let below = word.wrapping_sub(ONES * 0x20);
    let marked = below | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
    let found = marked & !word & HIGHS;
    (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
}

#[inline]
fn escape_byte(byte: u8, out: &mut [u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => {
            if let Some(slot) = out.first_chunk_mut::<MAX_ESCAPED>() {
                *slot = [
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    b'0' + (byte >> 4),
                    HEX.get(usize::from(byte & 15)).copied().unwrap_or_default(),
                ];
            }
            return MAX_ESCAPED;
        }
        quote => quote,
    };
    if let Some(slot) = out.first_chunk_mut::<2>() {
        *slot = [b'\\', short];
    }
    2
}

/// Brings a body into standard JSON: bare and object keys become texts, single quotes double ones, and a comma before a
/// closing bracket goes. A body that is standard already is borrowed. Nesting is limited to
/// [`MAX_JSON_DEPTH`](crate::limits::MAX_JSON_DEPTH).
///
/// # Errors
///
/// When the text is not JSON in this wider sense.
pub fn normalize(body: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    let mut scanner = Scanner::new(std::str::from_utf8(body).map_err(|_| DecodeError::Utf8("JSON text"))?);
    let mut out = Vec::new();
    let mut copied = 0;
    normalize_value(&mut scanner, &mut out, &mut copied, 0)?;
    scanner.blanks();
    if scanner.at < body.len() {
        return Err(scanner.error("nothing should follow here"));
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(body));
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    Ok(Cow::Owned(out))
}

fn normalize_value(
    scanner: &mut Scanner<'_>,
    out: &mut Vec<u8>,
    copied: &mut usize,
    depth: usize,
) -> Result<(), DecodeError> {
    if depth > MAX_JSON_DEPTH {
        return Err(scanner.error("nested too deeply"));
    }
    scanner.blanks();
    match scanner.peek() {
        Some(open @ (b'{' | b'[')) => {
            let close = if open == b'{' { b'}' } else { b']' };
            scanner.at += 1;
            if scanner.take(close) {
                return Ok(());
            }
            loop {
                if open == b'{' {
                    let key = scanner.key(depth + 1)?;
                    if scanner.range(key.clone()).first() != Some(&b'"') {
                        requote(scanner, key, out, copied)?;
                    }
                    scanner.expect(b':', "a colon should stand here")?;
                }
                normalize_value(scanner, out, copied, depth + 1)?;
                if scanner.take(close) {
                    return Ok(());
                }
                scanner.expect(b',', "a comma or the end should stand here")?;
                let comma = scanner.at - 1;
                if scanner.take(close) {
                    // A comma without anything behind it, which Java takes: leave it out.
                    out.extend_from_slice(scanner.range(*copied..comma));
                    *copied = comma + 1;
                    return Ok(());
                }
            }
        }
        Some(b'\'') => {
            let value = scanner.value(depth)?;
            requote(scanner, value, out, copied)
        }
        _ => scanner.value(depth).map(drop),
    }
}

/// Writes what was copied so far and then this piece as a standard text.
fn requote(
    scanner: &Scanner<'_>,
    piece: Range<usize>,
    out: &mut Vec<u8>,
    copied: &mut usize,
) -> Result<(), DecodeError> {
    out.extend_from_slice(scanner.range(*copied..piece.start));
    *copied = piece.end;
    let bytes = scanner.range(piece);
    let text = if bytes.first() == Some(&b'\'') {
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8("JSON text"))?;
        Scanner::new(text).string()?.decode()?
    } else {
        Cow::Borrowed(std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8("JSON text"))?)
    };
    serde_json::to_writer(&mut *out, &*text).map_err(|error| DecodeError::Body(error.to_string()))
}
