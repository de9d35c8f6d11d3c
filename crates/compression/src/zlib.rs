use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status, read::ZlibDecoder};

use crate::{Codec, CompressionError, bounded::read_to_limit};

/// Levels have their own state, and making one costs more than compressing a small body: keep the last one per thread.
type Cached = RefCell<Option<(u32, Compress)>>;
thread_local! {
    static STATE: Cached = const { RefCell::new(None) };
}

pub(crate) fn compress(level: i32, body: &[u8]) -> Result<Bytes, CompressionError> {
    let level = u32::try_from(level).unwrap_or(6).min(9);
    STATE.with_borrow_mut(|cached| {
        let mut state = match cached.take() {
            Some((cached_level, mut state)) if cached_level == level => {
                state.reset();
                state
            }
            _ => Compress::new(Compression::new(level), true),
        };
        let mut out = Vec::with_capacity(body.len() / 2 + 128);
        loop {
            let consumed = usize::try_from(state.total_in()).unwrap_or(body.len()).min(body.len());
            let status = state
                .compress_vec(body.get(consumed..).unwrap_or_default(), &mut out, FlushCompress::Finish)
                .map_err(|error| CompressionError::Corrupt { codec: Codec::Zlib, source: error.into() })?;
            if status == Status::StreamEnd {
                break;
            }
            out.reserve(out.capacity().max(1024));
        }
        *cached = Some((level, state));
        Ok(out.into())
    })
}

pub(crate) fn decompress(body: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
    read_to_limit(Codec::Zlib, ZlibDecoder::new(body), body.len(), limit)
}
