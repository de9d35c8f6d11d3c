//! A cluster in memory, and clients whose connections can be cut at any byte.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use ferrocket::Client;
use ferrocket_testkit::{TestCluster, TestClusterBuilder};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(600 * SECOND, future).await.expect("it should have happened by now")
}

pub(crate) fn brokers(count: usize) -> TestClusterBuilder {
    TestCluster::builder().in_memory().brokers(count).topic("Orders", 2)
}

/// What a client's connections do, all together.
#[derive(Default)]
pub(crate) struct Wire {
    /// How many more bytes may be written before the connection that writes is cut.
    cut_after: Mutex<Option<usize>>,
    written: AtomicUsize,
    dials: AtomicUsize,
}

impl Wire {
    /// The connection that writes is cut after so many more bytes. Once.
    pub(crate) fn cut_after(&self, bytes: usize) {
        *self.cut_after.lock() = Some(bytes);
    }

    /// Whether the cut was made. Takes it back otherwise.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut_after.lock().take().is_none()
    }

    /// Bytes written until now.
    pub(crate) fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// Connections that were asked for until now.
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
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

/// One connection. Cut, it is gone for both sides.
struct Cable {
    stream: Option<DuplexStream>,
    wire: Arc<Wire>,
}

impl Cable {
    fn stream(&mut self) -> io::Result<Pin<&mut DuplexStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Cable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Cable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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

/// A client of the cluster, and its wire.
pub(crate) async fn connect(cluster: &TestCluster) -> (Client, Arc<Wire>) {
    let (connector, wire) = (cluster.connector(), Arc::new(Wire::default()));
    let dialing = wire.clone();
    let client = Client::builder().name_servers(cluster.name_servers()).dialer(move |address: String| {
        let (connector, wire) = (connector.clone(), dialing.clone());
        wire.dials.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, io::Error>(Cable { stream: Some(connector.connect(&address).await?), wire }) }
    });
    (soon(client.connect()).await.expect("it connects"), wire)
}
