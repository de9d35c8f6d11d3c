//! Free loopback ports for servers that must be told theirs before they start.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// Below the range from which systems take ports of outgoing connections, so that nobody gets a stopped broker's port.
const FIRST: u16 = 11_000;
const SPAN: u16 = 20_000;
/// Ports that belong together: a broker's `listenPort − 2`, `listenPort` and `listenPort + 1`, and one to spare.
const STEP: u16 = 4;

/// The ports of one name server and one broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) name_server: u16,
    /// `listenPort`; the VIP port is two below.
    pub(crate) broker: u16,
    /// `haListenPort`.
    pub(crate) ha: u16,
}

impl Ports {
    /// Ports that are free now. Somebody may still take one before its server does: then start again.
    pub(crate) fn free() -> Result<Self> {
        let mut blocks = free_blocks();
        let (Some(first), Some(second)) = (blocks.next(), blocks.next()) else {
            bail!("there are no free ports between {FIRST} and {}", FIRST + SPAN);
        };
        Ok(Self { name_server: first, broker: second + 2, ha: second + 3 })
    }
}

/// The first ports of free blocks, beginning at a place that differs from run to run.
fn free_blocks() -> impl Iterator<Item = u16> {
    let blocks = u32::from(SPAN / STEP);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let start = (nanos / 1_000).wrapping_add(std::process::id().wrapping_mul(7_919)) % blocks;
    (0..blocks).filter_map(move |offset| {
        let block = u16::try_from((start + offset) % blocks).ok()?;
        let port = FIRST + block * STEP;
        (port..port + STEP).all(is_free).then_some(port)
    })
}

/// Free on every interface: the HA port, and every port of 4.9.7, listens on all of them.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn the_ports_do_not_overlap() {
        let Ports { name_server, broker, ha } = Ports::free().unwrap();
        let all = [name_server, broker - 2, broker, ha];
        assert!(all.iter().all(|port| (FIRST..FIRST + SPAN).contains(port)));
        assert!(all.iter().enumerate().all(|(index, port)| !all[..index].contains(port)));
    }
}
