use thiserror::Error;

use crate::Codec;

/// A body that could not be compressed or decompressed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// This build cannot do it.
    #[error("the body is compressed with {}; build with feature `{}` to read it", codec.name(), codec.feature())]
    MissingFeature {
        /// What it would take.
        codec: Codec,
    },
    /// The output would be larger than allowed.
    #[error("the {} body grows beyond the limit of {limit} bytes", codec.name())]
    TooLarge {
        /// How it was compressed.
        codec: Codec,
        /// The limit.
        limit: usize,
    },
    /// The bytes are not what they should be.
    #[error("the body is not readable as {}", codec.name())]
    Corrupt {
        /// How it should have been compressed.
        codec: Codec,
        /// What the library says.
        source: std::io::Error,
    },
}
