use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use ferrocket_protocol::{
    Command, EncodeError, HeaderFormat, Request, RequestHead, ResponseCode, WriteFields, encode_response,
};
use futures_core::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{
    Call, CallError, CloseCause, ConnectError, DialError, Dialer, Inbound, Options, Stream, TcpDialer,
    call::Encode,
    driver::Driver,
    inbound::Events,
    outbox::{Outbox, Writing},
    pending::{Key, Pending, Progress},
    stats::Stats,
};

/// A handle on one connection; a task owns the socket. Cheap to clone. The connection closes when the last handle is gone.
///
/// Any number of requests may be in flight. Callers beyond [`Options::max_in_flight`] or [`Options::max_buffered_bytes`] wait,
/// within their deadlines.
#[derive(Clone)]
pub struct Connection {
    open: Arc<CloseOnDrop>,
}

struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(CloseCause::ByUs);
    }
}

impl Connection {
    /// Connects over TCP, and starts the task that owns the socket on the current runtime. Requests of the server are refused
    /// with `REQUEST_CODE_NOT_SUPPORTED`; [`connect_with_events`](Self::connect_with_events) takes them.
    ///
    /// # Errors
    ///
    /// When the options cannot work, or the connection cannot be made within [`Options::connect_timeout`].
    pub fn connect(address: &str, options: Options) -> BoxFuture<'static, Result<Self, ConnectError>> {
        Self::open(address, options, Events(None))
    }

    /// As [`connect`](Self::connect); requests of the server go into `events`. When that queue is full they are refused with
    /// `SYSTEM_BUSY`.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with_events(
        address: &str,
        options: Options,
        events: mpsc::Sender<Inbound>,
    ) -> BoxFuture<'static, Result<Self, ConnectError>> {
        Self::open(address, options, Events(Some(events)))
    }

    fn open(address: &str, options: Options, events: Events) -> BoxFuture<'static, Result<Self, ConnectError>> {
        let address = address.to_owned();
        Box::pin(async move {
            options.check()?;
            let dialer = TcpDialer::new(options.silence_timeout);
            let stream = dial(&dialer, &address, options.connect_timeout).await?;
            let (connection, driver) = Self::over(stream, address.into(), options, events, Arc::default());
            // Ends with the last handle: `CloseOnDrop` tells it.
            spawn(Box::pin(driver));
            Ok(connection)
        })
    }

    pub(crate) fn over(
        stream: Box<dyn Stream>,
        address: Arc<str>,
        options: Options,
        events: Events,
        stats: Arc<Stats>,
    ) -> (Self, Driver) {
        let now = Instant::now();
        // Each put where it belongs: they are few, and a sorting algorithm is 6 KB in every program.
        let mut extra_fields = Vec::with_capacity(options.extra_fields.len());
        for field in &options.extra_fields {
            let at = extra_fields.partition_point(|(name, _)| *name <= field.0);
            extra_fields.insert(at, field.clone());
        }
        let shared = Arc::new(Shared {
            extra_fields,
            address,
            format: options.header_format,
            max_buffered_bytes: options.max_buffered_bytes,
            stats,
            ended: Notify::new(),
            opened: now,
            unusable: AtomicBool::new(false),
            state: Mutex::new(State {
                outbox: Outbox::default(),
                pending: Pending::new(options.max_in_flight, now),
                written: 0,
                closed: None,
                driver: None,
                room: Vec::new(),
                timed_out_at: None,
            }),
        });
        let driver = Driver::new(stream, shared.clone(), events, &options, now);
        (Self { open: Arc::new(CloseOnDrop(shared)) }, driver)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.open.0
    }

    /// Sends a request and waits for its answer, for `timeout` at most. A future that starts when it is first polled.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it forgets the answer and frees its place at once; the request may have been written.
    pub fn call<'a, R: Request + Sync>(&'a self, request: &'a R, timeout: Duration) -> Call<'a, R> {
        Call::new(self, request, timeout)
    }

    /// Sends a request that is not answered. Returns when it is in the buffer, from where it is written next.
    ///
    /// # Errors
    ///
    /// When the connection has ended, the request is too large, or no room was found within `timeout`.
    pub fn send_one_way<'a, R: Request + Sync>(
        &'a self,
        request: &'a R,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), CallError>> + Send + 'a {
        crate::call::one_way(self, request, timeout)
    }

    /// Closes the connection. Requests in flight end with [`CloseCause::ByUs`].
    pub fn close(&self) {
        self.shared().close(CloseCause::ByUs);
    }

    /// Why the connection ended; `None` while it is open.
    pub fn closed_because(&self) -> Option<Arc<CloseCause>> {
        self.shared().state.lock().closed.clone()
    }

    /// Waits until the connection ends, and says why.
    pub fn closed(&self) -> BoxFuture<'static, Arc<CloseCause>> {
        let shared = self.open.0.clone();
        Box::pin(async move {
            loop {
                let ended = shared.ended.notified();
                if let Some(cause) = shared.state.lock().closed.clone() {
                    return cause;
                }
                ended.await;
            }
        })
    }

    /// Whether new requests should use it: it is open, and the server has not asked us to go away.
    pub fn is_usable(&self) -> bool {
        !self.shared().unusable.load(Ordering::Acquire)
    }

    /// The address, as it was dialed.
    pub fn address(&self) -> &str {
        &self.shared().address
    }

    /// Since when it is open.
    pub fn opened(&self) -> Instant {
        self.shared().opened
    }

    /// How many requests wait for an answer.
    pub fn in_flight(&self) -> usize {
        self.shared().state.lock().pending.len()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.shared().address).finish_non_exhaustive()
    }
}

