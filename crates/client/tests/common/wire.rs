//! A cluster in memory, and clients whose connections can be cut at any byte.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use ferrocket::{Client, ClientBuilder};
use ferrocket_testkit::{Connector, TestCluster};
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::soon;

/// What a client's connections do, all together.
#[derive(Default)]
pub(crate) struct Wire {
    /// How many more bytes may be written before the connection that writes is cut.
    cut_after: Mutex<Option<usize>>,
    written: AtomicUsize,
    read: AtomicUsize,
    dials: AtomicUsize,
    line: Mutex<Line>,
    slow: Mutex<Option<Slow>>,
    /// What stands behind the bytes of which a bit is turned, and how many times more.
    flips: Mutex<(&'static [u8], usize)>,
}

/// How fast all connections together bring what is read.
struct Slow {
    bytes_per_second: usize,
    /// When the line has room for more.
    free: Instant,
}

/// What happens to all connections at once.
#[derive(Default)]
struct Line {
    /// Connections of before are gone; those that are made later live.
    cut: usize,
    is_unplugged: bool,
    is_frozen: bool,
    cables: Vec<Weak<Ends>>,
}

/// Who waits for a connection.
#[derive(Default)]
struct Ends {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wire {
    /// The connection that writes is cut after so many more bytes. Once.
    pub(crate) fn cut_after(&self, bytes: usize) {
        *self.cut_after.lock() = Some(bytes);
    }

    /// Turns a bit of what is read, in the byte before this text, so many times; 0 ends it.
    pub(crate) fn flip_before(&self, text: &'static [u8], times: usize) {
        *self.flips.lock() = (text, times);
    }

    fn flip(&self, bytes: &mut [u8]) {
        let mut flips = self.flips.lock();
        if flips.1 == 0 {
            return;
        }
        let found = bytes.windows(flips.0.len()).position(|window| window == flips.0);
        if let Some(index) = found.and_then(|index| index.checked_sub(1)) {
            bytes[index] ^= 1;
            flips.1 -= 1;
        }
    }

    /// Whether the cut was made. Takes it back otherwise.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut_after.lock().take().is_none()
    }

    /// Bytes written until now.
    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// Bytes read until now.
    pub(crate) fn read(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }

    /// Connections that were asked for until now.
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }

    /// Cuts every connection, and lets nobody dial until [`plug`](Self::plug).
    pub(crate) fn unplug(&self) {
        let mut line = self.line.lock();
        line.cut += 1;
        line.is_unplugged = true;
        line.wake();
    }

    /// Cuts every connection; new ones can be made.
    pub(crate) fn cut(&self) {
        let mut line = self.line.lock();
        line.cut += 1;
        line.wake();
    }

    pub(crate) fn plug(&self) {
        self.line.lock().is_unplugged = false;
    }

    /// Nothing moves on any connection until [`thaw`](Self::thaw): as when the machine is suspended, or a cable is out.
    pub(crate) fn freeze(&self) {
        self.line.lock().is_frozen = true;
    }

    pub(crate) fn thaw(&self) {
        let mut line = self.line.lock();
        line.is_frozen = false;
        line.wake();
    }

    /// From now on all connections together bring so many bytes a second.
    pub(crate) fn slow_down(&self, bytes_per_second: usize) {
        *self.slow.lock() = Some(Slow { bytes_per_second, free: Instant::now() });
    }

    /// How many bytes may come now, or when some may.
    fn room(&self) -> Result<usize, Instant> {
        match &*self.slow.lock() {
            None => Ok(usize::MAX),
            Some(slow) if slow.free <= Instant::now() => Ok((slow.bytes_per_second / 50).max(1)),
            Some(slow) => Err(slow.free),
        }
    }

    /// So many bytes came.
    fn took(&self, bytes: usize) {
        self.read.fetch_add(bytes, Ordering::SeqCst);
        if let Some(slow) = &mut *self.slow.lock() {
            slow.free =
                slow.free.max(Instant::now()) + Duration::from_secs(1) * bytes as u32 / slow.bytes_per_second as u32;
        }
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.line.lock().is_frozen
    }

