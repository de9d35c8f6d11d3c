use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use ferrocket_protocol::{Command, Frame, limits};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    time::{Instant, Sleep},
};

use crate::{
    CloseCause, Options, Stream,
    connection::{Parked, Shared},
    inbound::Events,
    outbox::Writing,
};

/// The most segments of one vectored write.
const MAX_SEGMENTS: usize = 64;
/// How often the loop goes round before it lets other tasks run. What was read should be in the processor's cache still when it is used.
const ROUNDS: usize = 4;
/// Receive buffers nearly all have this size, so that memory that one leaves behind fits the next one. Below the size from which
/// allocators ask the system for pages each time.
const BUFFER_BYTES: usize = 96 * 1024;

/// The task that owns the socket: it writes what callers queue, hands out answers, and keeps all deadlines of the connection.
pub(crate) struct Driver {
    stream: Box<dyn Stream>,
    shared: Arc<Shared>,
    events: Events,
    max_frame_bytes: usize,
    idle_timeout: Duration,
    silence_timeout: Duration,
    reading: BytesMut,
    writing: Writing,
    answers: Vec<Command>,
    wakers: Vec<Waker>,
    timer: Pin<Box<Sleep>>,
    last_read: Instant,
    last_write: Instant,
}

impl Driver {
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        shared: Arc<Shared>,
        events: Events,
        options: &Options,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            shared,
            events,
            max_frame_bytes: options.max_frame_bytes,
            idle_timeout: options.idle_timeout,
            silence_timeout: options.silence_timeout,
            reading: BytesMut::with_capacity(limits::READ_AHEAD_BYTES),
            writing: Writing::default(),
            answers: Vec::new(),
            wakers: Vec::new(),
            timer: Box::pin(tokio::time::sleep_until(now + options.idle_timeout)),
            last_read: now,
            last_write: now,
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<CloseCause> {
        for _ in 0..ROUNDS {
            let mut progress = false;
            while let Poll::Ready(written) = self.write(cx) {
                match written {
                    Ok(true) => progress = true,
                    Ok(false) => break,
                    Err(error) => return Poll::Ready(CloseCause::Io(error)),
                }
            }
            match self.read(cx) {
                Poll::Ready(Ok(())) => progress = true,
                Poll::Ready(Err(cause)) => return Poll::Ready(cause),
                Poll::Pending => {}
            }
            if self.timer.as_mut().poll(cx).is_ready() {
                if let Some(cause) = self.on_timer() {
                    return Poll::Ready(cause);
                }
                progress = true;
            }
            if progress {
                continue;
            }
            // While data waits the socket is full: it wakes us, too.
            match self.shared.park(cx.waker(), !self.writing.is_empty()) {
                Parked::Closed => return Poll::Ready(CloseCause::ByUs),
                Parked::Work => {}
                Parked::Asleep(deadline) => {
                    match deadline {
                        Some(deadline) if deadline < self.timer.deadline() => {
                            self.timer.as_mut().reset(deadline);
                            if self.timer.as_mut().poll(cx).is_ready() {
                                continue;
                            }
                        }
                        _ => {}
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes once. `Ok(false)`: nothing to write.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.writing.is_empty() {
            self.shared.take_outbox(&mut self.writing);
            if self.writing.is_empty() {
                return Poll::Ready(Ok(false));
            }
        }
        let stream = Pin::new(&mut self.stream);
        let written = if self.writing.segments.is_empty() {
            ready!(stream.poll_write(cx, &self.writing.last))?
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_SEGMENTS];
            let segments = self.writing.segments.iter().map(|segment| &segment[..]);
            let last = (!self.writing.last.is_empty()).then_some(&self.writing.last[..]);
            let mut count = 0;
            for (slot, bytes) in slices.iter_mut().zip(segments.chain(last)) {
                *slot = IoSlice::new(bytes);
                count += 1;
            }
            ready!(stream.poll_write_vectored(cx, slices.get(..count).unwrap_or_default()))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.writing.advance(written);
        self.last_write = Instant::now();
        self.shared.wrote(written);
        Poll::Ready(Ok(true))
    }

    /// Reads once, and hands out what is whole.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseCause>> {
        // Once all answers are taken, the buffer begins anew at its start: no new one, and its bytes are still in the cache.
        if self.reading.is_empty() {
            let _ = self.reading.try_reclaim(limits::READ_AHEAD_BYTES);
        }
        // Never more ahead than a constant, or than has come already: a claimed length reserves nothing (R14).
        if self.reading.capacity() - self.reading.len() < limits::READ_AHEAD_BYTES / 4 {
            let ahead = Frame::missing(&self.reading).min(self.reading.len()).max(limits::READ_AHEAD_BYTES);
            if !self.reading.try_reclaim(ahead) {
                let mut next = BytesMut::with_capacity((self.reading.len() + ahead).max(BUFFER_BYTES));
                next.extend_from_slice(&self.reading);
                self.reading = next;
            }
        }
        let read = std::pin::pin!(self.stream.read_buf(&mut self.reading));
        if ready!(read.poll(cx)).map_err(CloseCause::Io)? == 0 {
            return Poll::Ready(Err(CloseCause::ByPeer));
        }
        self.last_read = Instant::now();
        Poll::Ready(self.hand_out())
    }

    fn hand_out(&mut self) -> Result<(), CloseCause> {
        while let Some(frame) = Frame::decode(&mut self.reading, self.max_frame_bytes).map_err(CloseCause::Protocol)? {
            let command = Command::read(frame).map_err(CloseCause::Protocol)?;
            if command.is_response() {
                self.answers.push(command);
            } else {
                self.events.deliver(command, &self.shared);
            }
        }
        if !self.answers.is_empty() {
            self.shared.deliver(&mut self.answers, &mut self.wakers);
        }
        Ok(())
    }

    /// Ends what is overdue, looks whether the peer is alive, and sets the timer anew.
    fn on_timer(&mut self) -> Option<CloseCause> {
        let now = Instant::now();
        let (deadline, timed_out_at) = self.shared.expire(now, &mut self.wakers);
        let last_traffic = self.last_read.max(self.last_write);
        if now.saturating_duration_since(last_traffic) >= self.idle_timeout {
            return Some(CloseCause::Idle(self.idle_timeout));
        }
        // A request that timed out proves nothing: a slow broker must not lose its connection over it. Silence for long, with
        // somebody having waited in vain, does.
        let mut wake_at = last_traffic + self.idle_timeout;
        if timed_out_at.is_some_and(|at| at > self.last_read) {
            if now.saturating_duration_since(self.last_read) >= self.silence_timeout {
                return Some(CloseCause::Silent(self.silence_timeout));
            }
            wake_at = wake_at.min(self.last_read + self.silence_timeout);
        }
        self.timer.as_mut().reset(deadline.map_or(wake_at, |deadline| deadline.min(wake_at)));
        None
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.shared.is_closed() {
            return Poll::Ready(());
        }
        let cause = ready!(this.run(cx));
        this.shared.close(cause);
        Poll::Ready(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Also when the runtime ends: nobody waits for ever.
        self.shared.close(CloseCause::ByUs);
    }
}
