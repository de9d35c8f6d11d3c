use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ferrocket_protocol::{Command, Request, ResponseCode};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    CallError, CloseCause, ConnectError, Connection, Dialer, Endpoint, Inbound, InvalidOptions, Options, StatsSnapshot,
    backoff::{Backoff, CALL_INTERVAL},
    call::{Encode, Exchange, read},
    connection::{dial, spawn},
    inbound::Events,
    stats::Stats,
};

/// Why a call over a [`Pool`] got no answer of its type.
#[derive(Debug, Error, Clone)]
#[non_exhaustive]
pub enum PoolError {
    /// No connection could be made. Nothing was sent.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    /// The connection was not there in time. Nothing was sent.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The call failed.
    #[error(transparent)]
    Call(Arc<CallError>),
    /// The pool was closed.
    #[error("the connections of this client were closed")]
    Closed,
}

impl From<CallError> for PoolError {
    fn from(error: CallError) -> Self {
        Self::Call(Arc::new(error))
    }
}

/// One connection per address, made when it is needed and made anew when it ended. Cheap to clone.
///
/// Dialing is single-flight. A call dials at once, but not within 250 ms of the last dial to that address: then it fails with
/// that dial's error. [`reconnect`](Self::reconnect) waits for the backoff (50 ms doubling to 5 s, full jitter).
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    dialer: Arc<dyn Dialer>,
    options: Options,
    events: Events,
    stats: Arc<Stats>,
    /// Bounded by the addresses that callers use; [`Pool::retain`] drops those that are gone.
    entries: RwLock<HashMap<Arc<str>, Arc<Entry>>>,
    /// Each task keeps a receiver to its end: when there is none left, all have ended.
    tasks: watch::Sender<()>,
    /// Rung when a connection is lost, and when its address has one again.
    lost: OnceLock<Arc<Notify>>,
    /// Set when the pool is closed, so that closing never waits for a dial.
    closing: CancellationToken,
}

pub(crate) struct Entry {
    pub(crate) address: Arc<str>,
    state: Mutex<EntryState>,
}

impl Entry {
    /// The connection, if there is one that can be used.
    pub(crate) fn usable(&self) -> Option<Connection> {
        self.with_usable(Connection::clone)
    }

    /// Shows the connection, without a clone. The entry is locked meanwhile.
    pub(crate) fn with_usable<T>(&self, show: impl FnOnce(&Connection) -> T) -> Option<T> {
        let state = self.state.lock();
        state.connection.as_ref().filter(|connection| connection.is_usable()).map(show)
    }
}

#[derive(Default)]
struct EntryState {
    connection: Option<Connection>,
    /// Set while a dial is under way.
    dialing: Option<watch::Receiver<Option<Dialed>>>,
    last_dial: Option<Instant>,
    last_error: Option<Arc<ConnectError>>,
    backoff: Backoff,
    retry_at: Option<Instant>,
}

type Dialed = Result<Connection, Arc<ConnectError>>;

/// What is known of one address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionState {
    /// The address.
    pub address: Arc<str>,
    /// Since when it is connected.
    pub connected_since: Option<Instant>,
    /// Why the last dial failed or the last connection was lost.
    pub last_error: Option<String>,
    /// Requests that wait for an answer.
    pub in_flight: usize,
}

/// Whether a caller needs the connection now, or can wait for the backoff.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    Now,
    Backoff,
}

impl Pool {
    /// A pool that dials with `dialer`. Requests that servers start go into `events`; when that queue is full, or there is none,
    /// they are refused.
    ///
    /// # Errors
    ///
    /// When an option cannot work.
    pub fn new(
        dialer: Arc<dyn Dialer>,
        options: Options,
        events: Option<mpsc::Sender<Inbound>>,
    ) -> Result<Self, InvalidOptions> {
        options.check()?;
        Ok(Self {
            inner: Arc::new(Inner {
                dialer,
                options,
                events: Events(events),
                stats: Arc::default(),
                entries: RwLock::default(),
                tasks: watch::Sender::default(),
                lost: OnceLock::new(),
                closing: CancellationToken::new(),
            }),
        })
    }

    /// The connection to an address, dialed if there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be had before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves a dial under way for the next caller.
    pub async fn connection(&self, address: &str, deadline: Instant) -> Result<Connection, PoolError> {
        if let Some(connection) = self.connected(address) {
            return Ok(connection);
        }
        // Boxed: the rare case should not make every call's future larger.
        Box::pin(self.connect(address, deadline, Urgency::Now)).await
    }

    /// As [`connection`](Self::connection), for those who can wait: after failures it sleeps for the backoff first.
    ///
    /// # Errors
    ///
    /// When it cannot be had before the deadline.
    pub async fn reconnect(&self, address: &str, deadline: Instant) -> Result<Connection, PoolError> {
        if let Some(connection) = self.connected(address) {
            return Ok(connection);
        }
        Box::pin(self.connect(address, deadline, Urgency::Backoff)).await
    }

