use std::io::{self, Read};

use bytes::Bytes;

use crate::{Codec, CompressionError};

/// Reads to the end, but never more than `limit` bytes. Grows with what has come, not with what a header claims.
pub(crate) fn read_to_limit(
    codec: Codec,
    mut reader: impl Read,
    compressed_bytes: usize,
    limit: usize,
) -> Result<Bytes, CompressionError> {
    let corrupt = |source: io::Error| CompressionError::Corrupt { codec, source };
    let mut out = Vec::with_capacity(compressed_bytes.saturating_mul(2).min(limit).min(64 * 1024));
    let over = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.by_ref().take(over).read_to_end(&mut out).map_err(corrupt)?;
    if out.len() > limit {
        return Err(CompressionError::TooLarge { codec, limit });
    }
    Ok(out.into())
}
