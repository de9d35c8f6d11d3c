//! The two ways to write a command's header. Servers answer in the one that they are configured for, whatever the request
//! used, so both are always read.

pub(crate) mod binary;
mod index;
pub(crate) mod json;
mod merge;
mod tail;

pub(crate) use index::{FieldIndex, Place};
pub(crate) use merge::Merged;
pub(crate) use tail::Tail;

/// What stands before a header: the length of the frame, the format, and the length of the header. Those who write headers leave room
/// for it.
pub(crate) const PREFIX_BYTES: usize = 8;

/// How a header is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "SerializeType")]
#[doc(alias = "ROCKETMQ_SERIALIZE_TYPE")]
pub enum HeaderFormat {
    /// JSON text: what servers use unless told otherwise.
    #[default]
    Json,
    /// The ROCKETMQ binary layout: smaller and cheaper. Request codes above 32,767 do not fit it and go as JSON.
    Binary,
}

impl HeaderFormat {
    /// The type byte of the frame.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::Binary => 1,
        }
    }
}