    /// The connection to an address, if there is one that can be used.
    pub fn connected(&self, address: &str) -> Option<Connection> {
        self.inner.entries.read().get(address)?.usable()
    }

    /// An address to send to often: looked up once, here.
    ///
    /// # Errors
    ///
    /// When the pool was closed.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, PoolError> {
        self.entry(address).map(Endpoint::new)
    }

    /// Rings `bell` whenever a connection is lost, and when an address that was connected before is connected again: with a
    /// connection, servers forget what they were told over it. The first bell counts.
    pub fn ring_on_loss(&self, bell: Arc<Notify>) {
        let _ = self.inner.lost.set(bell);
    }

    /// Sends a request to an address and waits for its answer. When the server says GO_AWAY, the request goes once more over a
    /// new connection.
    ///
    /// # Errors
    ///
    /// See [`PoolError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it forgets the answer; the request may have been written.
    pub async fn call<R: Request + Sync>(
        &self,
        address: &str,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, PoolError> {
        Ok(read(self.exchange(address, request, deadline).await?)?)
    }

    /// The part of a call that knows no types.
    async fn exchange(
        &self,
        address: &str,
        request: &(dyn Encode + Sync),
        deadline: Instant,
    ) -> Result<Command, PoolError> {
        let mut asked_to_go = false;
        loop {
            let connection = self.connection(address, deadline).await?;
            let timeout = deadline.saturating_duration_since(Instant::now());
            let answer = Exchange::new(&connection, request, timeout).await?;
            if answer.response_code() != ResponseCode::GO_AWAY || asked_to_go {
                return Ok(answer);
            }
            asked_to_go = true;
        }
    }

    /// Sends a request that is not answered. Returns when it is in the connection's buffer.
    ///
    /// # Errors
    ///
    /// When there is no connection or no room before the deadline.
    pub async fn send_one_way<R: Request + Sync>(
        &self,
        address: &str,
        request: &R,
        deadline: Instant,
    ) -> Result<(), PoolError> {
        let connection = self.connection(address, deadline).await?;
        let timeout = deadline.saturating_duration_since(Instant::now());
        Ok(connection.send_one_way(request, timeout).await?)
    }

    /// What is known of every address.
    pub fn states(&self) -> Vec<ConnectionState> {
        let entries: Vec<_> = self.inner.entries.read().values().cloned().collect();
        entries
            .into_iter()
            .map(|entry| {
                let state = entry.state.lock();
                let open = state.connection.as_ref().filter(|connection| connection.is_usable());
                // That nobody needed a connection for a while is no error.
                let ended = state
                    .connection
                    .as_ref()
                    .and_then(Connection::closed_because)
                    .filter(|cause| !matches!(**cause, CloseCause::ByUs | CloseCause::Idle(_)))
                    .map(|cause| cause.to_string());
                ConnectionState {
                    address: entry.address.clone(),
                    connected_since: open.map(Connection::opened),
                    last_error: state.last_error.as_ref().map(|error| describe(error)).or(ended),
                    in_flight: open.map_or(0, Connection::in_flight),
                }
            })
            .collect()
    }

    /// Closes and forgets the addresses that `keep` does not want.
    pub fn retain(&self, mut keep: impl FnMut(&str) -> bool) {
        self.inner.entries.write().retain(|address, _| keep(address));
    }

    /// Counters over all connections.
    pub fn stats(&self) -> StatsSnapshot {
        self.inner.stats.snapshot()
    }

    /// Closes every connection, and waits until their tasks have ended. New calls fail with [`PoolError::Closed`].
    pub async fn close(&self) {
        self.inner.closing.cancel();
        let entries: Vec<_> = self.inner.entries.write().drain().map(|(_, entry)| entry).collect();
        for entry in &entries {
            let connection = entry.state.lock().connection.take();
            if let Some(connection) = connection {
                connection.close();
            }
        }
        drop(entries);
        self.inner.tasks.closed().await;
    }

    async fn connect(&self, address: &str, deadline: Instant, urgency: Urgency) -> Result<Connection, PoolError> {
        let started = Instant::now();
        let entry = self.entry(address)?;
        let mut waits_since = None;
        loop {
            let mut dialing = match self.inner.look(&entry, urgency, waits_since)? {
                Look::Connected(connection) => return Ok(connection),
                Look::Wait(until) => {
                    if until >= deadline {
                        tokio::time::sleep_until(deadline).await;
                        let error = entry.state.lock().last_error.clone();
                        let timeout = PoolError::ConnectTimeout(started.elapsed());
                        return Err(error.map_or(timeout, PoolError::Connect));
                    }
                    waits_since = Some(Instant::now());
                    tokio::time::sleep_until(until).await;
                    continue;
                }
                Look::Dialing(dialing) => dialing,
            };
            let outcome = tokio::time::timeout_at(deadline, dialing.wait_for(Option::is_some)).await;
            match outcome.map(|changed| changed.ok().and_then(|dialed| dialed.clone())) {
                Ok(Some(Ok(connection))) => return Ok(connection),
                Ok(Some(Err(error))) => return Err(PoolError::Connect(error)),
                // The dialing task was dropped with its runtime, or the pool was closed.
                Ok(None) => return Err(PoolError::Closed),
                Err(_) => return Err(PoolError::ConnectTimeout(started.elapsed())),
            }
        }
    }

    fn entry(&self, address: &str) -> Result<Arc<Entry>, PoolError> {
        if self.inner.closing.is_cancelled() {
            return Err(PoolError::Closed);
        }
        if let Some(entry) = self.inner.entries.read().get(address) {
            return Ok(entry.clone());
        }
        let address: Arc<str> = address.into();
        let new = || Arc::new(Entry { address: address.clone(), state: Mutex::default() });
        Ok(self.inner.entries.write().entry(address.clone()).or_insert_with(new).clone())
    }
}

