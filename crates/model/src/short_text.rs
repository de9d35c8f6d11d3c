use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    str::Utf8Error,
    sync::Arc,
};

/// A text that is nearly always short, as ids are: up to [`IN_PLACE`](Self::IN_PLACE) bytes are kept where the value is, without
/// memory of their own. What is longer is shared by all clones.
#[derive(Clone)]
pub struct ShortText(Kept);

#[derive(Clone)]
enum Kept {
    InPlace { length: u8, text: Aligned },
    Shared(Arc<str>),
}

/// Whether bytes are UTF-8 is asked in a third of the time where they begin at a word.
#[derive(Clone)]
#[repr(align(8))]
struct Aligned([u8; ShortText::IN_PLACE]);

impl ShortText {
    /// What ids have of hosts with an IPv4 address.
    pub const IN_PLACE: usize = 32;

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::InPlace { length, text: Aligned(bytes) } => {
                let text = bytes.get(..usize::from(*length)).unwrap_or_default();
                std::str::from_utf8(text).unwrap_or_default()
            }
            Kept::Shared(text) => text,
        }
    }

    /// `None` when there is no room. Bytes that are no UTF-8 read as an empty text.
    #[inline]
    fn in_place(bytes: &[u8]) -> Option<Self> {
        let mut text = Aligned([0; Self::IN_PLACE]);
        text.0.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(Kept::InPlace { length: bytes.len() as u8, text }))
    }
}

impl From<&str> for ShortText {
    #[inline]
    fn from(text: &str) -> Self {
        Self::in_place(text.as_bytes()).unwrap_or_else(|| Self(Kept::Shared(text.into())))
    }
}

impl TryFrom<&[u8]> for ShortText {
    type Error = Utf8Error;

    #[inline]
    fn try_from(bytes: &[u8]) -> Result<Self, Utf8Error> {
        if let Some(short) = Self::in_place(bytes)
            && short.len() == bytes.len()
        {
            return Ok(short);
        }
        std::str::from_utf8(bytes).map(Self::from)
    }
}

impl From<String> for ShortText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Default for ShortText {
    fn default() -> Self {
        "".into()
    }
}

impl Deref for ShortText {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for ShortText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ShortText {}

impl PartialOrd for ShortText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShortText {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for ShortText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_of_every_length_come_back_whole_and_are_told_apart() {
        let long = "Ünïcödé-7F00000142A918B4AAC20B6C8F5D0001-7F00000142A918B4";
        let mut seen = HashSet::new();
        let mut before = ShortText::default();
        for (end, letter) in long.char_indices() {
            let text = &long[..end + letter.len_utf8()];
            let short = ShortText::from(text);
            assert_eq!((short.as_str(), short.clone().as_str(), short.len()), (text, text, text.len()));
            assert!(before < short, "{before} {short}");
            assert!(seen.insert(short.clone()) && !seen.insert(ShortText::from(text)));
            before = short;
        }
        assert_eq!(format!("{before} {before:?}"), format!("{long} {long:?}"));
    }

    #[test]
    fn bytes_are_taken_when_they_are_text_and_refused_otherwise() {
        for text in ["", "short", "Ünïcödé", "7F00000142A918B4AAC20B6C8F5D0001", "7F00000142A918B4AAC20B6C8F5D0001-"]
        {
            assert_eq!(ShortText::try_from(text.as_bytes()).as_deref(), Ok(text));
        }
        for bytes in [&b"\xff"[..], b"Or\xc3", b"7F00000142A918B4AAC20B6C8F5D000\x80", &[b'x', 0x80].repeat(40)] {
            assert_eq!(ShortText::try_from(bytes).ok(), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_value_with_a_text_in_place_takes_40_bytes() {
        assert_eq!(size_of::<ShortText>(), 40);
    }
}
