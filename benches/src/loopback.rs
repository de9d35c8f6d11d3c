//! Calls over a stream in memory that answers itself: what a connection costs without sockets and without another task.

use std::{
    hint::black_box,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use ferrocket_protocol::{HeaderFormat, ResponseCode, encode_response, request::SendAnswer};
use ferrocket_remoting::{Options, Pool};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::inputs;

/// Requests in flight.
const IN_FLIGHT: usize = 64;
/// Where a binary header has its opaque, behind the two lengths, code, language and version.
const OPAQUE: std::ops::Range<usize> = 13..17;

/// Sends requests and awaits their answers, 64 in flight, on one thread. Binary headers: they are not what is counted here.
pub fn calls(times: usize, ready: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let mut options = Options::default();
        options.header_format = HeaderFormat::Binary;
        let dialer = |_: String| std::future::ready(io::Result::Ok(Loopback::new()));
        let pool = Pool::new(Arc::new(dialer), options, None).expect("good options");
        let soon = Instant::now() + Duration::from_secs(60);
        let connection = pool.connection("loopback:1", soon).await.expect("a connection");
        let request = inputs::send();
        let mut calls = Vec::with_capacity(IN_FLIGHT);
        ready();
        for _ in 0..times / IN_FLIGHT {
            calls.extend((0..IN_FLIGHT).map(|_| connection.call(&request, Duration::from_secs(60))));
            std::future::poll_fn(|cx| {
                calls.retain_mut(|call| match Pin::new(call).poll(cx) {
                    Poll::Ready(answer) => {
                        black_box(answer.expect("an answer"));
                        false
                    }
                    Poll::Pending => true,
                });
                if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    });
}

/// Each frame that is written becomes an answer that can be read.
struct Loopback {
    answer: Bytes,
    written: BytesMut,
    readable: BytesMut,
    reader: Option<Waker>,
}

impl Loopback {
    fn new() -> Self {
        let mut answer = BytesMut::new();
        let fields = SendAnswer::new(ResponseCode::SUCCESS, "7F00000100002A9F0000000000012345", 2, 1_234_567);
        let _ =
            encode_response(0, ResponseCode::SUCCESS, None, &fields, Bytes::new(), HeaderFormat::Binary, &mut answer)
                .expect("it fits");
        Self { answer: answer.freeze(), written: BytesMut::new(), readable: BytesMut::new(), reader: None }
    }

    fn respond(&mut self) {
        while let Some(length) = self.written.first_chunk::<4>() {
            let total = u32::from_be_bytes(*length) as usize + 4;
            let Some(frame) = self.written.get(..total) else { return };
            let opaque: [u8; 4] = frame.get(OPAQUE).and_then(|bytes| bytes.try_into().ok()).expect("a whole header");
            let start = self.readable.len();
            self.readable.extend_from_slice(&self.answer);
            if let Some(room) = self.readable.get_mut(start + OPAQUE.start..start + OPAQUE.end) {
                room.copy_from_slice(&opaque);
            }
            self.written.advance(total);
        }
    }
}

impl AsyncRead for Loopback {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.readable.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = self.readable.len().min(out.remaining());
        out.put_slice(&self.readable.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Loopback {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        self.respond();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
