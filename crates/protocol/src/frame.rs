use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::{
    DecodeError, Flags, HeaderFormat, Language, Request, ResponseCode, VERSION, WriteFields,
    command::Head,
    header::{PREFIX_BYTES, binary, json},
    limits,
};

/// A frame that has been cut out of the stream: header and body as views of the buffer they came in.
///
/// On the wire: total length (4 bytes, not counting itself), serialization (1), header length (3), header, body.
#[derive(Clone, Debug)]
pub struct Frame {
    /// How the header is written.
    pub format: HeaderFormat,
    /// The header's bytes.
    pub header: Bytes,
    /// The rest; may be empty.
    pub body: Bytes,
}

impl Frame {
    /// Cuts the next frame out of `buffer`.
    ///
    /// `Ok(None)`: more bytes are needed, and nothing was consumed; [`missing`](Self::missing) says how many. Nothing is
    /// allocated for what a length claims.
    ///
    /// # Errors
    ///
    /// When the lengths are impossible, or above `max_bytes` (which counts the 4 length bytes, as Java's limit does). The
    /// stream cannot be read any further.
    pub fn decode(buffer: &mut BytesMut, max_bytes: usize) -> Result<Option<Self>, DecodeError> {
        let Some(total) = claimed_length(buffer, max_bytes)? else { return Ok(None) };
        let Some(&[format, a, b, c]) = buffer.get(4..8).and_then(|bytes| <&[u8; 4]>::try_from(bytes).ok()) else {
            return Ok(None);
        };
        let header_length = u32::from_be_bytes([0, a, b, c]) as usize;
        let format = match format {
            0 => HeaderFormat::Json,
            1 => HeaderFormat::Binary,
            other => return Err(DecodeError::Serialization(other)),
        };
        let limit = limits::MAX_HEADER_BYTES.min(total - 4);
        if header_length > limit {
            return Err(DecodeError::HeaderLength { claimed: header_length, limit });
        }
        if buffer.len() < total + 4 {
            return Ok(None);
        }
        buffer.advance(8);
        let header = buffer.split_to(header_length).freeze();
        let body = buffer.split_to(total - 4 - header_length).freeze();
        Ok(Some(Self { format, header, body }))
    }

    /// How many bytes the frame at the start of `buffer` still lacks, as far as it can be told. A claim: never allocate it.
    pub fn missing(buffer: &[u8]) -> usize {
        match buffer.first_chunk::<4>() {
            Some(length) => {
                let total = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
                total.saturating_add(4).saturating_sub(buffer.len())
            }
            None => 8usize.saturating_sub(buffer.len()),
        }
    }
}

fn claimed_length(buffer: &[u8], max_bytes: usize) -> Result<Option<usize>, DecodeError> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let claimed = i32::from_be_bytes(*length);
    match usize::try_from(claimed) {
        Ok(total) if total >= 4 && total <= max_bytes.saturating_sub(4) => Ok(Some(total)),
        _ => Err(DecodeError::FrameLength { claimed: i64::from(claimed), limit: max_bytes }),
    }
}

/// What a request's header says besides the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHead {
    /// Pairs the answer with the request.
    pub opaque: i32,
    /// How to write the header.
    pub format: HeaderFormat,
    /// Whether nobody waits for an answer.
    pub one_way: bool,
    /// The sender's language.
    pub language: Language,
}

impl RequestHead {
    /// A request that is answered, from a client written in Rust.
    pub fn new(opaque: i32, format: HeaderFormat) -> Self {
        Self { opaque, format, one_way: false, language: Language::Rust }
    }

    /// The same, but nobody answers.
    pub fn one_way(mut self) -> Self {
        self.one_way = true;
        self
    }
}

/// What was written: how many bytes into the buffer, and the body that should follow as a segment of its own.
#[derive(Clone, Debug)]
#[must_use = "a large body must follow the buffer"]
pub struct Encoded {
    /// What went into the buffer.
    pub bytes: usize,
    /// A body above [`COPY_BODY_BYTES`](limits::COPY_BODY_BYTES), which was not copied.
    pub body: Option<Bytes>,
}

/// A command that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The header does not fit its 24-bit length.
    #[error("the header has {bytes} bytes, and the wire has room for {}", limits::MAX_WRITTEN_HEADER_BYTES)]
    HeaderTooLong {
        /// Its size.
        bytes: usize,
    },
    /// The frame does not fit the limit of servers.
    #[error("the frame has {bytes} bytes, and servers take at most {}", limits::MAX_FRAME_BYTES)]
    FrameTooLong {
        /// Its size.
        bytes: usize,
    },
}

/// Writes a request behind what is in `out`. `extra` are fields that every request carries (credentials, namespace), sorted
/// by name.
///
/// # Errors
///
/// When the request is too large; `out` is as it was.
pub fn encode_request<R: Request>(
    request: &R,
    head: &RequestHead,
    extra: &[(&'static str, &str)],
    out: &mut BytesMut,
) -> Result<Encoded, EncodeError> {
    let header = Head {
        code: request.code().0,
        language: head.language,
        version: VERSION,
        opaque: head.opaque,
        flag: if head.one_way { Flags::ONE_WAY } else { 0 },
        remark: None,
    };
    encode(&header, head.format, request, extra, request.body(), out)
}

/// Writes an answer behind what is in `out`.
///
/// # Errors
///
/// When the answer is too large; `out` is as it was.
pub fn encode_response(
    opaque: i32,
    code: ResponseCode,
    remark: Option<&str>,
    fields: &dyn WriteFields,
    body: Bytes,
    format: HeaderFormat,
    out: &mut BytesMut,
) -> Result<Encoded, EncodeError> {
    let head = Head { code: code.0, language: Language::Rust, version: VERSION, opaque, flag: Flags::RESPONSE, remark };
    encode(&head, format, fields, &[], body, out)
}

fn encode(
    head: &Head<'_>,
    format: HeaderFormat,
    fields: &dyn WriteFields,
    extra: &[(&'static str, &str)],
    body: Bytes,
    out: &mut BytesMut,
) -> Result<Encoded, EncodeError> {
    let start = out.len();
    // A code above 16 bits does not fit the binary header; servers read both.
    let format = if i16::try_from(head.code).is_ok() { format } else { HeaderFormat::Json };
    match format {
        HeaderFormat::Json => json::write(head, fields, extra, out),
        HeaderFormat::Binary => binary::write(head, fields, extra, out),
    }
    let header_length = out.len() - start - PREFIX_BYTES;
    let total = header_length + body.len() + 4;
    if header_length > limits::MAX_WRITTEN_HEADER_BYTES {
        out.truncate(start);
        return Err(EncodeError::HeaderTooLong { bytes: header_length });
    }
    if total + 4 > limits::MAX_FRAME_BYTES {
        out.truncate(start);
        return Err(EncodeError::FrameTooLong { bytes: total + 4 });
    }
    if let Some(prefix) = out.get_mut(start..start + PREFIX_BYTES) {
        let (length, rest) = prefix.split_at_mut(4);
        length.copy_from_slice(&(total as u32).to_be_bytes());
        rest.copy_from_slice(&((u32::from(format.byte()) << 24) | header_length as u32).to_be_bytes());
    }
    let body = if body.len() > limits::COPY_BODY_BYTES {
        Some(body)
    } else {
        out.put_slice(&body);
        None
    };
    Ok(Encoded { bytes: out.len() - start, body })
}
