use std::collections::VecDeque;

use ferrocket_model::ReceivedMessage;

/// The messages of one queue between the pull and their settling. Sans-IO.
///
/// What may be committed is the offset of the first message that is not settled; when all are, it is where the next pull begins.
/// Memory is counted as what the messages keep alive: a whole receive buffer until its last message is settled (R-I6).
#[derive(Debug)]
#[doc(alias = "ProcessQueue")]
pub(crate) struct QueueBuffer {
    entries: VecDeque<Entry>,
    /// No entry before this one waits to be handed out.
    ready: usize,
    /// Messages that wait to be handed out.
    waiting: usize,
    settled: usize,
    /// Behind the last message that was pulled.
    end: u64,
    buffers: VecDeque<Retained>,
    first_buffer: u64,
    retained_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    offset: u64,
    /// Taken out when it is handed to a listener.
    message: Option<ReceivedMessage>,
    is_settled: bool,
    buffer: u64,
}

#[derive(Debug)]
struct Retained {
    bytes: usize,
    messages: usize,
}

impl QueueBuffer {
    pub(crate) fn new(offset: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            ready: 0,
            waiting: 0,
            settled: 0,
            end: offset,
            buffers: VecDeque::new(),
            first_buffer: 0,
            retained_bytes: 0,
        }
    }

    /// Takes what a pull brought. Messages below what was pulled before are doubles and left out. `next` is where the next pull
    /// begins. Returns how many were taken.
    pub(crate) fn put(&mut self, messages: Vec<ReceivedMessage>, retained_bytes: usize, next: u64) -> usize {
        let buffer = self.first_buffer + self.buffers.len() as u64;
        let before = self.entries.len();
        for message in messages {
            if message.offset() < self.end {
                continue;
            }
            self.end = message.offset() + 1;
            self.entries.push_back(Entry {
                offset: message.offset(),
                message: Some(message),
                is_settled: false,
                buffer,
            });
        }
        let taken = self.entries.len() - before;
        self.waiting += taken;
        if taken > 0 {
            self.buffers.push_back(Retained { bytes: retained_bytes, messages: taken });
            self.retained_bytes += retained_bytes;
        }
        self.end = self.end.max(next);
        taken
    }

    /// Hands out the next messages, in offset order.
    pub(crate) fn take(&mut self, max: usize) -> Vec<ReceivedMessage> {
        let mut taken = Vec::with_capacity(max.min(self.waiting));
        while taken.len() < max
            && let Some(message) = self.take_one()
        {
            taken.push(message);
        }
        taken
    }

    /// One message, without a list around it.
    pub(crate) fn take_one(&mut self) -> Option<ReceivedMessage> {
        while let Some(entry) = self.entries.get_mut(self.ready) {
            self.ready += 1;
            if let Some(message) = entry.message.take() {
                self.waiting -= 1;
                return Some(message);
            }
        }
        None
    }

    /// A message that was handed out waits again, at its place. One that is not here (any more) does not.
    pub(crate) fn put_back(&mut self, message: ReceivedMessage) {
        let offset = message.offset();
        let index = self.entries.partition_point(|entry| entry.offset < offset);
        let is_out = |entry: &&mut Entry| entry.offset == offset && !entry.is_settled && entry.message.is_none();
        if let Some(entry) = self.entries.get_mut(index).filter(is_out) {
            entry.message = Some(message);
            self.waiting += 1;
            self.ready = self.ready.min(index);
        }
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.waiting > 0
    }

    /// A message is done with. Returns what may be committed now. A message that is not here (any more) changes nothing.
    pub(crate) fn settle(&mut self, offset: u64) -> u64 {
        let index = self.entries.partition_point(|entry| entry.offset < offset);
        if let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.offset == offset && !entry.is_settled) {
            entry.is_settled = true;
            if entry.message.take().is_some() {
                self.waiting -= 1;
            }
            let buffer = entry.buffer;
            self.settled += 1;
            self.release(buffer);
            while self.entries.front().is_some_and(|entry| entry.is_settled) {
                self.entries.pop_front();
                self.settled -= 1;
                self.ready = self.ready.saturating_sub(1);
            }
        }
        self.committable()
    }

    /// The next offset to consume after a crash: everything below is settled.
    pub(crate) fn committable(&self) -> u64 {
        self.entries.front().map_or(self.end, |entry| entry.offset)
    }

    /// Forgets everything, and goes on at another offset: the broker or an operator said so.
    pub(crate) fn reset(&mut self, offset: u64) {
        *self = Self::new(offset);
    }

    /// The first and the last message that are not settled.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        let last = self.entries.iter().rev().find(|entry| !entry.is_settled)?;
        Some((self.entries.front()?.offset, last.offset))
    }

    /// Messages that are not settled.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.settled
    }

    /// What they keep in memory.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.retained_bytes
    }

    /// From the first message that is not settled to the last one that was pulled, settled or not: what comes twice after a crash.
    pub(crate) fn span(&self) -> u64 {
        match (self.entries.front(), self.entries.back()) {
            (Some(first), Some(last)) => last.offset - first.offset,
            _ => 0,
        }
    }

    fn release(&mut self, buffer: u64) {
        let Some(index) = buffer.checked_sub(self.first_buffer).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        if let Some(retained) = self.buffers.get_mut(index) {
            retained.messages -= 1;
            if retained.messages == 0 {
                self.retained_bytes -= retained.bytes;
                retained.bytes = 0;
            }
        }
        while self.buffers.front().is_some_and(|retained| retained.messages == 0) {
            self.buffers.pop_front();
            self.first_buffer += 1;
        }
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
