use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use ferrocket_backend::{Backend, BoxFuture, Scope};
use ferrocket_model::{Failure, Namespace, SetupError};
use ferrocket_remoting_backend::{
    Config, Dialer, DynNameServerSource, HeaderFormat, NameServerSource, Options, RemotingBackend, parse_addresses,
};
use ferrocket_route::{Budget, RouteTable, Stack};

#[cfg(feature = "trace")]
use crate::client::start_tracer;
use crate::{Client, identity};

/// Options of a client. Nothing runs before `connect`.
#[must_use = "a builder does nothing until `connect().await`"]
#[doc(alias = "ClientConfig")]
pub struct ClientBuilder {
    name_servers: Option<String>,
    from_env: bool,
    source: Option<Arc<dyn DynNameServerSource>>,
    instance_name: Option<String>,
    client_ip: Option<IpAddr>,
    unit: Option<String>,
    zone: Option<String>,
    namespace: Option<String>,
    legacy_namespace: Option<String>,
    vip_channel: bool,
    #[cfg(feature = "trace")]
    trace: Option<ferrocket_trace::MessageTrace>,
    options: Options,
    request_timeout: Duration,
    route_refresh: Duration,
    heartbeat_interval: Duration,
    max_body_bytes: usize,
    max_buffer_bytes: usize,
    decompress_bodies: bool,
    shutdown_timeout: Duration,
    dialer: Option<Arc<dyn Dialer>>,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            name_servers: None,
            from_env: false,
            source: None,
            instance_name: None,
            client_ip: None,
            unit: None,
            zone: None,
            namespace: None,
            legacy_namespace: None,
            vip_channel: false,
            #[cfg(feature = "trace")]
            trace: None,
            options: Options::default(),
            request_timeout: Duration::from_secs(3),
            route_refresh: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(30),
            max_body_bytes: 16 << 20,
            max_buffer_bytes: 512 << 20,
            decompress_bodies: true,
            shutdown_timeout: Duration::from_secs(15),
            dialer: None,
        }
    }

    /// Name servers, `host:port` each, separated by `;` or `,`; IPv6 in brackets. All addresses of a host name are tried.
    #[doc(alias = "setNamesrvAddr")]
    pub fn name_servers(mut self, list: impl Into<String>) -> Self {
        self.name_servers = Some(list.into());
        self
    }

    /// Reads the list from the environment variable `NAMESRV_ADDR`. Default: it is not read.
    #[doc(alias = "NAMESRV_ADDR")]
    pub fn name_servers_from_env(mut self) -> Self {
        self.from_env = true;
        self
    }

    /// Asks for the list: in [`connect`](Self::connect), every 120 s, and every 5 s while no server can be reached.
    /// [`connect_lazy`](Self::connect_lazy) does not ask: the first list comes within some seconds after a call has found no server.
    pub fn name_server_source(mut self, source: impl NameServerSource) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The second part of the client id, which members of one group must not share. Default: process id and a random number.
    pub fn instance_name(mut self, name: impl Into<String>) -> Self {
        self.instance_name = Some(name.into());
        self
    }

    /// The first part of the client id. Default: detected.
    #[doc(alias = "setClientIP")]
    pub fn client_ip(mut self, ip: IpAddr) -> Self {
        self.client_ip = Some(ip);
        self
    }

    /// The unit that this client belongs to: the last part of the client id, and a mark on topics and groups that it creates.
    /// Default: none.
    #[doc(alias = "unitName")]
    #[doc(alias = "unitMode")]
    pub fn unit(mut self, name: impl Into<String>) -> Self {
        self.unit = Some(name.into());
        self
    }

    /// The zone that this client is in: name servers answer with its brokers only, where they are set up for zones. Default: none.
    #[doc(alias = "ROCKETMQ_ZONE")]
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// A namespace as 5.x servers know it: every request carries it, and names stay as they are. Default: none.
    #[doc(alias = "namespaceV2")]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// A namespace of the first kind: a prefix `NAME%` on topics and groups, put on for the servers and taken off for you.
    /// Default: none.
    #[doc(alias = "setNamespace")]
    pub fn legacy_namespace(mut self, name: impl Into<String>) -> Self {
        self.legacy_namespace = Some(name.into());
        self
    }

    /// Whether sends go to the brokers' second port (two below their own), which pulls do not use. There is no way back to the
    /// first one when it cannot be reached. Default: false.
    #[doc(alias = "vipChannelEnabled")]
    pub fn vip_channel(mut self, on: bool) -> Self {
        self.vip_channel = on;
        self
    }

    /// RocketMQ's own message trace: records of what is sent, of the ends of transactions, and of each message before and after each
    /// call of a listener, in a topic of their own. Default: off.
    #[cfg(feature = "trace")]
    #[doc(alias = "enableTrace")]
    pub fn message_trace(mut self, trace: ferrocket_trace::MessageTrace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// How long connecting may take. Default: 3 s.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.options.connect_timeout = time;
        self
    }

    /// How long a call may take that has no limit of its own. Default: 3 s.
    #[doc(alias = "mqClientApiTimeout")]
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.request_timeout = time;
        self
    }

    /// How often routes are refreshed; at once when one turns out to be wrong. Default: 30 s.
    #[doc(alias = "pollNameServerInterval")]
    pub fn route_refresh(mut self, interval: Duration) -> Self {
        self.route_refresh = interval;
        self
    }

    /// How often brokers are told who is here. Default: 30 s; brokers forget after 120 s.
    #[doc(alias = "heartbeatBrokerInterval")]
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// A connection without traffic for this long is closed. Default: 120 s.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.options.idle_timeout = time;
        self
    }

    /// The largest frame that is read. Default: 16 MiB.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.options.max_frame_bytes = bytes;
        self
    }

    /// The largest body after decompression. Default: 16 MiB.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// What all consumers of this client may keep in memory. Default: 512 MiB.
    pub fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.max_buffer_bytes = bytes;
        self
    }

    /// How command headers are written; both ways are read. Default: JSON.
    #[doc(alias = "ROCKETMQ_SERIALIZE_TYPE")]
    pub fn header_format(mut self, format: HeaderFormat) -> Self {
        self.options.header_format = format;
        self
    }

    /// Whether bodies are decompressed. Default: true.
    #[doc(alias = "decodeDecompressBody")]
    pub fn decompress_bodies(mut self, on: bool) -> Self {
        self.decompress_bodies = on;
        self
    }

    /// How long [`Client::shutdown`] may take. Default: 15 s.
    pub fn shutdown_timeout(mut self, deadline: Duration) -> Self {
        self.shutdown_timeout = deadline;
        self
    }

    /// Opens connections by other means than TCP: in memory, for tests on a paused clock.
    #[doc(hidden)]
    pub fn dialer(mut self, dialer: impl Dialer) -> Self {
        self.dialer = Some(Arc::new(dialer));
        self
    }

    /// Checks every option, then waits until one name server answers.
    ///
    /// # Errors
    ///
    /// The option that cannot work, or `NameServerUnreachable` with the cause per address.
    ///
    /// # Cancel safety
    ///
    /// Nothing stays when it is dropped.
    pub fn connect(self) -> BoxFuture<'static, Result<Client, SetupError>> {
        Box::pin(async move {
            let timeout = self.request_timeout.max(self.options.connect_timeout);
            let client = self.connect_lazy()?;
            client.remoting().ready(timeout).await?;
            Ok(client)
        })
    }

    /// Checks every option and returns at once; connections are made when they are needed. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// The option that cannot work.
    pub fn connect_lazy(self) -> Result<Client, SetupError> {
        let addresses = self.addresses()?;
        self.check()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(wrong(
                "runtime",
                "there is no tokio runtime here; call this within `#[tokio::main]` or `block_on`",
            ));
        }
        let ip = self.client_ip.unwrap_or_else(identity::local_ip);
        let instance = self.instance_name.unwrap_or_else(identity::random_instance);
        let mut config = Config::new(addresses, identity::client_id(ip, &instance, self.unit.as_deref()));
        config.source = self.source;
        config.options = self.options;
        let fields = &mut config.options.extra_fields;
        if let Some(namespace) = self.namespace {
            fields.extend([("ns", namespace), ("nsd", "true".to_owned())]);
        }
        if let Some(zone) = self.zone {
            fields.extend([("__ZONE_NAME", zone), ("__ZONE_MODE", "true".to_owned())]);
        }
        config.namespace = self.legacy_namespace.map(Namespace::new);
        config.unit_mode = self.unit.is_some();
        config.vip_channel = self.vip_channel;
        config.request_timeout = self.request_timeout;
        config.heartbeat_interval = self.heartbeat_interval;
        config.max_body_bytes = self.max_body_bytes;
        config.decompress_bodies = self.decompress_bodies;
        config.dialer = self.dialer;
        let remoting = Arc::new(RemotingBackend::start(config)?);
        let backend: Arc<dyn Backend> = remoting.clone();
        let stack = Stack {
            routes: RouteTable::start(backend.clone(), self.route_refresh, self.request_timeout),
            backend,
            scope: Arc::new(Scope::new()),
            budget: Arc::new(Budget::new(self.max_buffer_bytes)),
            request_timeout: self.request_timeout,
        };
        #[cfg(feature = "trace")]
        let tracer = self.trace.map(|trace| start_tracer(&stack, trace)).transpose()?;
        Ok(Client::new(
            stack,
            remoting,
            self.shutdown_timeout,
            #[cfg(feature = "trace")]
            tracer,
        ))
    }

    fn addresses(&self) -> Result<Vec<String>, SetupError> {
        let sources =
            usize::from(self.name_servers.is_some()) + usize::from(self.from_env) + usize::from(self.source.is_some());
        if sources > 1 {
            return Err(wrong(
                "name_servers",
                "name servers were given in more than one way; use one of `name_servers`, `name_servers_from_env` and `name_server_source`",
            ));
        }
        if self.source.is_some() {
            return Ok(Vec::new());
        }
        let list = match (&self.name_servers, self.from_env) {
            (Some(list), _) => list.clone(),
            (None, true) => std::env::var("NAMESRV_ADDR").map_err(|_| {
                wrong("name_servers_from_env", "the environment variable NAMESRV_ADDR is not set; set it to host:port")
            })?,
            (None, false) => {
                return Err(wrong(
                    "name_servers",
                    "no name server was given; say for instance `name_servers(\"127.0.0.1:9876\")`",
                ));
            }
        };
        parse_addresses(&list).map_err(|problem| wrong("name_servers", &problem))
    }

    fn check(&self) -> Result<(), SetupError> {
        let second = Duration::from_secs(1);
        if let Some(name) = &self.instance_name
            && !identity::is_valid_instance(name)
        {
            return Err(wrong(
                "instance_name",
                &format!("{name:?} must have visible ASCII characters only, and no '@'"),
            ));
        }
        if let Some(unit) = &self.unit
            && !identity::is_valid_instance(unit)
        {
            return Err(wrong("unit", &format!("{unit:?} must have visible ASCII characters only, and no '@'")));
        }
        if self.namespace.is_some() && self.legacy_namespace.is_some() {
            return Err(wrong("namespace", "`namespace` and `legacy_namespace` exclude each other; use one of them"));
        }
        let texts =
            [("namespace", &self.namespace), ("legacy_namespace", &self.legacy_namespace), ("zone", &self.zone)];
        for (option, text) in texts {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '%') {
                return Err(wrong(option, &format!("{text:?} must not be blank, and have neither blanks nor '%'")));
            }
        }
        #[cfg(feature = "trace")]
        if let Some(Err(problem)) = self.trace.as_ref().map(ferrocket_trace::MessageTrace::check) {
            return Err(wrong("message_trace", &problem));
        }
        if self.request_timeout.is_zero() {
            return Err(wrong("request_timeout", "0 leaves no time for an answer"));
        }
        if self.route_refresh < second {
            return Err(wrong("route_refresh", &format!("{:?} is less than 1 s", self.route_refresh)));
        }
        if self.heartbeat_interval < second || self.heartbeat_interval > 60 * second {
            let problem =
                format!("{:?} is outside of 1 s to 60 s; brokers forget after 120 s", self.heartbeat_interval);
            return Err(wrong("heartbeat_interval", &problem));
        }
        if self.max_body_bytes < 64 << 10 {
            return Err(wrong("max_body_bytes", &format!("{} is less than 64 KiB", self.max_body_bytes)));
        }
        if self.max_buffer_bytes < self.options.max_frame_bytes {
            let problem = format!("{} is less than one frame (`max_frame_bytes`)", self.max_buffer_bytes);
            return Err(wrong("max_buffer_bytes", &problem));
        }
        self.options.check().map_err(|invalid| wrong(invalid.option, invalid.problem))
    }
}

fn wrong(option: &'static str, problem: &str) -> SetupError {
    Failure::invalid_argument("set up a client", problem).with_option(option).into()
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("name_servers", &self.name_servers).finish_non_exhaustive()
    }
}
