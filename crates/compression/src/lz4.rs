use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use lz4_flex::frame::{BlockMode, FrameDecoder, FrameEncoder, FrameInfo};

use crate::{Codec, CompressionError, bounded::read_to_limit};

pub(crate) fn compress(body: &[u8]) -> Result<Bytes, CompressionError> {
    let corrupt = |source| CompressionError::Corrupt { codec: Codec::Lz4, source };
    let frame = FrameInfo::new().block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::with_capacity(body.len() / 2 + 64));
    encoder.write_all(body).map_err(corrupt)?;
    encoder.finish().map(Bytes::from).map_err(|error| corrupt(error.into()))
}

/// Java's reader takes several frames, one behind the other, and so do we.
pub(crate) fn decompress(body: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
    struct Frames<'a> {
        decoder: FrameDecoder<Cursor<&'a [u8]>>,
        length: u64,
    }
    impl Read for Frames<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            loop {
                let read = self.decoder.read(out)?;
                if read > 0 || out.is_empty() || self.decoder.get_ref().position() >= self.length {
                    return Ok(read);
                }
                let before = self.decoder.get_ref().position();
                let next = self.decoder.read(out)?;
                if next > 0 || self.decoder.get_ref().position() == before {
                    return Ok(next);
                }
            }
        }
    }
    let frames = Frames { decoder: FrameDecoder::new(Cursor::new(body)), length: body.len() as u64 };
    read_to_limit(Codec::Lz4, frames, body.len(), limit)
}
