//! Limits on what a peer can make us keep. Each length from the wire is a claim: it is compared with one of these before
//! anything is allocated for it.

/// The largest frame, its own 4 length bytes included: the limit of Java servers (`com.rocketmq.remoting.frameMaxLength`).
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The smallest limit that can be configured: below it ordinary answers would not fit.
pub const MIN_FRAME_LIMIT: usize = 64 * 1024;
/// The largest command header that is read. Java servers put at most some kilobytes there.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The most ext fields in one header.
pub const MAX_EXT_FIELDS: usize = 1_024;
/// The deepest nesting of JSON that is read, in headers and in bodies.
pub const MAX_JSON_DEPTH: usize = 64;
/// The largest header that is written: its length has 24 bits on the wire, and servers refuse larger ones long before.
pub const MAX_WRITTEN_HEADER_BYTES: usize = 0x00FF_FFFF;
/// What is reserved ahead of received bytes, whatever length a frame claims.
pub const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Bodies up to this size are copied behind their header; larger ones travel as a segment of their own. Measured: below
/// 4 KiB a copy is cheaper than a vectored write.
pub const COPY_BODY_BYTES: usize = 4 * 1024;
/// The most entries of one kind that are kept of a body: brokers, addresses, members. An entry of three bytes on the wire
/// becomes one of a hundred in memory.
pub const MAX_BODY_ENTRIES: usize = 65_536;
