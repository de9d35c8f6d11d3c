use thiserror::Error;

/// Bytes that are not what the protocol says. Whoever reads them closes the connection or refuses the message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A frame claims a length that no frame has.
    #[error("a frame claims {claimed} bytes; between 4 and {limit} are possible")]
    FrameLength {
        /// The claim.
        claimed: i64,
        /// The limit in force.
        limit: usize,
    },
    /// A frame's header is longer than the frame, or than any header.
    #[error("a header claims {claimed} bytes; at most {limit} are possible here")]
    HeaderLength {
        /// The claim.
        claimed: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The header is written in a way that nobody knows.
    #[error("unknown header serialization {0}; 0 (JSON) and 1 (ROCKETMQ) are known")]
    Serialization(u8),
    /// The text of a header or body is not JSON as Java servers write it.
    #[error("not readable as JSON at byte {at}: {what}")]
    Json {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// JSON of another shape than expected.
    #[error("JSON body: {0}")]
    Body(String),
    /// A binary header or a message record ends too early, or holds a length that leads out of it.
    #[error("truncated or inconsistent lengths in {0}")]
    Lengths(&'static str),
    /// Text that is not UTF-8.
    #[error("{0} is not UTF-8 text")]
    Utf8(&'static str),
    /// More ext fields than any peer sends.
    #[error("more than {0} ext fields")]
    TooManyFields(usize),
    /// A field that must be there is not.
    #[error("field {0:?} is missing")]
    MissingField(&'static str),
    /// A field that should hold something else.
    #[error("field {name:?} holds {value:?}, which is not {expected}")]
    Field {
        /// Its name.
        name: &'static str,
        /// The beginning of its text.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A message record with a layout that nobody knows.
    #[error("unknown message layout {0:#010x}")]
    Magic(u32),
}
