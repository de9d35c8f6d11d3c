/// The checksum of a stored body: CRC-32 (IEEE) without its highest bit, over the bytes as stored.
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}
