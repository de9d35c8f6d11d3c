use std::{collections::HashMap, fmt, io, sync::Arc};

use futures_core::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{io::DuplexStream, sync::mpsc};

const PIPE_BYTES: usize = 256 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 4096;

/// Who listens at which address, in memory.
#[derive(Default)]
pub(crate) struct Network {
    listeners: Mutex<HashMap<String, mpsc::Sender<Pipe>>>,
}

/// A connection without a socket, and who opened it.
pub(crate) struct Pipe {
    pub(crate) stream: DuplexStream,
    pub(crate) origin: Option<Arc<str>>,
}

impl Network {
    pub(crate) fn listen(&self, address: &str) -> mpsc::Receiver<Pipe> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.listeners.lock().insert(address.to_owned(), sender);
        receiver
    }

    pub(crate) fn close(&self, address: &str) {
        self.listeners.lock().remove(address);
    }

    fn connect(&self, address: &str, origin: Option<Arc<str>>) -> io::Result<DuplexStream> {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody listens at {address}"));
        let listener = self.listeners.lock().get(address).cloned().ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        listener.try_send(Pipe { stream: theirs, origin }).map_err(|_| refused())?;
        Ok(ours)
    }
}

/// Opens connections to a cluster's servers without any socket. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    network: Arc<Network>,
    name: Option<Arc<str>>,
}

impl Connector {
    pub(crate) fn new(network: Arc<Network>) -> Self {
        Self { network, name: None }
    }

    /// The name that [`Intercepted::origin`](crate::Intercepted::origin) says for requests on its connections.
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Connects to a name server or broker by the address that the cluster gives for it. Works for clusters over TCP too.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` when nobody listens at that address, because the server is stopped, say.
    pub fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<DuplexStream>> {
        let stream = self.network.connect(address, self.name.clone());
        Box::pin(async move { stream })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
