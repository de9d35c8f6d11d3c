use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut, BytesMut};

use super::SysFlag;
use crate::{DecodeError, body_crc};

const MAGIC_V1: u32 = 0xDAA3_20A7;
const MAGIC_V2: u32 = 0xDAA3_20AB;
/// The smallest record: IPv4 hosts, empty body, topic and properties.
const MIN_BYTES: usize = 91;

/// A message as brokers store it: a view of the buffer it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage<'a> {
    /// What the record takes on the wire.
    pub bytes: u32,
    /// The queue.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// The offset in the queue.
    pub queue_offset: i64,
    /// The offset in the broker's commit log.
    pub commit_log_offset: i64,
    /// Compression and more.
    pub sys_flag: SysFlag,
    /// When the sender made it, Unix milliseconds.
    pub born_ms: i64,
    /// The sender's address.
    pub born_host: Option<SocketAddr>,
    /// When the broker stored it, Unix milliseconds.
    pub stored_ms: i64,
    /// The broker's address.
    pub store_host: Option<SocketAddr>,
    /// How often it was given back.
    pub reconsume_times: i32,
    /// The offset of the half message, for transactions.
    pub prepared_offset: i64,
    /// The checksum that the broker stored.
    pub crc: u32,
    /// Whether the body has that checksum; true when it was not checked.
    pub is_intact: bool,
    /// The body as stored.
    pub body: &'a [u8],
    /// The topic.
    pub topic: &'a str,
    /// The properties in wire form. Not yet known to be UTF-8.
    pub properties: &'a [u8],
}

/// Goes through stored messages, one behind the other, stepping by each record's own size: a record that cannot be read does
/// not take the rest with it (Java drops the rest, EDGE-32).
#[derive(Clone, Debug)]
pub struct StoredMessages<'a> {
    buffer: &'a [u8],
    at: usize,
    check_crc: bool,
    /// The topic of the message before: nearly always that of the next one too.
    topic: &'a str,
}

impl<'a> StoredMessages<'a> {
    /// The messages in the body of a pull answer. Checksums are compared.
    pub fn new(buffer: &'a [u8]) -> Self {
        Self { buffer, at: 0, check_crc: true, topic: "" }
    }

    /// Does not compare checksums.
    pub fn without_crc(mut self) -> Self {
        self.check_crc = false;
        self
    }

    /// Begins at this place of the buffer, which should be a [`position`](Self::position) of before.
    pub fn starting_at(mut self, position: usize) -> Self {
        self.at = position;
        self
    }

    /// Where the next record begins in the buffer.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for StoredMessages<'a> {
    type Item = Result<StoredMessage<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.buffer.get(self.at..).filter(|rest| !rest.is_empty())?;
        let size =
            rest.first_chunk::<4>().map(|size| i32::from_be_bytes(*size)).and_then(|size| usize::try_from(size).ok());
        match size {
            Some(size) if size >= MIN_BYTES && size <= rest.len() => {
                self.at += size;
                let record = rest.get(..size).unwrap_or_default();
                Some(read_record(record, self.check_crc, &mut self.topic))
            }
            _ => {
                self.at = self.buffer.len();
                Some(Err(DecodeError::Lengths("a stored message")))
            }
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, _) = self.bytes.get(self.at..)?.split_first_chunk::<N>()?;
        self.at += N;
        Some(*chunk)
    }

    #[inline]
    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    #[inline]
    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    #[inline(always)]
    fn host(&mut self, v6: bool) -> Option<Option<SocketAddr>> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.take::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.take::<4>()?))
        };
        let port = self.i32()?;
        Some(u16::try_from(port).ok().map(|port| SocketAddr::new(ip, port)))
    }

    #[inline]
    fn range(&mut self, length: usize) -> Option<std::ops::Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }
}

