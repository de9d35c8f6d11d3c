//! A server by hand: it reads frames and writes what a test wants, over pipes in memory.
#![allow(dead_code, reason = "every test binary uses its part")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{
    Command, DecodeError, FieldSink, Frame, HeaderFormat, NoFields, Request, RequestCode, RequestHead, Response,
    ResponseCode, WriteFields, encode_request, encode_response, limits,
};
use ferrocket_remoting::{Dialer, Options, Pool};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
    time::Instant,
};

pub(crate) const ADDRESS: &str = "peer:1";
const PATIENCE: Duration = Duration::from_secs(600);

/// A request whose answer is its body.
pub(crate) struct Echo(pub(crate) Bytes);

#[derive(Debug)]
pub(crate) struct Echoed(pub(crate) Bytes);

impl Echo {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Bytes::from(text.into()))
    }

    pub(crate) fn large(bytes: usize) -> Self {
        Self(Bytes::from(vec![7; bytes]))
    }
}

impl WriteFields for Echo {
    fn write_fields(&self, _: &mut dyn FieldSink) {}
}

impl Request for Echo {
    const CODE: RequestCode = RequestCode::HEART_BEAT;
    type Response = Echoed;

    fn body(&self) -> Bytes {
        self.0.clone()
    }
}

impl Response for Echoed {
    fn read(command: Command) -> Result<Self, DecodeError> {
        Ok(Self(command.into_body()))
    }
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

pub(crate) fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// The other end of a connection.
pub(crate) struct Peer {
    stream: DuplexStream,
    buffer: BytesMut,
}

impl Peer {
    /// The next frame; `None` when the client closed.
    pub(crate) async fn read(&mut self) -> Option<Command> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.buffer, limits::MAX_FRAME_BYTES).expect("a frame") {
                return Some(Command::read(frame).expect("a header"));
            }
            match soon(self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn read_exactly(&mut self, bytes: &mut [u8]) {
        soon(self.stream.read_exact(bytes)).await.expect("so many bytes");
    }

    pub(crate) async fn request(&mut self) -> Command {
        self.read().await.expect("a request")
    }

    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("the connection is open");
    }

    pub(crate) async fn answer(&mut self, opaque: i32, code: ResponseCode, body: Bytes) {
        let mut out = BytesMut::new();
        let encoded =
            encode_response(opaque, code, None, &NoFields, body, HeaderFormat::Json, &mut out).expect("it fits");
        out.extend_from_slice(&encoded.body.unwrap_or_default());
        self.write_raw(&out).await;
    }

    /// Answers a request with its own body.
    pub(crate) async fn echo(&mut self, request: &Command) {
        self.answer(request.opaque, ResponseCode::SUCCESS, request.body().clone()).await;
    }

    /// Asks the client something.
    pub(crate) async fn ask<R: Request>(&mut self, request: &R, opaque: i32) {
        let mut out = BytesMut::new();
        let encoded =
            encode_request(request, &RequestHead::new(opaque, HeaderFormat::Json), &[], &mut out).expect("it fits");
        out.extend_from_slice(&encoded.body.unwrap_or_default());
        self.write_raw(&out).await;
    }

    /// Answers everything until the client closes.
    pub(crate) async fn serve(mut self) {
        while let Some(request) = self.read().await {
            self.echo(&request).await;
        }
    }
}

/// Where dials arrive.
pub(crate) struct Network {
    peers: mpsc::Receiver<Peer>,
    dials: Arc<AtomicUsize>,
}

impl Network {
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }

    pub(crate) async fn accept(&mut self) -> Peer {
        soon(self.peers.recv()).await.expect("somebody dials")
    }
}

pub(crate) fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// A network whose pipes hold so many bytes.
pub(crate) fn network(pipe_bytes: usize) -> (Arc<dyn Dialer>, Network) {
    let (sender, peers) = mpsc::channel(64);
    let dials = Arc::new(AtomicUsize::new(0));
    let counter = dials.clone();
    let dialer = move |_: String| {
        counter.fetch_add(1, Ordering::SeqCst);
        let (ours, stream) = tokio::io::duplex(pipe_bytes);
        let _ = sender.try_send(Peer { stream, buffer: BytesMut::new() });
        async move { Ok::<_, io::Error>(ours) }
    };
    (Arc::new(dialer), Network { peers, dials })
}

pub(crate) fn pool(options: Options) -> (Pool, Network) {
    let (dialer, network) = network(64 * 1024);
    (Pool::new(dialer, options, None).expect("options that work"), network)
}