/// Starts a task. All of this crate are of one type: what a runtime compiles for each type is then in a program once.
pub(crate) fn spawn(task: BoxFuture<'static, ()>) {
    drop(tokio::spawn(task));
}

/// Dials within the limit.
pub(crate) async fn dial(dialer: &dyn Dialer, address: &str, limit: Duration) -> Result<Box<dyn Stream>, ConnectError> {
    let address = || address.to_owned();
    match tokio::time::timeout(limit, dialer.dial(&address())).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(DialError::Resolve(source))) => Err(ConnectError::Resolve { address: address(), source }),
        Ok(Err(DialError::Address)) => Err(ConnectError::Address { address: address() }),
        Ok(Err(DialError::Io(source))) => Err(ConnectError::Io { address: address(), source }),
        Err(_) => Err(ConnectError::Timeout { address: address(), after: limit }),
    }
}

type Extra<'a> = [(&'static str, &'a str); Options::MAX_EXTRA_FIELDS];

/// What callers and the driver share: one lock around one struct, taken for short synchronous work.
pub(crate) struct Shared {
    pub(crate) address: Arc<str>,
    pub(crate) format: HeaderFormat,
    /// In the order of their names.
    extra_fields: Vec<(&'static str, String)>,
    pub(crate) stats: Arc<Stats>,
    max_buffered_bytes: usize,
    ended: Notify,
    opened: Instant,
    /// Closed, or asked by the server to go away: new requests should not use it. Beside the lock, so that looking is cheap.
    unusable: AtomicBool,
    state: Mutex<State>,
}

struct State {
    outbox: Outbox,
    pending: Pending,
    /// Bytes of the stream that the socket has taken.
    written: u64,
    closed: Option<Arc<CloseCause>>,
    /// The driver's waker, while it sleeps.
    driver: Option<Waker>,
    /// Callers that found no room.
    room: Vec<Waker>,
    /// When a request timed out last.
    timed_out_at: Option<Instant>,
}

/// What became of a request that should be queued.
pub(crate) enum Submitted {
    Queued(Key),
    /// Try again when woken.
    Full,
    Failed(CallError),
}

impl Shared {
    /// Encodes a request into the buffer, and takes a slot for its answer. Without a waker, nobody waits for room.
    pub(crate) fn submit<R: Encode + ?Sized>(
        &self,
        request: &R,
        deadline: Instant,
        waker: Option<&Waker>,
    ) -> Submitted {
        let mut state = self.state.lock();
        if let Some(cause) = &state.closed {
            return Submitted::Failed(CallError::Closed { written: false, cause: cause.clone() });
        }
        if state.outbox.bytes() >= self.max_buffered_bytes || !state.pending.has_room() {
            state.wait_for_room(waker);
            return Submitted::Full;
        }
        let position = state.outbox.position();
        let Some(key) = state.pending.insert(deadline, position) else {
            state.wait_for_room(waker);
            return Submitted::Full;
        };
        let head = RequestHead::new(key.opaque(), self.format);
        match request.encode(&head, self.extra(&mut Extra::default()), state.outbox.buffer()) {
            Ok(encoded) => {
                state.outbox.queued(encoded.bytes, encoded.body);
                let driver = state.driver.take();
                drop(state);
                wake(driver);
                Submitted::Queued(key)
            }
            Err(error) => {
                state.pending.remove(key);
                Submitted::Failed(CallError::TooLarge(error))
            }
        }
    }

