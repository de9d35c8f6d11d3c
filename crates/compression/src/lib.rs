//! Message bodies: zlib, lz4 frame and Zstandard, with output limits. A leaf: this crate knows no message, no flag bits and
//! no protocol. Start reading at [`compress`] and [`decompress`].
#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod bounded;
mod error;
#[cfg(feature = "lz4")]
mod lz4;
mod zlib;
#[cfg(feature = "zstd")]
mod zstandard;

use bytes::Bytes;

pub use error::CompressionError;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// A zlib stream (RFC 1950): what Java producers use unless told otherwise.
    Zlib,
    /// The lz4 frame format, by feature `lz4`. It has no levels here.
    Lz4,
    /// Zstandard, by feature `zstd`.
    Zstd,
}

impl Codec {
    /// Whether this build can do it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Zlib => true,
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The feature that brings it.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Zlib => "default",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Compresses a body. `level` is cut to what the codec has.
///
/// # Errors
///
/// When the feature of the codec is not in this build, or the library fails.
pub fn compress(codec: Codec, level: i32, body: &[u8]) -> Result<Bytes, CompressionError> {
    match codec {
        Codec::Zlib => zlib::compress(level, body),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::compress(body),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstandard::compress(level, body),
        #[allow(unreachable_patterns, reason = "reachable without the features")]
        other => Err(CompressionError::MissingFeature { codec: other }),
    }
}

/// Decompresses a body, up to `limit` bytes of output.
///
/// # Errors
///
/// When the feature is not in this build, the bytes are not what they should be, or the output would be larger than `limit`.
pub fn decompress(codec: Codec, body: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
    match codec {
        Codec::Zlib => zlib::decompress(body, limit),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(body, limit),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstandard::decompress(body, limit),
        #[allow(unreachable_patterns, reason = "reachable without the features")]
        other => Err(CompressionError::MissingFeature { codec: other }),
    }
}
