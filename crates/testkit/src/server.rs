use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use ferrocket_protocol::{Command, Frame, RequestCode, limits};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Action, Call, Intercepted,
    answer::{Answer, Handled},
    connection::{Connection, Outgoing},
    network::Pipe,
    shared::Shared,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How much is collected before it is written.
const WRITE_BYTES: usize = 256 * 1024;

/// A name server or a broker: what it does with requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// The broker's name; `None` for a name server.
    fn broker(&self) -> Option<&str>;
    /// Does the work of one request. Must not block.
    fn handle(self: Arc<Self>, connection: &Arc<Connection>, command: &Command) -> Handled;
    /// A connection ended.
    fn disconnected(&self, connection: u64);
}

/// A server that listens.
pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) socket: SocketAddr,
    listener: Arc<Mutex<Option<TcpListener>>>,
    gate: Arc<Gate>,
    life: CancellationToken,
    shared: Arc<Shared>,
}

impl Running {
    /// Listens: over TCP at `port` (0 for any), or in memory under `name` and `port`.
    pub(crate) async fn start(
        shared: &Arc<Shared>,
        service: Arc<dyn Service>,
        name: &str,
        port: u16,
    ) -> io::Result<Self> {
        let (listener, socket, address) = if shared.settings.in_memory {
            (None, SocketAddr::new(LOOPBACK, port), format!("{name}:{port}"))
        } else {
            let listener = TcpListener::bind((LOOPBACK, port)).await?;
            let socket = listener.local_addr()?;
            (Some(listener), socket, socket.to_string())
        };
        let listener = Arc::new(Mutex::new(listener));
        let pipes = shared.network.listen(&address);
        let life = shared.life.child_token();
        let gate = Arc::<Gate>::default();
        let door = Door { shared: shared.clone(), service, life: life.clone(), gate: gate.clone() };
        tokio::spawn(life.clone().run_until_cancelled_owned(accept(door, listener.clone(), pipes)));
        tracing::debug!(%address, name, "listening");
        Ok(Self { address, socket, listener, gate, life, shared: shared.clone() })
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.gate.set(paused);
    }
}

/// Closes the port at once; connections end as soon as their tasks run.
impl Drop for Running {
    fn drop(&mut self) {
        self.listener.lock().take();
        self.shared.network.close(&self.address);
        self.life.cancel();
    }
}

/// What the accept loop gives to each connection.
struct Door {
    shared: Arc<Shared>,
    service: Arc<dyn Service>,
    life: CancellationToken,
    gate: Arc<Gate>,
}

async fn accept(door: Door, listener: Arc<Mutex<Option<TcpListener>>>, mut pipes: mpsc::Receiver<Pipe>) {
    let over_tcp = listener.lock().is_some();
    loop {
        let accepted = poll_fn(|cx| match &*listener.lock() {
            Some(listener) => listener.poll_accept(cx).map(Some),
            None => Poll::Ready(None),
        });
        tokio::select! {
            accepted = accepted, if over_tcp => match accepted {
                None => return,
                Some(Ok((stream, peer))) => {
                    let _ = stream.set_nodelay(true);
                    door.enter(stream, peer, None);
                }
                Some(Err(error)) => {
                    // Out of file descriptors, say: wait instead of spinning.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(pipe) = pipes.recv() => {
                let port = 49_152 + (door.shared.next_number() % 16_000) as u16;
                door.enter(pipe.stream, SocketAddr::new(LOOPBACK, port), pipe.origin);
            }
            // In memory, and the server is gone.
            else => return,
        }
    }
}

impl Door {
    fn enter<S: AsyncRead + AsyncWrite + Send + 'static>(&self, stream: S, peer: SocketAddr, origin: Option<Arc<str>>) {
        let life = self.life.child_token();
        let (connection, outbox) = Connection::new(self.shared.next_number(), peer, origin, life.clone());
        let (mut reader, mut writer) = tokio::io::split(stream);
        let guest = Guest {
            shared: self.shared.clone(),
            service: self.service.clone(),
            connection,
            server: self.life.clone(),
            gate: self.gate.clone(),
        };
        self.shared.observer.connected();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = life.cancelled() => {}
                // The stream is held, so that the peer does not see an end either.
                () = guest.connection.lost.cancelled() => life.cancelled().await,
                // Before reading, so that a busy reader starves nobody who waits for an answer.
                result = guest.write(&mut writer, outbox) => log_end(&guest, result),
                result = guest.read(&mut reader) => log_end(&guest, result),
            }
        });
    }
}

fn log_end(guest: &Guest, result: io::Result<()>) {
    let (broker, connection) = (guest.service.broker(), guest.connection.id);
    match result {
        Ok(()) => tracing::debug!(broker, connection, "the connection ended"),
        Err(error) => tracing::debug!(broker, connection, %error, "the connection broke"),
    }
}

/// Shut while the server is paused. Who waits goes on in the order in which they came, so that a seed of a test plays the same every
/// time; tokio's `watch` wakes in any order.
#[derive(Default)]
struct Gate {
    is_shut: AtomicBool,
    opens: Notify,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        self.is_shut.store(is_shut, Ordering::SeqCst);
        if !is_shut {
            self.opens.notify_waiters();
        }
    }

    /// Waits while it is shut. When the server ends meanwhile, the connection's own token ends who waits.
    async fn pass(&self) {
        loop {
            let opens = self.opens.notified();
            if !self.is_shut.load(Ordering::SeqCst) {
                return;
            }
            opens.await;
        }
    }
}