    /// Encodes a request that nobody answers.
    pub(crate) fn submit_one_way<R: Encode + ?Sized>(
        &self,
        request: &R,
        waker: Option<&Waker>,
    ) -> Result<bool, CallError> {
        let mut state = self.state.lock();
        if let Some(cause) = &state.closed {
            return Err(CallError::Closed { written: false, cause: cause.clone() });
        }
        if state.outbox.bytes() >= self.max_buffered_bytes {
            state.wait_for_room(waker);
            return Ok(false);
        }
        let head = RequestHead::new(0, self.format).one_way();
        let mut extra = Extra::default();
        let encoded =
            request.encode(&head, self.extra(&mut extra), state.outbox.buffer()).map_err(CallError::TooLarge)?;
        state.outbox.queued(encoded.bytes, encoded.body);
        let driver = state.driver.take();
        drop(state);
        wake(driver);
        Ok(true)
    }

    /// The extra fields as the encoder takes them, without an allocation.
    fn extra<'a>(&'a self, room: &'a mut Extra<'a>) -> &'a [(&'static str, &'a str)] {
        for (slot, (name, value)) in room.iter_mut().zip(&self.extra_fields) {
            *slot = (name, value);
        }
        room.get(..self.extra_fields.len()).unwrap_or_default()
    }

    pub(crate) fn respond(
        &self,
        opaque: i32,
        code: ResponseCode,
        remark: Option<&str>,
        fields: &dyn WriteFields,
        body: Bytes,
    ) -> Result<(), EncodeError> {
        let mut state = self.state.lock();
        // A server that asks without reading answers would fill the buffer: it gets no answer instead.
        if state.closed.is_some() || state.outbox.bytes() >= self.max_buffered_bytes {
            return Ok(());
        }
        let encoded = encode_response(opaque, code, remark, fields, body, self.format, state.outbox.buffer())?;
        state.outbox.queued(encoded.bytes, encoded.body);
        let driver = state.driver.take();
        drop(state);
        wake(driver);
        Ok(())
    }

    /// Looks at a request that was queued. `None`: still waiting.
    pub(crate) fn poll_answer(&self, key: Key, after: Duration, waker: &Waker) -> Option<Result<Command, CallError>> {
        let mut state = self.state.lock();
        let before = state.pending.len();
        let progress = match state.pending.poll(key, waker) {
            Progress::Answered(command) => Some(Ok(command)),
            Progress::Expired => Some(Err(CallError::Timeout { after, queued: true })),
            Progress::Waiting => match state.closed.clone() {
                Some(cause) => {
                    let position = state.pending.position(key).unwrap_or(0);
                    let written = position < state.written;
                    state.pending.remove(key);
                    Some(Err(CallError::Closed { written, cause }))
                }
                None => None,
            },
        };
        let room = if state.pending.len() < before { std::mem::take(&mut state.room) } else { Vec::new() };
        drop(state);
        room.into_iter().for_each(Waker::wake);
        progress
    }

    /// Forgets a request whose caller went away.
    pub(crate) fn forget(&self, key: Key) {
        let mut state = self.state.lock();
        state.pending.remove(key);
        let room = std::mem::take(&mut state.room);
        drop(state);
        room.into_iter().for_each(Waker::wake);
    }

    /// Ends the connection: everybody who waits gets this cause. Only the first cause counts.
    pub(crate) fn close(&self, cause: CloseCause) {
        let mut wakers = Vec::new();
        let mut state = self.state.lock();
        if state.closed.is_some() {
            return;
        }
        if !matches!(cause, CloseCause::ByUs | CloseCause::Idle(_)) {
            Stats::add(&self.stats.lost, 1);
        }
        tracing::debug!(address = %self.address, %cause, "connection closed");
        state.closed = Some(Arc::new(cause));
        self.unusable.store(true, Ordering::Release);
        state.pending.wake_all(&mut wakers);
        wakers.append(&mut state.room);
        wakers.extend(state.driver.take());
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.ended.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed.is_some()
    }

    // For the driver.

    /// Takes what callers have queued.
    pub(crate) fn take_outbox(&self, writing: &mut Writing) {
        self.state.lock().outbox.take(writing);
    }

    /// The socket has taken this many bytes.
    pub(crate) fn wrote(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.written += bytes as u64;
        state.outbox.written(bytes);
        let room = if state.room.is_empty() || state.outbox.bytes() >= self.max_buffered_bytes {
            Vec::new()
        } else {
            std::mem::take(&mut state.room)
        };
        drop(state);
        room.into_iter().for_each(Waker::wake);
    }

    /// Hands answers to who waits for them.
    pub(crate) fn deliver(&self, answers: &mut Vec<Command>, wakers: &mut Vec<Waker>) {
        let mut late = 0;
        let mut state = self.state.lock();
        for answer in answers.drain(..) {
            if answer.response_code() == ResponseCode::GO_AWAY {
                self.unusable.store(true, Ordering::Release);
            }
            match state.pending.complete(answer) {
                Ok(waker) => wakers.extend(waker),
                Err(_) => late += 1,
            }
        }
        drop(state);
        Stats::add(&self.stats.late_answers, late);
        wakers.drain(..).for_each(Waker::wake);
    }

    /// Ends what is overdue. Gives back the next deadline, and when a request timed out last.
    pub(crate) fn expire(&self, now: Instant, wakers: &mut Vec<Waker>) -> (Option<Instant>, Option<Instant>) {
        let mut state = self.state.lock();
        if state.pending.expire(now, wakers) > 0 {
            state.timed_out_at = Some(now);
        }
        let result = (state.pending.next_deadline(), state.timed_out_at);
        drop(state);
        wakers.drain(..).for_each(Waker::wake);
        result
    }

    /// Leaves the driver's waker, unless there is something to do. Gives back the earliest deadline. `is_blocked`: the socket
    /// takes no more now, so what waits in the buffer is nothing to do; closing and deadlines must wake the driver all the same.
    pub(crate) fn park(&self, waker: &Waker, is_blocked: bool) -> Parked {
        let mut state = self.state.lock();
        if state.closed.is_some() {
            return Parked::Closed;
        }
        if state.outbox.has_unsent() && !is_blocked {
            return Parked::Work;
        }
        match &state.driver {
            Some(known) if known.will_wake(waker) => {}
            _ => state.driver = Some(waker.clone()),
        }
        Parked::Asleep(state.pending.next_deadline())
    }
}

pub(crate) enum Parked {
    Work,
    Closed,
    Asleep(Option<Instant>),
}

impl State {
    fn wait_for_room(&mut self, waker: Option<&Waker>) {
        if let Some(waker) = waker
            && !self.room.iter().any(|known| known.will_wake(waker))
        {
            self.room.push(waker.clone());
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}
