use std::{
    fmt,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::MessageId;

/// Gives messages their unique ids (PRO-ID-01): upper-case hex of IP, process id, a per-process number, milliseconds
/// since the start of the month, and a counter. Tools read host and time from it.
///
/// The month begins in UTC here, in local time in Java. Ids never repeat within one generator, also when the wall clock
/// stands still or goes back: time and counter are one number that only grows.
#[derive(Debug)]
#[doc(alias = "MessageClientIDSetter")]
pub struct IdGenerator {
    prefix: String,
    /// Milliseconds since 1970 in the upper 48 bits, the counter in the lower 16.
    last: AtomicU64,
    /// The start of the month of the last calendar computation.
    month: AtomicU64,
}

/// What an id has on a host with an IPv6 address.
const LONGEST: usize = 56;

/// What every month has at least.
const SHORTEST_MONTH_MS: u64 = 28 * 24 * 3_600 * 1_000;

impl IdGenerator {
    /// A generator for this host and process. `process_number` should be random: it takes the place of Java's class-loader
    /// hash.
    pub fn new(ip: IpAddr, process_id: u16, process_number: u32) -> Self {
        let mut prefix = String::new();
        match ip {
            IpAddr::V4(ip) => push_hex(&mut prefix, &ip.octets()),
            IpAddr::V6(ip) => push_hex(&mut prefix, &ip.octets()),
        }
        push_hex(&mut prefix, &process_id.to_be_bytes());
        push_hex(&mut prefix, &process_number.to_be_bytes());
        Self { prefix, last: AtomicU64::new(0), month: AtomicU64::new(0) }
    }

    /// The next id. `now_ms` is the wall clock in Unix milliseconds.
    #[allow(clippy::indexing_slicing, reason = "a prefix has 44 characters at most, and 12 follow")]
    pub fn next(&self, now_ms: u64) -> MessageId {
        let wanted = now_ms << 16;
        let before = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(wanted.max(last + 1)))
            .unwrap_or(wanted);
        let stamp = wanted.max(before + 1);
        let (ms, counter) = (stamp >> 16, (stamp & 0xFFFF) as u16);
        let mut text = [0u8; LONGEST];
        let length = self.prefix.len() + 12;
        text[..self.prefix.len()].copy_from_slice(self.prefix.as_bytes());
        let mut at = self.prefix.len();
        let since = ms.wrapping_sub(self.month_start(ms)) as u32;
        for byte in since.to_be_bytes().into_iter().chain(counter.to_be_bytes()) {
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        std::str::from_utf8(&text[..length]).unwrap_or_default().into()
    }

    /// The calendar is asked only when the month may be another one.
    fn month_start(&self, ms: u64) -> u64 {
        let known = self.month.load(Ordering::Relaxed);
        if known > 0 && ms >= known && ms - known < SHORTEST_MONTH_MS {
            return known;
        }
        let start = month_start_ms(ms);
        self.month.store(start, Ordering::Relaxed);
        start
    }
}

/// What a unique id says about its maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UniqueIdParts {
    /// The maker's address.
    pub ip: IpAddr,
    /// The lower half of its process id.
    pub process_id: u16,
    /// Its per-process number.
    pub process_number: u32,
    /// Milliseconds since the start of the month.
    pub ms_in_month: u32,
    /// The counter.
    pub counter: u16,
}

impl UniqueIdParts {
    /// Takes an id apart; `None` for ids of another make.
    pub fn parse(id: &str) -> Option<Self> {
        let (ip, [p0, p1, n0, n1, n2, n3, m0, m1, m2, m3, c0, c1]) = address_and_rest(&from_hex(id)?)?;
        Some(Self {
            ip,
            process_id: u16::from_be_bytes([p0, p1]),
            process_number: u32::from_be_bytes([n0, n1, n2, n3]),
            ms_in_month: u32::from_be_bytes([m0, m1, m2, m3]),
            counter: u16::from_be_bytes([c0, c1]),
        })
    }
}

/// The broker's id of a stored message: where it is and at which commit log offset. `Display` and `parse` are the hex
/// text of the wire: 32 characters for IPv4, 56 for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "offsetMsgId")]
pub struct OffsetId {
    /// The broker's address.
    pub ip: IpAddr,
    /// The broker's port; Java keeps it in 32 bits.
    pub port: u32,
    /// The offset in its commit log.
    pub commit_log_offset: i64,
}

impl OffsetId {
    /// Reads an id, in either case of letters; `None` when it is not one.
    pub fn parse(id: &str) -> Option<Self> {
        let (ip, [p0, p1, p2, p3, offset @ ..]) = address_and_rest(&from_hex(id)?)?;
        Some(Self { ip, port: u32::from_be_bytes([p0, p1, p2, p3]), commit_log_offset: i64::from_be_bytes(offset) })
    }
}

impl fmt::Display for OffsetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(56);
        match self.ip {
            IpAddr::V4(ip) => push_hex(&mut text, &ip.octets()),
            IpAddr::V6(ip) => push_hex(&mut text, &ip.octets()),
        }
        push_hex(&mut text, &self.port.to_be_bytes());
        push_hex(&mut text, &self.commit_log_offset.to_be_bytes());
        f.write_str(&text)
    }
}

/// The first millisecond of the month (UTC) that `now_ms` is in.
pub fn month_start_ms(now_ms: u64) -> u64 {
    const DAY_MS: u64 = 86_400_000;
    // Civil date from days since 1970, after Howard Hinnant's public-domain algorithm; only the day of the month is needed.
    let days = now_ms / DAY_MS + 719_468;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    (now_ms / DAY_MS - day_of_month.min(now_ms / DAY_MS)) * DAY_MS
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[allow(clippy::indexing_slicing, reason = "half a byte is below 16")]
fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 64 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8]| {
        let [high, low] = *pair else { return None };
        Some(digit(high)? << 4 | digit(low)?)
    };
    text.as_bytes().chunks_exact(2).map(byte).collect()
}

/// Both kinds of ids: an address of either family, and 12 bytes.
fn address_and_rest(bytes: &[u8]) -> Option<(IpAddr, [u8; 12])> {
    let (ip, rest) = match bytes.len() {
        16 => bytes.split_first_chunk().map(|(ip, rest)| (IpAddr::from(<[u8; 4]>::clone(ip)), rest))?,
        28 => bytes.split_first_chunk().map(|(ip, rest)| (IpAddr::from(<[u8; 16]>::clone(ip)), rest))?,
        _ => return None,
    };
    Some((ip, rest.try_into().ok()?))
}
