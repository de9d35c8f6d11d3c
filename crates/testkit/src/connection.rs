use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use ferrocket_protocol::{Command, HeaderFormat, Request, RequestHead, encode_request};
use parking_lot::Mutex;
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tokio_util::sync::CancellationToken;

/// How many frames wait to be written; a client that reads nothing is not read from any more when they are many.
const OUTBOX_FRAMES: usize = 16 * 1024;
/// Kept free for answers of long polls and for notifications.
const SPARE_FRAMES: usize = 2 * 1024;

/// How long a broker waits for a client's answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Something to write.
pub(crate) struct Outgoing {
    pub(crate) bytes: BytesMut,
    pub(crate) then_close: bool,
}

/// One connection of a client, as handlers see it.
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    /// The name of the connector that opened it.
    pub(crate) origin: Option<Arc<str>>,
    /// Cancelled when the connection ends, for whatever reason.
    pub(crate) life: CancellationToken,
    /// Cancelled when nothing comes through any more, not even the news that the peer is gone.
    pub(crate) lost: CancellationToken,
    outbox: mpsc::Sender<Outgoing>,
    next_opaque: AtomicI32,
    /// Who waits for an answer of the client.
    asked: Mutex<HashMap<i32, oneshot::Sender<Command>>>,
    closing: AtomicBool,
    drained: Notify,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        origin: Option<Arc<str>>,
        life: CancellationToken,
    ) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (outbox, receiver) = mpsc::channel(OUTBOX_FRAMES);
        let connection = Self {
            id,
            peer,
            origin,
            life,
            lost: CancellationToken::new(),
            outbox,
            next_opaque: AtomicI32::new(0),
            asked: Mutex::default(),
            closing: AtomicBool::new(false),
            drained: Notify::new(),
        };
        (Arc::new(connection), receiver)
    }

    pub(crate) fn send(&self, bytes: BytesMut) {
        self.post(Outgoing { bytes, then_close: false });
    }

    /// Writes this and what was to be written before, and closes. Nothing that arrives later is handled.
    pub(crate) fn send_and_close(&self, bytes: BytesMut) {
        self.closing.store(true, Ordering::SeqCst);
        self.post(Outgoing { bytes, then_close: true });
    }

    fn post(&self, outgoing: Outgoing) {
        if let Err(TrySendError::Full(_)) = self.outbox.try_send(outgoing) {
            tracing::debug!(connection = self.id, "closed: the client reads nothing");
            self.close();
        }
    }

    /// Waits until there is room for the answer to another request.
    pub(crate) async fn room(&self) {
        while self.outbox.capacity() < SPARE_FRAMES {
            self.drained.notified().await;
        }
    }

    /// Something was written, so there may be room.
    pub(crate) fn written(&self) {
        self.drained.notify_one();
    }

    /// Tells the client something that it does not answer.
    pub(crate) fn notify<R: Request>(&self, request: &R) {
        let opaque = self.next_opaque.fetch_add(1, Ordering::Relaxed);
        self.send_request(request, &RequestHead::new(opaque, HeaderFormat::Json).one_way());
    }

    /// Asks the client something. `None` when it does not answer in time, or is gone.
    pub(crate) async fn ask<R: Request>(&self, request: &R) -> Option<Command> {
        let opaque = self.next_opaque.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.asked.lock().insert(opaque, sender);
        let _asked = Asked { connection: self, opaque };
        self.send_request(request, &RequestHead::new(opaque, HeaderFormat::Json));
        tokio::select! {
            biased;
            answer = tokio::time::timeout(ANSWER_WITHIN, answer) => answer.ok().and_then(Result::ok),
            () = self.life.cancelled() => None,
        }
    }

    /// The client answered; if nobody waits for it any more, nobody learns of it.
    pub(crate) fn answered(&self, answer: Command) {
        let waiting = self.asked.lock().remove(&answer.opaque);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    fn send_request<R: Request>(&self, request: &R, head: &RequestHead) {
        let mut out = BytesMut::new();
        if let Ok(encoded) = encode_request(request, head, &[], &mut out) {
            out.extend_from_slice(&encoded.body.unwrap_or_default());
            self.send(out);
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// From now on nothing is read, written or noticed here, and the peer sees no end: as if a cable were pulled.
    pub(crate) fn lose(&self) {
        self.lost.cancel();
    }

    /// At once, whatever was to be written.
    pub(crate) fn close(&self) {
        self.life.cancel();
    }
}

/// Somebody waits for an answer of the client, until this is dropped.
struct Asked<'a> {
    connection: &'a Connection,
    opaque: i32,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.connection.asked.lock().remove(&self.opaque);
    }
}

#[cfg(test)]
mod tests {
    use ferrocket_protocol::request::GetRoute;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_for_an_answer_leaves_nothing_behind() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let (connection, _outbox) = Connection::new(1, peer, None, CancellationToken::new());
        let question = GetRoute::new("T");
        let asking = connection.ask(&question);
        assert!(tokio::time::timeout(Duration::from_secs(1), asking).await.is_err());
        assert!(connection.asked.lock().is_empty());
    }
}