/// A connection and whom it talks to.
struct Guest {
    shared: Arc<Shared>,
    service: Arc<dyn Service>,
    connection: Arc<Connection>,
    /// Cancelled when the server ends.
    server: CancellationToken,
    gate: Arc<Gate>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.connection.close();
        self.service.disconnected(self.connection.id);
        self.shared.observer.disconnected();
    }
}

impl Guest {
    /// Writes what is ready, many frames at once.
    async fn write<S: AsyncWrite>(
        &self,
        stream: &mut WriteHalf<S>,
        mut outbox: mpsc::Receiver<Outgoing>,
    ) -> io::Result<()> {
        while let Some(first) = outbox.recv().await {
            self.gate.pass().await;
            let Outgoing { mut bytes, mut then_close } = first;
            while !then_close && bytes.len() < WRITE_BYTES {
                let Ok(next) = outbox.try_recv() else { break };
                bytes.extend_from_slice(&next.bytes);
                then_close = next.then_close;
            }
            self.connection.written();
            stream.write_all(&bytes).await?;
            if then_close {
                return stream.shutdown().await;
            }
        }
        Ok(())
    }

    /// Reads until the peer closes or sends what is no frame.
    async fn read<S: AsyncRead>(&self, stream: &mut ReadHalf<S>) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            while let Some(frame) = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES).map_err(io::Error::other)? {
                let command = Command::read(frame).map_err(io::Error::other)?;
                self.connection.room().await;
                self.gate.pass().await;
                self.dispatch(command);
            }
            buffer.reserve(Frame::missing(&buffer).clamp(4096, limits::READ_AHEAD_BYTES));
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    fn dispatch(&self, command: Command) {
        if command.is_response() {
            return self.connection.answered(command);
        }
        if self.connection.is_closing() {
            return;
        }
        let verdict = self.shared.faults.judge(&Intercepted::new(
            self.service.broker(),
            self.connection.origin.as_deref(),
            &command,
        ));
        let reply = Reply { connection: self.connection.clone(), opaque: command.opaque, mute: command.is_one_way() };
        let handled = match &verdict.action {
            Action::Answer(code, remark) => Some(Answer::refusal(*code, remark).into()),
            Action::Pass
            | Action::ApplyThenDisconnect
            | Action::ApplyThenAnswer(_)
            | Action::CutAnswerAfter(_)
            | Action::Delay(_) => Some(self.service.clone().handle(&self.connection, &command)),
            Action::ApplyLater(time) => Some(self.handle_later(*time, command.clone())),
            Action::Disconnect | Action::DropRequest | Action::Garbage(_) => None,
        };
        // Between the work and the answer: whoever sees the one or has the other sees the count too.
        self.shared.observer.requested(Call::of(RequestCode(command.code)));
        let delay = match verdict.action {
            Action::Delay(time) => Some(time),
            _ => verdict.delay,
        };
        let handled = handled.filter(|handled| !matches!(handled, Handled::Never));
        match (handled, delay) {
            (None, None) => reply.finish(&verdict.action, None),
            (Some(Handled::Now(answer)), None) => reply.finish(&verdict.action, Some(&answer)),
            (handled, delay) => {
                let observer = self.shared.observer.clone();
                let life = match handled {
                    Some(Handled::Surely(_)) => &self.server,
                    _ => &self.connection.life,
                };
                let life = life.clone();
                let work = async move {
                    let answer = match handled {
                        None | Some(Handled::Never) => None,
                        Some(Handled::Now(answer)) => Some(answer),
                        Some(Handled::Later(work) | Handled::Surely(work)) => Some(work.await),
                    };
                    if let Some(delay) = delay {
                        tokio::time::sleep(delay).await;
                    }
                    reply.finish(&verdict.action, answer.as_ref());
                    observer.ring();
                };
                tokio::spawn(life.run_until_cancelled_owned(work));
            }
        }
        self.shared.observer.ring();
    }

    /// Does the work after this long, also when nobody is there any more.
    fn handle_later(&self, time: Duration, command: Command) -> Handled {
        let (service, connection) = (self.service.clone(), self.connection.clone());
        Handled::Surely(Box::pin(async move {
            tokio::time::sleep(time).await;
            match service.handle(&connection, &command) {
                Handled::Now(answer) => answer,
                Handled::Later(work) | Handled::Surely(work) => work.await,
                Handled::Never => std::future::pending().await,
            }
        }))
    }
}

/// Where an answer goes.
struct Reply {
    connection: Arc<Connection>,
    opaque: i32,
    mute: bool,
}

impl Reply {
    fn finish(&self, action: &Action, answer: Option<&Answer>) {
        match action {
            Action::Disconnect | Action::ApplyThenDisconnect => return self.connection.send_and_close(BytesMut::new()),
            Action::Garbage(bytes) => return self.connection.send(BytesMut::from(&bytes[..])),
            Action::DropRequest => return,
            _ => {}
        }
        let Some(answer) = answer.filter(|_| !self.mute) else { return };
        let mut frame = match action {
            Action::ApplyThenAnswer(code) => answer.encode_as(*code, self.opaque),
            _ => answer.encode(self.opaque),
        };
        match action {
            Action::CutAnswerAfter(bytes) => {
                frame.truncate(*bytes);
                self.connection.send_and_close(frame);
            }
            _ => self.connection.send(frame),
        }
    }
}
