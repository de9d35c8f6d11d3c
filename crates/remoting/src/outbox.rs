use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A write buffer that grew beyond this is not kept after it was written.
const KEEP_CAPACITY: usize = 1 << 20;

/// What waits to be written: a buffer that callers encode into, and large bodies as segments of their own, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
    /// Bytes ever queued: where the next frame begins in the stream.
    position: u64,
}

impl Outbox {
    /// The buffer to encode into. Follow with [`queued`](Self::queued).
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Says what was encoded: bytes in the buffer, and a body to follow. Returns where the frame begins in the stream.
    pub(crate) fn queued(&mut self, bytes: usize, body: Option<Bytes>) -> u64 {
        let start = self.position;
        self.bytes += bytes;
        self.position += bytes as u64;
        if let Some(body) = body {
            self.segments.push_back(self.tail.split().freeze());
            self.bytes += body.len();
            self.position += body.len() as u64;
            self.segments.push_back(body);
        }
        start
    }

    /// Bytes that wait, those that the driver took included until it says that they are written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the next frame will begin in the stream.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether there is something to take.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.tail.is_empty() || !self.segments.is_empty()
    }

    /// Hands everything over, in exchange for an empty buffer.
    pub(crate) fn take(&mut self, writing: &mut Writing) {
        writing.segments.append(&mut self.segments);
        std::mem::swap(&mut self.tail, &mut writing.last);
        self.tail.clear();
        if self.tail.capacity() > KEEP_CAPACITY {
            self.tail = BytesMut::new();
        }
    }

    /// The driver has written this much.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What the driver is writing: taken from the outbox, owned by one task.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) segments: VecDeque<Bytes>,
    /// Behind the segments.
    pub(crate) last: BytesMut,
}

impl Writing {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.last.is_empty()
    }

    /// Takes what was written off the front.
    pub(crate) fn advance(&mut self, mut written: usize) {
        use bytes::Buf;
        while written > 0
            && let Some(first) = self.segments.front_mut()
        {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.segments.pop_front();
        }
        if written >= self.last.len() {
            self.last.clear();
        } else {
            self.last.advance(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_large_bodies_leave_in_the_order_in_which_they_were_queued() {
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(b"ab");
        assert_eq!(outbox.queued(2, None), 0);
        outbox.buffer().extend_from_slice(b"c");
        assert_eq!(outbox.queued(1, Some(Bytes::from_static(b"DEF"))), 2);
        outbox.buffer().extend_from_slice(b"g");
        assert_eq!(outbox.queued(1, None), 6);
        assert_eq!(outbox.bytes(), 7);

        let mut writing = Writing::default();
        outbox.take(&mut writing);
        assert!(!outbox.has_unsent());
        let mut seen = Vec::new();
        while !writing.is_empty() {
            let first = writing.segments.front().map_or(&writing.last[..], |segment| &segment[..]);
            seen.push(first[0]);
            writing.advance(1);
            outbox.written(1);
        }
        assert_eq!(seen, b"abcDEFg");
        assert_eq!(outbox.bytes(), 0);
    }
}
