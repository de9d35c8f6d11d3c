use std::{borrow::Cow, fmt, ops::Range};

use bytes::Bytes;

use crate::{
    DecodeError, Fields, Frame, HeaderFormat, Language, ResponseCode,
    header::{FieldIndex, binary, json},
};

/// The two bits that a header's flag has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags;

impl Flags {
    /// Set in answers.
    pub const RESPONSE: i32 = 1;
    /// Set in requests that nobody answers.
    pub const ONE_WAY: i32 = 2;
}

/// What goes into a header that is written.
pub(crate) struct Head<'a> {
    pub(crate) code: i32,
    pub(crate) language: Language,
    pub(crate) version: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<&'a str>,
}

/// A frame whose header was read: a request or an answer. Ext fields are read when asked for; unknown codes and fields are
/// kept.
#[derive(Clone)]
#[doc(alias = "RemotingCommand")]
pub struct Command {
    /// What is asked, or how it ended.
    pub code: i32,
    /// The sender's language; `None` for one that nobody knows.
    pub language: Option<Language>,
    /// The sender's version number.
    pub version: i32,
    /// Pairs answers with requests; each direction of a connection counts for itself.
    pub opaque: i32,
    /// See [`Flags`].
    pub flag: i32,
    format: HeaderFormat,
    remark: Option<Range<usize>>,
    fields: Option<Range<usize>>,
    index: FieldIndex,
    header: Bytes,
    body: Bytes,
}

impl Command {
    /// Reads the header of a frame.
    ///
    /// # Errors
    ///
    /// When the header cannot be read; a peer that sends such a frame is no peer, and the connection should be closed.
    pub fn read(frame: Frame) -> Result<Self, DecodeError> {
        let Frame { format, header, body } = frame;
        match format {
            HeaderFormat::Json => {
                let head = json::read(&header)?;
                Ok(Self {
                    code: head.code,
                    language: head.language,
                    version: head.version,
                    opaque: head.opaque,
                    flag: head.flag,
                    format,
                    remark: head.remark,
                    fields: head.fields,
                    index: head.index,
                    header,
                    body,
                })
            }
            HeaderFormat::Binary => {
                let head = binary::read(&header)?;
                Ok(Self {
                    code: head.code,
                    language: head.language,
                    version: head.version,
                    opaque: head.opaque,
                    flag: head.flag,
                    format,
                    remark: head.remark,
                    fields: head.fields,
                    index: head.index,
                    header,
                    body,
                })
            }
        }
    }

    /// Whether this answers a request. Look here first: the opaques of the two directions overlap.
    pub fn is_response(&self) -> bool {
        self.flag & Flags::RESPONSE != 0
    }

    /// Whether nobody waits for an answer.
    pub fn is_one_way(&self) -> bool {
        self.flag & Flags::ONE_WAY != 0
    }

    /// The code of an answer.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// How the header was written.
    pub fn format(&self) -> HeaderFormat {
        self.format
    }

    /// The remark: a server's explanation, sometimes with a success too.
    pub fn remark(&self) -> Option<Cow<'_, str>> {
        let bytes = self.header.get(self.remark.clone()?)?;
        match self.format {
            HeaderFormat::Json => json::text(bytes).ok(),
            HeaderFormat::Binary => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        }
    }

    /// The ext fields.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self.format, &self.header, self.fields.clone(), &self.index)
    }

    /// Whether there were ext fields at all; an empty set counts.
    pub fn has_fields(&self) -> bool {
        self.fields.is_some()
    }

    /// The body; empty when there is none, which the wire does not tell apart.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body alone.
    pub fn into_body(self) -> Bytes {
        self.body
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No field values: they may be keys, properties or signatures.
        f.debug_struct("Command")
            .field("code", &self.code)
            .field("opaque", &self.opaque)
            .field("flag", &self.flag)
            .field("version", &self.version)
            .field("remark", &self.remark())
            .field("header_bytes", &self.header.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
