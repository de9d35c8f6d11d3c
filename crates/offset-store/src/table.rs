use std::collections::BTreeMap;

use ferrocket_model::MessageQueue;

/// The progress of the queues that a consumer owns. Sans-IO.
///
/// Within one ownership an offset never goes back; what was stored and what is ahead of it are told apart, so that only changes
/// are written. A queue that is not owned takes nothing: late results of a queue that was once owned do nothing.
#[derive(Clone, Debug, Default)]
pub struct OffsetTable {
    queues: BTreeMap<MessageQueue, Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The next offset to consume.
    next: u64,
    /// What the store has.
    stored: Option<u64>,
}

impl OffsetTable {
    /// Takes a queue over, at the offset that the store has for it.
    pub fn start(&mut self, queue: MessageQueue, offset: u64) {
        self.queues.insert(queue, Progress { next: offset, stored: Some(offset) });
    }

    /// Takes a queue over for which nothing is stored; `offset` is where it starts, and is written at the next occasion.
    pub fn start_unstored(&mut self, queue: MessageQueue, offset: u64) {
        self.queues.insert(queue, Progress { next: offset, stored: None });
    }

    /// Everything below `offset` is settled. Never goes back; returns whether it went forward.
    pub fn advance(&mut self, queue: &MessageQueue, offset: u64) -> bool {
        match self.queues.get_mut(queue) {
            Some(progress) if offset > progress.next => {
                progress.next = offset;
                true
            }
            _ => false,
        }
    }

    /// Sets the offset to what an operator or the broker said, back too.
    pub fn reset(&mut self, queue: &MessageQueue, offset: u64) {
        if let Some(progress) = self.queues.get_mut(queue) {
            *progress = Progress { next: offset, stored: None };
        }
    }

    /// The next offset to consume.
    pub fn position(&self, queue: &MessageQueue) -> Option<u64> {
        self.queues.get(queue).map(|progress| progress.next)
    }

    /// What the store has, as far as we know.
    pub fn stored(&self, queue: &MessageQueue) -> Option<u64> {
        self.queues.get(queue).and_then(|progress| progress.stored)
    }

    /// What is ahead of the store.
    pub fn changed(&self) -> Vec<(MessageQueue, u64)> {
        let ahead = self.queues.iter().filter(|(_, progress)| progress.stored != Some(progress.next));
        ahead.map(|(queue, progress)| (queue.clone(), progress.next)).collect()
    }

    /// What of one queue is ahead of the store.
    pub fn changed_in(&self, queue: &MessageQueue) -> Option<u64> {
        self.queues.get(queue).filter(|progress| progress.stored != Some(progress.next)).map(|progress| progress.next)
    }

    /// The store has this offset now. What was settled meanwhile stays ahead.
    pub fn written(&mut self, queue: &MessageQueue, offset: u64) {
        if let Some(progress) = self.queues.get_mut(queue) {
            progress.stored = Some(offset);
        }
    }

    /// Gives a queue up, with what is ahead of the store.
    pub fn end(&mut self, queue: &MessageQueue) -> Option<u64> {
        let progress = self.queues.remove(queue)?;
        (progress.stored != Some(progress.next)).then_some(progress.next)
    }
}
