//! Pulls that find nothing: each is held for as long as it may be, and then told so.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{ResponseCode, encode_response, request::PullAnswer};

use super::{END, FORMAT, Peer};

/// The most pulls of one connection that are held at a time.
const MAX_HELD: usize = 1 << 16;

struct Held {
    due: Instant,
    opaque: i32,
    offset: u64,
}

/// The held pulls of one connection. One thread answers them; it is started by the first one.
#[derive(Default)]
pub(super) struct HeldPulls {
    held: Mutex<Option<mpsc::SyncSender<Held>>>,
}

impl HeldPulls {
    /// Holds a pull. Those of a connection wait equally long, so they end in the order in which they came.
    pub(super) fn hold(&self, peer: &Arc<Peer>, opaque: i32, offset: u64, wait: Duration) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = held.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::sync_channel(MAX_HELD);
            // The thread must not keep the connection, or it would never end.
            let peer = Arc::downgrade(peer);
            std::thread::spawn(move || {
                for Held { due, opaque, offset } in receiver {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let Some(peer) = peer.upgrade() else { return };
                    let mut out = BytesMut::new();
                    let nothing = PullAnswer::new(ResponseCode::PULL_NOT_FOUND, offset, 0, END, Bytes::new());
                    let code = ResponseCode::PULL_NOT_FOUND;
                    if encode_response(opaque, code, None, &nothing, Bytes::new(), FORMAT, &mut out).is_ok() {
                        peer.write(&out);
                    }
                }
            });
            sender
        });
        let _ = sender.try_send(Held { due: Instant::now() + wait, opaque, offset });
    }
}
