use crate::{DecodeError, header::Tail};

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
    loop {
        let rest = text.get(read..).unwrap_or_default();
        let (1..8, Some(slot)) = (rest.len(), out.get_mut(written..).and_then(|rest| rest.first_chunk_mut::<8>()))
        else {
            return written;
        };
        let word = filled_up(rest);
        *slot = word.to_le_bytes();
        match first_escaped(word) {
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

/// What is left at the end, less than eight bytes, with blanks behind it. Put together from pieces that may overlap, because a copy
/// of so few bytes is dear.
#[inline]
fn filled_up(rest: &[u8]) -> u64 {
    const BLANKS: u64 = 0x2020_2020_2020_2020;
    let word = if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << ((rest.len() - 4) * 8)
    } else if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << ((rest.len() - 2) * 8)
    } else {
        rest.first().copied().map_or(0, u64::from)
    };
    word | BLANKS << (rest.len() * 8)
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

/// Writes what stands for a byte that is escaped, and says how long it is.
#[inline]
fn escape_byte(byte: u8, out: &mut [u8]) -> usize {
    let Some(&(text, length)) = ESCAPES.get(usize::from(byte)) else { return 0 };
    if let Some(slot) = out.first_chunk_mut::<8>() {
        *slot = text;
    }
    usize::from(length)
}

/// What stands for each byte up to the backslash, and how long it is: stored whole, which is cheaper than to put it together. Properties
/// have two bytes that are escaped in each pair.
#[allow(clippy::indexing_slicing, reason = "done when this is compiled")]
static ESCAPES: [([u8; 8], u8); b'\\' as usize + 1] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut all = [([0; 8], 0); b'\\' as usize + 1];
    let mut byte = 0;
    while byte < all.len() {
        all[byte] = match byte as u8 {
            b'\n' => (*b"\\n      ", 2),
            b'\r' => (*b"\\r      ", 2),
            b'\t' => (*b"\\t      ", 2),
            control @ 0..0x20 => {
                let [high, low] = [HEX[control as usize >> 4], HEX[control as usize & 15]];
                ([b'\\', b'u', b'0', b'0', high, low, b' ', b' '], MAX_ESCAPED as u8)
            }
            other => ([b'\\', other, b' ', b' ', b' ', b' ', b' ', b' '], 2),
        };
        byte += 1;
    }
    all
};

/// The text of what stands between quotes.
pub(super) fn unescape(text: &str) -> Result<String, DecodeError> {
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
