use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use ferrocket_model::{MessageQueue, ReceivedMessage, ReceivedParts, Source, java_string_hash, properties};
use ferrocket_protocol::message::{BatchRecord, BatchRecords, StoredMessages, StoredParts, SysFlag, write_stored};
use tokio::sync::Notify;

use crate::clock;

/// What one broker stores: topics, their queues, and where everything is in the commit log.
#[derive(Default)]
pub(crate) struct Log {
    topics: HashMap<String, TopicLog>,
    end: i64,
    /// When a message was stored last, and where.
    newest: (i64, i64),
    places: HashMap<i64, Bytes>,
}

/// One topic.
pub(crate) struct TopicLog {
    pub(crate) perm: i32,
    /// Whether a batch is one record here.
    pub(crate) keeps_batches: bool,
    pub(crate) queues: Vec<QueueLog>,
}

/// One queue: records one behind the other, from offset 0 on.
#[derive(Default)]
pub(crate) struct QueueLog {
    pub(crate) records: Vec<Record>,
    /// Rings when something was stored, or the queue is gone.
    pub(crate) arrived: Arc<Notify>,
}

/// A stored message.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) bytes: Bytes,
    /// Of its first message.
    pub(crate) offset: u64,
    /// How many messages it holds: one, unless it is a batch.
    pub(crate) messages: u64,
    pub(crate) tag_hash: Option<i32>,
    pub(crate) stored_ms: i64,
    /// Over all brokers, in the order of storing.
    pub(crate) number: u64,
}

/// A message that is about to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) topic: String,
    pub(crate) queue_id: u32,
    pub(crate) flag: i32,
    pub(crate) sys_flag: SysFlag,
    pub(crate) born_ms: i64,
    pub(crate) born_host: SocketAddr,
    pub(crate) reconsume_times: i32,
    /// Of a committed message: where its half was in the commit log.
    pub(crate) prepared_offset: i64,
    pub(crate) body: Bytes,
    pub(crate) properties: String,
    /// How many messages the body holds: one, unless it is a batch.
    pub(crate) messages: u64,
}

/// Where a message was stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) queue_offset: u64,
    pub(crate) commit_log_offset: i64,
}

impl Draft {
    /// The message as it is stored at a place.
    pub(crate) fn record(&self, place: Place, store_host: SocketAddr) -> Bytes {
        self.write(place, store_host, clock::now_ms())
    }

    fn write(&self, place: Place, store_host: SocketAddr, stored_ms: i64) -> Bytes {
        let mut out = BytesMut::new();
        write_stored(
            &StoredParts {
                queue_id: i32::try_from(self.queue_id).unwrap_or(i32::MAX),
                flag: self.flag,
                queue_offset: i64::try_from(place.queue_offset).unwrap_or(i64::MAX),
                commit_log_offset: place.commit_log_offset,
                sys_flag: self.sys_flag,
                born_ms: self.born_ms,
                born_host: self.born_host,
                stored_ms,
                store_host,
                reconsume_times: self.reconsume_times,
                prepared_offset: self.prepared_offset,
                body: &self.body,
                topic: &self.topic,
                properties: &self.properties,
            },
            &mut out,
        );
        out.freeze()
    }
}

impl Record {
    /// As a consumer would see it, but with the topic it is stored in and the body as it is stored. A batch is taken apart.
    pub(crate) fn received(&self, queue: &MessageQueue) -> Vec<ReceivedMessage> {
        let Some(Ok(stored)) = StoredMessages::new(&self.bytes).next() else { return Vec::new() };
        let parts = ReceivedParts {
            topic: stored.topic.into(),
            body: self.bytes.slice_ref(stored.body),
            properties: self.bytes.slice_ref(stored.properties),
            source: Source::of(queue.clone()),
            offset: stored.queue_offset.unsigned_abs(),
            commit_log_offset: stored.commit_log_offset,
            born_ms: stored.born_ms.unsigned_abs(),
            stored_ms: stored.stored_ms.unsigned_abs(),
            born_host: stored.born_host,
            store_host: stored.store_host,
            flag: stored.flag,
            reconsume_times: stored.reconsume_times.unsigned_abs(),
            wire_bytes: stored.bytes,
            defect: None,
        };
        if !stored.sys_flag.is_inner_batch() {
            return vec![parts.into()];
        }
        let records = BatchRecords::new(parts.body.clone()).map_while(Result::ok);
        let children = (parts.offset..).zip(records).map(|(offset, record)| {
            let BatchRecord { flag, body, properties, .. } = record;
            ReceivedParts { offset, flag, body, properties, reconsume_times: 0, ..parts.clone() }.into()
        });
        children.collect()
    }
}

impl QueueLog {
    pub(crate) fn max_offset(&self) -> u64 {
        self.records.last().map_or(0, |record| record.offset + record.messages)
    }