fn read_record<'a>(
    record: &'a [u8],
    check_crc: bool,
    known_topic: &mut &'a str,
) -> Result<StoredMessage<'a>, DecodeError> {
    let broken = || DecodeError::Lengths("a stored message");
    let mut cursor = Cursor { bytes: record, at: 4 };
    let magic = cursor.take::<4>().map(u32::from_be_bytes).ok_or_else(broken)?;
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        return Err(DecodeError::Magic(magic));
    }
    let mut fields = || -> Option<_> {
        let crc = cursor.i32()? as u32;
        let queue_id = cursor.i32()?;
        let flag = cursor.i32()?;
        let queue_offset = cursor.i64()?;
        let commit_log_offset = cursor.i64()?;
        let sys_flag = SysFlag(cursor.i32()?);
        let born_ms = cursor.i64()?;
        let born_host = cursor.host(sys_flag.has(SysFlag::BORN_HOST_V6))?;
        let stored_ms = cursor.i64()?;
        let store_host = cursor.host(sys_flag.has(SysFlag::STORE_HOST_V6))?;
        let reconsume_times = cursor.i32()?;
        let prepared_offset = cursor.i64()?;
        let body_length = usize::try_from(cursor.i32()?).ok()?;
        let body = cursor.range(body_length)?;
        let topic_length = if magic == MAGIC_V1 {
            usize::from(cursor.take::<1>()?[0])
        } else {
            usize::from(cursor.take::<2>().map(u16::from_be_bytes)?)
        };
        let topic = cursor.range(topic_length)?;
        let properties_length = usize::try_from(cursor.take::<2>().map(i16::from_be_bytes)?).ok()?;
        let properties = cursor.range(properties_length)?;
        let message = StoredMessage {
            bytes: record.len() as u32,
            queue_id,
            flag,
            queue_offset,
            commit_log_offset,
            sys_flag,
            born_ms,
            born_host,
            stored_ms,
            store_host,
            reconsume_times,
            prepared_offset,
            crc,
            is_intact: true,
            body: record.get(body)?,
            topic: "",
            properties: record.get(properties)?,
        };
        Some((message, topic))
    };
    let (mut message, topic) = fields().ok_or_else(broken)?;
    let topic = record.get(topic).unwrap_or_default();
    if topic != known_topic.as_bytes() {
        *known_topic = std::str::from_utf8(topic).map_err(|_| DecodeError::Utf8("the topic of a stored message"))?;
    }
    message.topic = known_topic;
    if check_crc && !message.body.is_empty() {
        message.is_intact = body_crc(message.body) == message.crc;
    }
    Ok(message)
}

/// What a server stores.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields of `StoredMessage`")]
pub struct StoredParts<'a> {
    pub queue_id: i32,
    pub flag: i32,
    pub queue_offset: i64,
    pub commit_log_offset: i64,
    pub sys_flag: SysFlag,
    pub born_ms: i64,
    pub born_host: SocketAddr,
    pub stored_ms: i64,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_offset: i64,
    pub body: &'a [u8],
    pub topic: &'a str,
    pub properties: &'a str,
}

/// Appends a record as brokers store it, and says how long it is. The bits for IPv6 hosts are set here; topics above 127 bytes
/// get the second layout.
pub fn write_stored(parts: &StoredParts<'_>, out: &mut BytesMut) -> usize {
    let start = out.len();
    let mut sys_flag = parts.sys_flag.0 & !(SysFlag::BORN_HOST_V6 | SysFlag::STORE_HOST_V6);
    if parts.born_host.is_ipv6() {
        sys_flag |= SysFlag::BORN_HOST_V6;
    }
    if parts.store_host.is_ipv6() {
        sys_flag |= SysFlag::STORE_HOST_V6;
    }
    let long_topic = parts.topic.len() > 127;
    out.put_i32(0);
    out.put_u32(if long_topic { MAGIC_V2 } else { MAGIC_V1 });
    out.put_u32(body_crc(parts.body));
    out.put_i32(parts.queue_id);
    out.put_i32(parts.flag);
    out.put_i64(parts.queue_offset);
    out.put_i64(parts.commit_log_offset);
    out.put_i32(sys_flag);
    out.put_i64(parts.born_ms);
    put_host(parts.born_host, out);
    out.put_i64(parts.stored_ms);
    put_host(parts.store_host, out);
    out.put_i32(parts.reconsume_times);
    out.put_i64(parts.prepared_offset);
    out.put_i32(parts.body.len() as i32);
    out.put_slice(parts.body);
    if long_topic {
        out.put_u16(parts.topic.len() as u16);
    } else {
        out.put_u8(parts.topic.len() as u8);
    }
    out.put_slice(parts.topic.as_bytes());
    out.put_i16(parts.properties.len() as i16);
    out.put_slice(parts.properties.as_bytes());
    let size = out.len() - start;
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&(size as u32).to_be_bytes());
    }
    size
}

fn put_host(host: SocketAddr, out: &mut BytesMut) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_i32(i32::from(host.port()));
}