    /// Whether a connection of this generation can move bytes: `Pending` while the line is frozen.
    fn poll_moves(&self, generation: usize) -> Poll<io::Result<()>> {
        let line = self.line.lock();
        if line.cut != generation {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if line.is_frozen { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// How many of these bytes pass; `None` when the connection is cut before the first of them.
    fn pass(&self, bytes: usize) -> Option<usize> {
        let mut cut_after = self.cut_after.lock();
        let passing = match *cut_after {
            None => bytes,
            Some(0) => {
                *cut_after = None;
                return None;
            }
            Some(left) => {
                let passing = bytes.min(left);
                *cut_after = Some(left - passing);
                passing
            }
        };
        self.written.fetch_add(passing, Ordering::SeqCst);
        Some(passing)
    }
}

impl Line {
    fn wake(&mut self) {
        self.cables.retain(|ends| ends.strong_count() > 0);
        for ends in self.cables.iter().filter_map(Weak::upgrade) {
            ends.reader.wake();
            ends.writer.wake();
        }
    }
}

/// One connection. Cut, it is gone for both sides.
struct Cable {
    stream: Option<DuplexStream>,
    generation: usize,
    ends: Arc<Ends>,
    wire: Arc<Wire>,
    /// Until a slow line has room.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Cable {
    fn stream(&mut self) -> io::Result<Pin<&mut DuplexStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    fn poll_moves(&mut self) -> Poll<io::Result<()>> {
        let moves = self.wire.poll_moves(self.generation);
        if matches!(moves, Poll::Ready(Err(_))) {
            self.stream = None;
        }
        moves
    }
}

impl AsyncRead for Cable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.ends.reader.register(cx.waker());
        ready!(self.poll_moves())?;
        let room = loop {
            match self.wire.room() {
                Ok(room) => break room,
                Err(free) => {
                    let pause = self.pause.insert(Box::pin(sleep_until(free)));
                    ready!(pause.as_mut().poll(cx));
                }
            }
        };
        let room = room.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(self.stream()?.poll_read(cx, &mut part))?;
        self.wire.flip(part.filled_mut());
        let bytes = part.filled().len();
        buffer.advance(bytes);
        self.wire.took(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.ends.writer.register(cx.waker());
        ready!(self.poll_moves())?;
        let wire = self.wire.clone();
        let Some(passing) = wire.pass(bytes.len()) else {
            self.stream = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        // The pipe is wider than anything that is written here, so that what passes is written.
        self.stream()?.poll_write(cx, &bytes[..passing])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

/// Makes clients of the cluster, all over one wire.
pub(crate) fn wired(cluster: &TestCluster) -> (ClientBuilder, Arc<Wire>) {
    wired_over(cluster, cluster.connector())
}

/// The same with a connector of the cluster.
pub(crate) fn wired_over(cluster: &TestCluster, connector: Connector) -> (ClientBuilder, Arc<Wire>) {
    let wire = Arc::new(Wire::default());
    let dialing = wire.clone();
    let client = Client::builder().name_servers(cluster.name_servers()).dialer(move |address: String| {
        let (connector, wire) = (connector.clone(), dialing.clone());
        wire.dials.fetch_add(1, Ordering::SeqCst);
        let ends = Arc::<Ends>::default();
        let (generation, is_unplugged) = {
            let mut line = wire.line.lock();
            line.cables.push(Arc::downgrade(&ends));
            (line.cut, line.is_unplugged)
        };
        async move {
            if is_unplugged {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            Ok::<_, io::Error>(Cable {
                stream: Some(connector.connect(&address).await?),
                generation,
                ends,
                wire,
                pause: None,
            })
        }
    });
    (client, wire)
}

/// A client of the cluster, and its wire.
pub(crate) async fn connect(cluster: &TestCluster) -> (Client, Arc<Wire>) {
    let (client, wire) = wired(cluster);
    (soon(client.connect()).await.expect("it connects"), wire)
}
