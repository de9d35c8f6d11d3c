use std::cell::RefCell;

use bytes::Bytes;
use zstd::{bulk::Compressor, stream::read::Decoder};

use crate::{Codec, CompressionError, bounded::read_to_limit};

/// The largest window that a frame may ask for: 8 MiB, what every decoder must support. A frame can claim 2 GiB.
const MAX_WINDOW_LOG: u32 = 23;

thread_local! {
    static STATE: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
}

pub(crate) fn compress(level: i32, body: &[u8]) -> Result<Bytes, CompressionError> {
    let corrupt = |source| CompressionError::Corrupt { codec: Codec::Zstd, source };
    STATE.with_borrow_mut(|cached| {
        let (_, compressor) = match cached {
            Some((cached_level, _)) if *cached_level == level => cached.as_mut(),
            _ => {
                *cached = Some((level, Compressor::new(level).map_err(corrupt)?));
                cached.as_mut()
            }
        }
        .ok_or_else(|| corrupt(std::io::Error::other("no compressor")))?;
        compressor.compress(body).map(Bytes::from).map_err(corrupt)
    })
}

pub(crate) fn decompress(body: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
    let corrupt = |source| CompressionError::Corrupt { codec: Codec::Zstd, source };
    let mut decoder = Decoder::with_buffer(body).map_err(corrupt)?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(corrupt)?;
    read_to_limit(Codec::Zstd, decoder, body.len(), limit)
}
