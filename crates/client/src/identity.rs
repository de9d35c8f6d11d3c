//! Who this client is to brokers: `<ip>@<instance>`, unique by construction.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The address by which this machine would reach the outside; loopback when there is none. Nothing is sent for it.
pub(crate) fn local_ip() -> IpAddr {
    let outside = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)); // a documentation address
    let routed = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(outside)?;
        socket.local_addr()
    });
    routed.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// An instance name that no other client has, in this process or another: Java's `DEFAULT` collides in containers.
pub(crate) fn random_instance() -> String {
    format!("{}#{:016x}", std::process::id(), fastrand::u64(..))
}

/// `ip@instance`, and `@unit` if there is one (CFG-41); IPv6 in brackets.
pub(crate) fn client_id(ip: IpAddr, instance: &str, unit: Option<&str>) -> String {
    let id = match ip {
        IpAddr::V4(ip) => format!("{ip}@{instance}"),
        IpAddr::V6(ip) => format!("[{ip}]@{instance}"),
    };
    match unit {
        Some(unit) => format!("{id}@{unit}"),
        None => id,
    }
}

/// Whether a name can be part of a client id.
pub(crate) fn is_valid_instance(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != '@')
}
