use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use ferrocket_backend::{Backend, BoxFuture, Capability, Outcome, spawn};
use ferrocket_model::{BrokerName, ErrorKind, Failure, Remedy};
use ferrocket_protocol::{Request, request::GetRoute};
use ferrocket_remoting::{Connection, Dialer, Inbound, Pool, PoolError, TcpDialer};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    BackendHealth, Config, DynNameServerSource,
    brokers::Brokers,
    decode::Decoder,
    health,
    heartbeat::{Told, Unanswered},
    inbound,
    membership::Members,
    name_servers::NameServers,
    names::Names,
    replies::Waiting,
    verdict::{Peer, failure},
};

/// Requests from servers that wait to be looked at. When full, further ones are refused with `SYSTEM_BUSY`; notices are repeated
/// by the rebalance that runs anyway.
const EVENTS: usize = 1_024;
/// How often a [`NameServerSource`](crate::NameServerSource) is asked.
const SOURCE_INTERVAL: Duration = Duration::from_secs(120);

/// The seam over remoting. One value is one cluster: its connections, its name servers, its heartbeats. Cheap to share; its tasks
/// end with [`close`](Backend::close), or when it is dropped.
pub struct RemotingBackend {
    pub(crate) shared: Arc<Shared>,
}

/// Takes a request that it understands, and gives back any other.
type Inspect = fn(&Arc<Shared>, Inbound) -> Option<Inbound>;

pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) name_servers: NameServers,
    pub(crate) brokers: Brokers,
    pub(crate) names: Arc<Names>,
    /// Whether this client belongs to a unit.
    pub(crate) unit_mode: bool,
    pub(crate) members: Members,
    pub(crate) replies: Waiting,
    pub(crate) told: Told,
    pub(crate) unanswered: Unanswered,
    pub(crate) decoder: Arc<Decoder>,
    pub(crate) request_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    /// Each task keeps a receiver to its end: when there is none left, all have ended.
    tasks: watch::Sender<()>,
    pub(crate) ending: CancellationToken,
    /// What deals with questions of administrators, once there was a consumer.
    pub(crate) inspection: OnceLock<Inspect>,
    source: Option<Arc<dyn DynNameServerSource>>,
}

impl RemotingBackend {
    /// Starts the tasks of a cluster on the current runtime: heartbeats, notices of servers, and the name-server source if there
    /// is one. Connects to nobody yet.
    ///
    /// # Errors
    ///
    /// When an option of the connections cannot work.
    pub fn start(config: Config) -> Result<Self, ferrocket_model::SetupError> {
        let (events, inbox) = mpsc::channel(EVENTS);
        let dialer = config
            .dialer
            .unwrap_or_else(|| Arc::new(TcpDialer::new(config.options.silence_timeout)) as Arc<dyn Dialer>);
        let pool = Pool::new(dialer, config.options, Some(events)).map_err(|invalid| {
            Failure::invalid_argument("set up connections", invalid.problem).with_option(invalid.option)
        })?;
        let names = Arc::new(Names::new(config.namespace));
        let shared = Arc::new(Shared {
            name_servers: NameServers::new(pool.clone(), &config.name_servers),
            pool,
            brokers: Brokers::new(config.vip_channel),
            unit_mode: config.unit_mode,
            members: Members::new(config.client_id, config.unit_mode, names.clone()),
            replies: Waiting::default(),
            told: Told::default(),
            unanswered: Unanswered::default(),
            decoder: Arc::new(Decoder {
                max_body_bytes: config.max_body_bytes,
                decompress: config.decompress_bodies,
                names: names.clone(),
            }),
            names,
            request_timeout: config.request_timeout,
            heartbeat_interval: config.heartbeat_interval,
            tasks: watch::Sender::default(),
            inspection: OnceLock::new(),
            ending: CancellationToken::new(),
            source: config.source,
        });
        shared.pool.ring_on_loss(shared.members.bell());
        // Tasks hold the shared state weakly or watch the token, so that a dropped backend ends them.
        shared.spawn(Box::pin(inbound::run(Arc::downgrade(&shared), inbox)));
        shared.spawn(Box::pin(crate::heartbeat::run(Arc::downgrade(&shared))));
        if shared.source.is_some() {
            shared.spawn(Box::pin(ask_source(Arc::downgrade(&shared))));
        }
        Ok(Self { shared })
    }

    /// Waits until a name server has answered.
    ///
    /// # Errors
    ///
    /// `NameServerUnreachable` with the cause per address.
    pub fn ready(&self, timeout: Duration) -> BoxFuture<'_, Outcome<()>> {
        // Boxed: an `async fn` would be compiled again in the caller's crate, with all that it calls.
        Box::pin(async move {
            if let Some(source) = &self.shared.source {
                self.shared.update_from(&**source).await.map_err(Box::new)?;
            }
            let request = GetRoute::new(ferrocket_model::system::TEMPLATE_TOPIC);
            match self.shared.name_servers.ask(&request, "reach a name server".to_owned(), timeout).await {
                Ok(_) => Ok(()),
                // Any answer will do; this topic need not exist.
                Err(failure) if failure.code().is_some() => Ok(()),
                Err(failure) => Err(failure),
            }
        })
    }

    /// Replaces the list of name servers.
    pub fn update_name_servers(&self, addresses: &[String]) {
        self.shared.name_servers.replace(addresses);
    }

    /// What is known of servers and connections. Without I/O.
    pub fn health(&self) -> BackendHealth {
        health::collect(&self.shared)
    }
}

