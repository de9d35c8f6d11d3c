/// The bits that producers and brokers set on a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[doc(alias = "MessageSysFlag")]
pub struct SysFlag(pub i32);

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "CompressionType")]
pub enum CompressionKind {
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard.
    Zstd,
    /// A zlib stream; also what producers mean that name no kind.
    Zlib,
}

impl SysFlag {
    /// The body is compressed.
    pub const COMPRESSED: i32 = 0x001;
    /// A half message.
    pub const TRANSACTION_PREPARED: i32 = 0x004;
    /// A committed message; also what END_TRANSACTION says to commit.
    pub const TRANSACTION_COMMIT: i32 = 0x008;
    /// Both transaction bits: rolled back.
    pub const TRANSACTION_ROLLBACK: i32 = 0x00C;
    /// The born host has 16 bytes. Producers never set it: brokers lose such messages.
    pub const BORN_HOST_V6: i32 = 0x010;
    /// The store host has 16 bytes.
    pub const STORE_HOST_V6: i32 = 0x020;
    /// An inner batch has to be unwrapped.
    pub const NEED_UNWRAP: i32 = 0x040;
    /// An inner batch.
    pub const INNER_BATCH: i32 = 0x080;
    const KIND_MASK: i32 = 0x700;

    /// Whether a bit is set.
    pub fn has(self, bit: i32) -> bool {
        self.0 & bit == bit
    }

    /// Whether the record is a batch that the broker stored whole.
    pub fn is_inner_batch(self) -> bool {
        self.has(Self::NEED_UNWRAP) && self.has(Self::INNER_BATCH)
    }

    /// Sets the bits of a compressed body.
    pub fn with_compression(self, kind: CompressionKind) -> Self {
        let kind = match kind {
            CompressionKind::Lz4 => 0x100,
            CompressionKind::Zstd => 0x200,
            CompressionKind::Zlib => 0x300,
        };
        Self((self.0 & !Self::KIND_MASK) | Self::COMPRESSED | kind)
    }

    /// How the body is compressed: `None` when it is not.
    ///
    /// # Errors
    ///
    /// The kind bits, when nobody knows them.
    pub fn compression(self) -> Result<Option<CompressionKind>, i32> {
        if !self.has(Self::COMPRESSED) {
            return Ok(None);
        }
        match self.0 & Self::KIND_MASK {
            0x100 => Ok(Some(CompressionKind::Lz4)),
            0x200 => Ok(Some(CompressionKind::Zstd)),
            0 | 0x300 => Ok(Some(CompressionKind::Zlib)),
            other => Err(other >> 8),
        }
    }
}
