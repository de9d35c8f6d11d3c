use std::{borrow::Cow, ops::Range};

use super::Scanner;
use crate::{DecodeError, limits::MAX_JSON_DEPTH};

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
