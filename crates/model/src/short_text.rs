use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// A text that is nearly always short, as ids are: up to [`IN_PLACE`](Self::IN_PLACE) bytes are kept where the value is, without
/// memory of their own. What is longer is shared by all clones.
#[derive(Clone)]
pub struct ShortText(Kept);

#[derive(Clone)]
enum Kept {
    InPlace { length: u8, bytes: [u8; ShortText::IN_PLACE] },
    Shared(Arc<str>),
}

impl ShortText {
    /// As many bytes fit beside the length into 40. Ids of hosts with an IPv4 address have 32.
    pub const IN_PLACE: usize = 38;

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::InPlace { length, bytes } => {
                let text = bytes.get(..usize::from(*length)).unwrap_or_default();
                std::str::from_utf8(text).unwrap_or_default()
            }
            Kept::Shared(text) => text,
        }
    }
}

impl From<&str> for ShortText {
    #[inline]
    fn from(text: &str) -> Self {
        let mut bytes = [0; Self::IN_PLACE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(text.as_bytes());
                Self(Kept::InPlace { length, bytes })
            }
            _ => Self(Kept::Shared(text.into())),
        }
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
    fn a_value_with_a_text_in_place_takes_40_bytes() {
        assert_eq!(size_of::<ShortText>(), 40);
    }
}
