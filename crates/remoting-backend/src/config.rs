use std::{sync::Arc, time::Duration};

use ferrocket_model::Namespace;
use ferrocket_remoting::{Dialer, Options};

use crate::DynNameServerSource;

/// How a [`RemotingBackend`](crate::RemotingBackend) runs. Whoever fills it has checked the values.
#[non_exhaustive]
pub struct Config {
    /// Addresses, each `host:port`.
    pub name_servers: Vec<String>,
    /// Where addresses come from instead, when they change.
    pub source: Option<Arc<dyn DynNameServerSource>>,
    /// The id under which this client is a member of groups.
    pub client_id: String,
    /// How connections behave.
    pub options: Options,
    /// How long a call may take that has no limit of its own. Default: 3 s.
    pub request_timeout: Duration,
    /// How often brokers are told who is here. Default: 30 s.
    pub heartbeat_interval: Duration,
    /// The largest body after decompression. Default: 16 MiB.
    pub max_body_bytes: usize,
    /// Whether bodies are decompressed. Default: true.
    pub decompress_bodies: bool,
    /// A namespace of the first kind: a prefix on topics and groups. Default: none.
    pub namespace: Option<Namespace>,
    /// Whether this client belongs to a unit; brokers mark topics and groups that it creates. Default: false.
    pub unit_mode: bool,
    /// Whether sends go to the brokers' second port, two below their own. Default: false.
    pub vip_channel: bool,
    /// What opens connections. Default: TCP.
    pub dialer: Option<Arc<dyn Dialer>>,
}

impl Config {
    /// The defaults, with these name servers and this client id.
    pub fn new(name_servers: Vec<String>, client_id: impl Into<String>) -> Self {
        Self {
            name_servers,
            source: None,
            client_id: client_id.into(),
            options: Options::default(),
            request_timeout: Duration::from_secs(3),
            heartbeat_interval: Duration::from_secs(30),
            max_body_bytes: 16 << 20,
            decompress_bodies: true,
            namespace: None,
            unit_mode: false,
            vip_channel: false,
            dialer: None,
        }
    }
}

/// Splits a list of addresses at `;` or `,`, and checks each part: `host:port`, or `[v6]:port`.
///
/// # Errors
///
/// Which part is wrong, and why; or that there is none.
pub fn parse_addresses(list: &str) -> Result<Vec<String>, String> {
    let mut addresses = Vec::new();
    for part in list.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()) {
        let address = part.strip_prefix("http://").map_or(part, |rest| rest.rsplit('/').next().unwrap_or(rest));
        let wrong =
            |why: &str| Err(format!("{part:?} is not an address: {why}; write host:port, such as 10.0.0.1:9876"));
        let Some((host, port)) = address.rsplit_once(':') else { return wrong("the port is missing") };
        let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if host.is_empty() {
            return wrong("the host is missing");
        }
        if let Some(v6) = v6 {
            if v6.parse::<std::net::Ipv6Addr>().is_err() {
                return wrong("what stands in brackets is no IPv6 address");
            }
        } else if host.contains([':', '[', ']', '/', ' ', '@']) {
            return wrong("the host has characters that no host name has (IPv6 addresses go in brackets)");
        }
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return wrong("the port is not a number between 1 and 65535");
        }
        if !addresses.iter().any(|known| known == address) {
            addresses.push(address.to_owned());
        }
    }
    if addresses.is_empty() { Err("there is no address in it; write host:port".to_owned()) } else { Ok(addresses) }
}
