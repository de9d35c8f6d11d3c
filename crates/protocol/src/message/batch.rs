use bytes::{BufMut, Bytes, BytesMut};

use crate::DecodeError;

const FIXED_BYTES: usize = 4 + 4 + 4 + 4 + 4 + 2;

/// One message of a batch: `size | magic 0 | crc 0 | flag | body length, body | properties length, properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchRecord {
    /// The user's flag.
    pub flag: i32,
    /// The body, never compressed.
    pub body: Bytes,
    /// The properties in wire form.
    pub properties: Bytes,
}

/// Appends one message to a batch body. Properties must not be longer than 32,767 bytes; senders check.
pub fn push_batch_record(flag: i32, body: &[u8], properties: &str, out: &mut BytesMut) {
    let size = FIXED_BYTES + body.len() + properties.len();
    out.reserve(size);
    out.put_i32(size as i32);
    out.put_i32(0);
    out.put_i32(0);
    out.put_i32(flag);
    out.put_i32(body.len() as i32);
    out.put_slice(body);
    out.put_i16(properties.len() as i16);
    out.put_slice(properties.as_bytes());
}

/// Takes a batch body apart, without copying. Ends at the first record that cannot be read.
#[derive(Clone, Debug)]
pub struct BatchRecords {
    rest: Bytes,
}

impl BatchRecords {
    /// The messages in this body.
    pub fn new(body: Bytes) -> Self {
        Self { rest: body }
    }

    fn read(&mut self) -> Result<BatchRecord, DecodeError> {
        let broken = DecodeError::Lengths("a batch");
        let bytes = &self.rest;
        let int = |at: usize| {
            let slice = bytes.get(at..at.checked_add(4)?)?;
            Some(i32::from_be_bytes(slice.try_into().ok()?))
        };
        let length = |at| int(at).and_then(|length| usize::try_from(length).ok()).ok_or(broken.clone());
        let size = length(0)?;
        if size < FIXED_BYTES || size > bytes.len() {
            return Err(broken);
        }
        let flag = int(12).ok_or(broken.clone())?;
        let body_length = length(16)?;
        let body_end = body_length.checked_add(20).filter(|end| end + 2 <= size).ok_or(broken.clone())?;
        let properties_length = bytes
            .get(body_end..body_end + 2)
            .and_then(|slice| slice.try_into().ok())
            .map(i16::from_be_bytes)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(broken.clone())?;
        let properties_end = body_end + 2 + properties_length;
        if properties_end > size {
            return Err(broken);
        }
        let mut record = self.rest.split_to(size);
        let properties = record.slice(body_end + 2..properties_end);
        record.truncate(body_end);
        Ok(BatchRecord { flag, body: record.split_off(20), properties })
    }
}

impl Iterator for BatchRecords {
    type Item = Result<BatchRecord, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.rest.clear();
        }
        Some(record)
    }
}
