use std::{fmt, str::FromStr, sync::Arc};

use crate::{Failure, SetupError, system};

/// Why a name cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// Nothing but blanks.
    Blank,
    /// More characters than allowed.
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A character outside `%|a-zA-Z0-9_-`.
    IllegalCharacter,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("it is blank"),
            Self::TooLong { limit } => write!(f, "it is longer than {limit} characters"),
            Self::IllegalCharacter => {
                f.write_str("it contains a character other than letters, digits, '%', '|', '-' and '_'")
            }
        }
    }
}

const fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'-' | b'_')
}

const fn check_name(name: &str, limit: usize) -> Result<(), InvalidName> {
    let mut blank = true;
    let mut legal = true;
    let mut bytes = name.as_bytes();
    while let [first, rest @ ..] = bytes {
        blank &= first.is_ascii_whitespace();
        legal &= is_legal(*first);
        bytes = rest;
    }
    if blank {
        Err(InvalidName::Blank)
    } else if !legal {
        Err(InvalidName::IllegalCharacter)
    } else if name.len() > limit {
        Err(InvalidName::TooLong { limit })
    } else {
        Ok(())
    }
}

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared(Arc<str>),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Repr);

        impl $name {
            /// The longest name that brokers take.
            pub const MAX_LENGTH: usize = $limit;

            /// A name that is known when the program is written. In a `const`, a bad one does not compile.
            ///
            /// # Panics
            ///
            /// When the name is not valid and this is not evaluated by the compiler.
            pub const fn from_static(name: &'static str) -> Self {
                match check_name(name, $limit) {
                    Ok(()) => Self(Repr::Static(name)),
                    Err(InvalidName::Blank) => panic!(concat!("a ", $what, " must not be blank")),
                    Err(InvalidName::TooLong { .. }) => panic!(concat!("this ", $what, " is too long")),
                    Err(InvalidName::IllegalCharacter) => {
                        panic!(concat!("a ", $what, " has only letters, digits, '%', '|', '-' and '_'"))
                    }
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                match &self.0 {
                    Repr::Static(name) => name,
                    Repr::Shared(name) => name,
                }
            }

            /// Whether brokers accept this name.
            pub fn check(&self) -> Result<(), InvalidName> {
                check_name(self.as_str(), $limit)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Repr::Shared(name.into()))
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(Repr::Shared(name.into()))
            }
        }

        impl From<&String> for $name {
            fn from(name: &String) -> Self {
                Self(Repr::Shared(name.as_str().into()))
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        /// Checks now instead of at first use.
        impl FromStr for $name {
            type Err = SetupError;

            fn from_str(text: &str) -> Result<Self, SetupError> {
                let name = Self::from(text);
                match name.check() {
                    Ok(()) => Ok(name),
                    Err(invalid) => Err(SetupError::from(
                        Failure::invalid_argument(concat!("read a ", $what), format!("{:?}: {invalid}", text))
                            .with_option($what),
                    )),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                match (&self.0, &other.0) {
                    (Repr::Shared(one), Repr::Shared(two)) if Arc::ptr_eq(one, two) => true,
                    _ => self.as_str() == other.as_str(),
                }
            }
        }

        impl Eq for $name {}

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

name! {
    /// A topic. Cheap to clone.
    ///
    /// Checked where it is used, or at once by `parse`, or by the compiler in a `const` with
    /// [`from_static`](Self::from_static).
    Topic, "topic", 127
}
name! {
    /// A producer or consumer group. Cheap to clone; checked as a [`Topic`] is.
    Group, "group", 120
}

impl Topic {
    /// The longest retry or dead-letter topic that brokers take. The client's own limit for such names is larger than
    /// for others, because a group of legal length must have a legal retry topic.
    pub const MAX_DERIVED_LENGTH: usize = 255;

    /// Whether this is the retry topic of some group.
    pub fn is_retry(&self) -> bool {
        self.as_str().starts_with(system::RETRY_PREFIX)
    }

    /// Whether this is the dead-letter topic of some group.
    pub fn is_dead_letter(&self) -> bool {
        self.as_str().starts_with(system::DEAD_LETTER_PREFIX)
    }

    /// As [`check`](Self::check), with the larger limit for retry and dead-letter topics.
    pub fn check_for_consuming(&self) -> Result<(), InvalidName> {
        let limit = if self.is_retry() || self.is_dead_letter() { Self::MAX_DERIVED_LENGTH } else { Self::MAX_LENGTH };
        check_name(self.as_str(), limit)
    }
}

impl Group {
    /// `%DLQ%<group>`: what the group gave up on.
    pub fn dead_letter_topic(&self) -> Topic {
        Topic::from(format!("{}{self}", system::DEAD_LETTER_PREFIX))
    }

    /// `%RETRY%<group>`: what the group tries again.
    pub fn retry_topic(&self) -> Topic {
        Topic::from(format!("{}{self}", system::RETRY_PREFIX))
    }
}
