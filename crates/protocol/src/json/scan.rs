use std::{borrow::Cow, ops::Range};

use super::escape::unescape;
use crate::{DecodeError, limits::MAX_JSON_DEPTH};

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

    /// Passes over a string, and looks at its escapes.
    pub(crate) fn skip_string(&mut self) -> Result<(), DecodeError> {
        self.string()?.check()
    }

    /// Takes these bytes, if they stand here. Their number is known when this is compiled, so nothing is called.
    #[inline]
    pub(crate) fn literal<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let stands = rest.first_chunk::<N>() == Some(bytes);
        if stands {
            self.at += N;
        }
        stands
    }

    /// Takes `"name":"value"`, where there are neither blanks nor escapes: that is how servers write. `None`: it stands otherwise, and
    /// nothing was taken.
    #[inline]
    pub(crate) fn plain_field(&mut self) -> Option<(Range<usize>, Range<usize>)> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let end = find_special::<b'"'>(bytes, start)?;
        if bytes.get(end..)?.first_chunk::<3>() != Some(b"\":\"") {
            return None;
        }
        let value_start = end + 3;
        let value_end = find_special::<b'"'>(bytes, value_start)?;
        if bytes.get(value_end) != Some(&b'"') {
            return None;
        }
        self.at = value_end + 1;
        Some((start..end, value_start..value_end))
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
