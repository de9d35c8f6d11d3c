use bytes::Bytes;
use ferrocket_backend::BodyEncoding;
use ferrocket_compression::Codec;

/// Bodies above this size are compressed on the blocking pool, so that no other task of the runtime waits for it: 64 KiB take
/// about 400 µs.
const BLOCKING_ABOVE: usize = 64 * 1024;

/// How a producer compresses bodies. Default: zlib at level 5, from 4,096 bytes, as Java. What does not become smaller is sent as
/// it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "compressType")]
#[doc(alias = "compressMsgBodyOverHowmuch")]
pub struct Compression {
    codec: Option<Codec>,
    level: i32,
    over_bytes: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self::zlib()
    }
}

impl Compression {
    const fn with(codec: Option<Codec>) -> Self {
        Self { codec, level: 5, over_bytes: 4096 }
    }

    /// Bodies are sent as they are.
    pub fn off() -> Self {
        Self::with(None)
    }

    /// With zlib, which every client reads.
    pub fn zlib() -> Self {
        Self::with(Some(Codec::Zlib))
    }

    /// With lz4: seven times faster than zlib, and less small. Needs feature `lz4`. Its level is ignored.
    pub fn lz4() -> Self {
        Self::with(Some(Codec::Lz4))
    }

    /// With Zstandard. Needs feature `zstd`.
    pub fn zstd() -> Self {
        Self::with(Some(Codec::Zstd))
    }

    /// The level; a codec cuts it to what it has. Default: 5.
    #[doc(alias = "compressLevel")]
    pub fn level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// From this size on. Default: 4,096 bytes.
    pub fn over_bytes(mut self, bytes: usize) -> Self {
        self.over_bytes = bytes;
        self
    }

    /// What is wrong, if anything: the codec is not in this build.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.codec.filter(|codec| !codec.is_supported()) {
            Some(codec) => Err(format!(
                "{} is not in this build; add feature `{}` of ferrocket, or choose another compression",
                codec.name(),
                codec.feature()
            )),
            None => Ok(()),
        }
    }

    /// Whether a body of this size is to be compressed.
    pub(crate) fn applies(&self, bytes: usize) -> bool {
        self.codec.is_some() && bytes >= self.over_bytes
    }

    /// The body as it is sent. Large ones are compressed on the blocking pool; a failure sends the body as it is (PRO-CMP-01).
    pub(crate) async fn apply(self, body: &Bytes) -> (Bytes, BodyEncoding) {
        let plain = || (body.clone(), BodyEncoding::Plain);
        let Some(codec) = self.codec.filter(|_| self.applies(body.len())) else { return plain() };
        let compressed = if body.len() > BLOCKING_ABOVE {
            let (body, level) = (body.clone(), self.level);
            let work = tokio::task::spawn_blocking(move || ferrocket_compression::compress(codec, level, &body));
            work.await.ok()
        } else {
            Some(ferrocket_compression::compress(codec, self.level, body))
        };
        let encoding = match codec {
            Codec::Lz4 => BodyEncoding::Lz4,
            Codec::Zstd => BodyEncoding::Zstd,
            _ => BodyEncoding::Zlib,
        };
        match compressed {
            Some(Ok(small)) if small.len() < body.len() => (small, encoding),
            Some(Ok(_)) => plain(),
            Some(Err(error)) => {
                tracing::warn!(%error, "a body could not be compressed and is sent as it is");
                plain()
            }
            None => plain(),
        }
    }
}