    /// The records from an offset on; the first may be a batch that began before it.
    pub(crate) fn since(&self, offset: u64) -> &[Record] {
        let start = self.records.partition_point(|record| record.offset + record.messages <= offset);
        self.records.get(start..).unwrap_or_default()
    }
}

impl Drop for QueueLog {
    fn drop(&mut self) {
        self.arrived.notify_waiters();
    }
}

impl Log {
    pub(crate) fn topic(&self, name: &str) -> Option<&TopicLog> {
        self.topics.get(name)
    }

    pub(crate) fn queue(&self, topic: &str, id: u32) -> Option<&QueueLog> {
        self.topics.get(topic)?.queues.get(id as usize)
    }

    /// Makes a topic, or changes how many queues it has. Messages of queues that go away are lost.
    pub(crate) fn set_topic(&mut self, name: &str, queues: u32, perm: i32) {
        let topic = self.topics.entry(name.to_owned()).or_insert_with(|| TopicLog {
            perm,
            keeps_batches: false,
            queues: Vec::new(),
        });
        topic.perm = perm;
        topic.queues.resize_with(queues as usize, QueueLog::default);
    }

    /// From now on a batch to this topic is one record. Makes the topic, if need be.
    pub(crate) fn keep_batches(&mut self, name: &str) {
        self.ensure_topic(name, 1);
        if let Some(topic) = self.topics.get_mut(name) {
            topic.keeps_batches = true;
        }
    }

    /// Makes a topic if it does not exist.
    pub(crate) fn ensure_topic(&mut self, name: &str, queues: u32) {
        if !self.topics.contains_key(name) {
            self.set_topic(name, queues, 6);
        }
    }

    /// Takes what another log has more. What it does not know is kept. Who waits here for messages hears of those that come there.
    pub(crate) fn follow(&mut self, other: &Self) {
        for (name, theirs) in &other.topics {
            self.ensure_topic(name, 0);
            let Some(topic) = self.topics.get_mut(name) else { continue };
            (topic.perm, topic.keeps_batches) = (theirs.perm, theirs.keeps_batches);
            topic.queues.resize_with(theirs.queues.len(), QueueLog::default);
            for (queue, theirs) in topic.queues.iter_mut().zip(&theirs.queues) {
                if !Arc::ptr_eq(&queue.arrived, &theirs.arrived) {
                    queue.records.clear(); // another queue, though it has this number
                    queue.arrived.notify_waiters();
                    queue.arrived = theirs.arrived.clone();
                }
                for record in theirs.records.iter().skip(queue.records.len()) {
                    if let Some(Ok(stored)) = StoredMessages::new(&record.bytes).without_crc().next() {
                        self.places.insert(stored.commit_log_offset, record.bytes.clone());
                    }
                    queue.records.push(record.clone());
                }
            }
        }
        (self.end, self.newest) = (other.end, other.newest);
    }

    /// The same topics without a message.
    pub(crate) fn emptied(self) -> Self {
        let mut empty = Self::default();
        for (name, topic) in &self.topics {
            empty.set_topic(name, topic.queues.len() as u32, topic.perm);
            if topic.keeps_batches {
                empty.keep_batches(name);
            }
        }
        empty
    }

    pub(crate) fn delete_topic(&mut self, name: &str) {
        self.topics.remove(name);
    }

    /// The record that begins at this commit log offset.
    pub(crate) fn at(&self, commit_log_offset: i64) -> Option<&Bytes> {
        self.places.get(&commit_log_offset)
    }

    /// When a message was stored last, Unix milliseconds, and where in the commit log; zeros before the first.
    pub(crate) fn newest(&self) -> (i64, i64) {
        self.newest
    }

    /// Takes a stretch of the commit log without storing anything, for messages that come later.
    pub(crate) fn skip(&mut self, bytes: usize) -> i64 {
        let start = self.end;
        self.end = self.end.saturating_add(i64::try_from(bytes.max(1)).unwrap_or(i64::MAX));
        start
    }

    /// Stores a message; `None` when its queue does not exist.
    pub(crate) fn append(&mut self, draft: &Draft, store_host: SocketAddr, number: u64) -> Option<Place> {
        let queue = self.topics.get_mut(&draft.topic)?.queues.get_mut(draft.queue_id as usize)?;
        let place = Place { queue_offset: queue.max_offset(), commit_log_offset: self.end };
        let stored_ms = clock::now_ms();
        let bytes = draft.write(place, store_host, stored_ms);
        let tag_hash = properties::find(&draft.properties, properties::name::TAGS).map(java_string_hash);
        self.end += bytes.len() as i64;
        self.newest = (stored_ms, place.commit_log_offset);
        self.places.insert(place.commit_log_offset, bytes.clone());
        let (offset, messages) = (place.queue_offset, draft.messages.max(1));
        queue.records.push(Record { bytes, offset, messages, tag_hash, stored_ms, number });
        queue.arrived.notify_waiters();
        Some(place)
    }
}