impl Drop for RemotingBackend {
    fn drop(&mut self) {
        self.shared.ending.cancel();
    }
}

impl Backend for RemotingBackend {
    fn supports(&self, capability: Capability) -> bool {
        matches!(
            capability,
            Capability::SelectQueue
                | Capability::OneWay
                | Capability::DelayLevel
                | Capability::BatchListener
                | Capability::RequestReply
                | Capability::Recall
                | Capability::ConfirmedTransactions
        )
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.ending.cancel();
            self.shared.pool.close().await;
            self.shared.replies.close();
            self.shared.tasks.closed().await;
        })
    }
}

impl Shared {
    /// Runs a task that ends with the backend.
    pub(crate) fn spawn(&self, task: BoxFuture<'static, ()>) {
        let (ending, alive) = (self.ending.clone(), self.tasks.subscribe());
        spawn(Box::pin(async move {
            ending.run_until_cancelled(task).await;
            drop(alive);
        }));
    }

    /// Calls a broker at an address.
    pub(crate) async fn call<R: Request + Sync>(
        &self,
        broker: &BrokerName,
        address: &str,
        request: &R,
        timeout: Duration,
        operation: impl FnOnce() -> String,
    ) -> Outcome<R::Response> {
        let answer = self.pool.call(address, request, Instant::now() + timeout).await;
        answer.map_err(|error| failure(&error, operation(), Peer::Broker(broker, address)))
    }

    /// As [`call`](Self::call), but waits for the backoff when the broker is away: for what runs in the background.
    pub(crate) async fn call_patiently<R: Request + Sync>(
        &self,
        broker: &BrokerName,
        address: &str,
        request: &R,
        timeout: Duration,
        operation: impl FnOnce() -> String,
    ) -> Outcome<R::Response> {
        let deadline = Instant::now() + timeout;
        let answer: Result<_, PoolError> = match self.reconnect(broker, address, deadline).await {
            Some(Ok(_)) => self.pool.call(address, request, deadline).await,
            Some(Err(error)) => Err(error),
            None => {
                let failure = Failure::new(ErrorKind::BrokerUnreachable, operation()).with_broker(broker);
                return Err(Box::new(failure.with_detail(format!("it is not at {address} any more"))));
            }
        };
        answer.map_err(|error| failure(&error, operation(), Peer::Broker(broker, address)))
    }

    /// A connection to a broker, however long its backoff is. `None` as soon as the broker has another address.
    async fn reconnect(
        &self,
        broker: &BrokerName,
        address: &str,
        deadline: Instant,
    ) -> Option<Result<Connection, PoolError>> {
        if let Some(connection) = self.pool.connected(address) {
            return Some(Ok(connection));
        }
        // Boxed: each queue has a pull, and nearly none of them waits here.
        Box::pin(async move {
            let mut connected = pin!(self.pool.reconnect(address, deadline));
            let mut moved = pin!(self.brokers.moved_from(broker, address));
            poll_fn(|cx| match connected.as_mut().poll(cx) {
                Poll::Ready(connected) => Poll::Ready(Some(connected)),
                Poll::Pending => moved.as_mut().poll(cx).map(|()| None),
            })
            .await
        })
        .await
    }

    async fn update_from(&self, source: &dyn DynNameServerSource) -> Result<(), Failure> {
        let operation = "ask the name-server source";
        let addresses = source.addresses().await.map_err(|error| {
            Failure::new(ErrorKind::NameServerUnreachable, operation).with_detail(error.to_string()).with_source(error)
        })?;
        let list = crate::parse_addresses(&addresses.join(";"))
            .map_err(|problem| Failure::new(ErrorKind::NameServerUnreachable, operation).with_detail(problem))?;
        self.name_servers.replace(&list);
        Ok(())
    }
}

/// A broker that no route has named.
pub(crate) fn unknown_broker(broker: &BrokerName, operation: impl Into<String>) -> Box<Failure> {
    Box::new(
        Failure::new(ErrorKind::BrokerUnreachable, operation)
            .with_detail("no route names an address of this broker")
            .with_broker(broker)
            .with_remedy(Remedy::RefreshRoute),
    )
}

/// A broker whose master is needed and is not there.
pub(crate) fn no_master(broker: &BrokerName, operation: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::BrokerUnreachable, operation)
        .with_detail("no route names a master of this broker; its slaves cannot do this")
        .with_broker(broker)
        .with_remedy(Remedy::RefreshRoute)
}

/// Asks the source every two minutes, and sooner while no name server answers or none is known: a client that connects lazily has
/// not asked yet.
async fn ask_source(shared: std::sync::Weak<Shared>) {
    let mut asked = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(source) = &shared.source else { return };
        let failing = shared.name_servers.health().1.is_some();
        let pause = match failing {
            _ if shared.name_servers.list().is_empty() => Duration::ZERO,
            true => Duration::from_secs(5),
            false => SOURCE_INTERVAL,
        };
        if asked.elapsed() < pause {
            continue;
        }
        asked = Instant::now();
        if let Err(failure) = shared.update_from(&**source).await {
            tracing::warn!(%failure, "the list of name servers stays as it is");
        }
    }
}