enum Look {
    Connected(Connection),
    Dialing(watch::Receiver<Option<Dialed>>),
    Wait(Instant),
}

impl Inner {
    /// Looks what is there, and starts to dial if nothing is and it may be. `waits_since` is of those who have waited for the backoff.
    fn look(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        urgency: Urgency,
        waits_since: Option<Instant>,
    ) -> Result<Look, PoolError> {
        let mut state = entry.state.lock();
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(Look::Connected(connection.clone()));
        }
        if let Some(dialing) = &state.dialing {
            return Ok(Look::Dialing(dialing.clone()));
        }
        if self.closing.is_cancelled() {
            return Err(PoolError::Closed);
        }
        let now = Instant::now();
        match (urgency, &state.last_error, state.last_dial, state.retry_at) {
            (Urgency::Now, Some(error), Some(last), _) if now < last + CALL_INTERVAL => {
                return Err(PoolError::Connect(error.clone()));
            }
            // Somebody in a hurry has dialed meanwhile, and prolonged the backoff: that is an answer. Else those in a hurry could keep
            // one who is patient waiting for as long as they like.
            (Urgency::Backoff, Some(error), Some(last), _) if waits_since.is_some_and(|since| since <= last) => {
                return Err(PoolError::Connect(error.clone()));
            }
            (Urgency::Backoff, _, _, Some(retry_at)) if now < retry_at => return Ok(Look::Wait(retry_at)),
            _ => {}
        }
        let (sender, receiver) = watch::channel(None);
        state.dialing = Some(receiver.clone());
        state.last_dial = Some(now);
        drop(state);
        let (dial, alive) = (self.clone().dial(entry.clone(), sender), self.tasks.subscribe());
        spawn(Box::pin(async move {
            dial.await;
            drop(alive);
        }));
        Ok(Look::Dialing(receiver))
    }

    /// Dials, publishes what came of it, and goes on as the connection's driver.
    async fn dial(self: Arc<Self>, entry: Arc<Entry>, sender: watch::Sender<Option<Dialed>>) {
        let dialing = dial(&*self.dialer, &entry.address, self.options.connect_timeout);
        let Some(dialed) = self.closing.run_until_cancelled(dialing).await else { return };
        let driver = match dialed {
            Ok(stream) => {
                let (connection, driver) = Connection::over(
                    stream,
                    entry.address.clone(),
                    self.options.clone(),
                    self.events.clone(),
                    self.stats.clone(),
                );
                let mut state = entry.state.lock();
                state.dialing = None;
                state.backoff.succeeded();
                state.last_error = None;
                state.retry_at = None;
                let is_back = state.connection.replace(connection.clone()).is_some();
                drop(state);
                Stats::add(&self.stats.opened, 1);
                tracing::debug!(address = %entry.address, "connected");
                sender.send_replace(Some(Ok(connection)));
                if let Some(bell) = self.lost.get().filter(|_| is_back) {
                    bell.notify_one();
                }
                Some(driver)
            }
            Err(error) => {
                tracing::debug!(address = %entry.address, error = %describe(&error), "connecting failed");
                let error = Arc::new(error);
                let mut state = entry.state.lock();
                state.dialing = None;
                state.backoff.failed();
                state.last_error = Some(error.clone());
                state.retry_at = Some(Instant::now() + state.backoff.pause(fastrand::f64()));
                drop(state);
                Stats::add(&self.stats.failed_dials, 1);
                sender.send_replace(Some(Err(error)));
                None
            }
        };
        // From here on nothing of the pool is kept alive: the last handle of the pool closes the connections.
        let (closing, bell) = (self.closing.clone(), self.lost.get().cloned());
        drop((self, entry, sender));
        if let Some(driver) = driver {
            // Dropping the driver closes the connection.
            let is_lost = closing.run_until_cancelled(driver).await.is_some();
            if let Some(bell) = bell.filter(|_| is_lost) {
                bell.notify_one();
            }
        }
    }
}

/// An error with its cause, for states and logs.
fn describe(error: &ConnectError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("connections", &self.inner.entries.read().len()).finish_non_exhaustive()
    }
}
