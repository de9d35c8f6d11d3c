//! The task behind the queue: packs records into messages, and sends them.

use std::{sync::Arc, time::Duration};

use ferrocket_backend::spawn;
use ferrocket_model::Message;
use ferrocket_producer::{Producer, ProducerBuilder};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use crate::{MessageTrace, TraceRecord, tracer::Shared};

/// The largest message of records (PRO-TRC-01). A record that is larger goes alone.
const MAX_BYTES: usize = 128_000;
/// Records that wait for others wait no longer than this. (5 s in Java.)
const MAX_AGE: Duration = Duration::from_secs(1);
/// Keys of one message, so that they fit its properties.
const MAX_KEY_BYTES: usize = 16 << 10;
/// Messages of records on their way. One at a time would be one per round trip, and the queue full soon.
const MAX_IN_FLIGHT: u32 = 16;

/// Runs until the queue is closed and empty, and every message has its answer; then the producer leaves its group.
pub(crate) async fn run(
    options: MessageTrace,
    producer: ProducerBuilder,
    mut queue: mpsc::Receiver<TraceRecord>,
    shared: Arc<Shared>,
) {
    let mut sender = Sender::Later(Some(Box::new(producer)));
    let slots = Arc::new(Semaphore::new(MAX_IN_FLIGHT as usize));
    let mut records = Vec::with_capacity(options.batch);
    while let Some(first) = next(&mut queue, &shared).await {
        records.push(first);
        let until = Instant::now() + MAX_AGE;
        while records.len() < options.batch {
            match tokio::time::timeout_at(until, next(&mut queue, &shared)).await {
                Ok(Some(record)) => records.push(record),
                Ok(None) | Err(_) => break,
            }
        }
        for packed in pack(&options, &mut records) {
            // Nobody closes it.
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let (producer, shared) = (sender.get().await.cloned(), shared.clone());
            drop(spawn(Box::pin(async move {
                let sent = match producer {
                    Some(producer) => producer.send(packed.message).await.map(drop).map_err(|error| error.to_string()),
                    None => Err("there is no producer for it".to_owned()),
                };
                shared.sent(packed.records, sent);
                drop(slot);
            })));
        }
    }
    let all = slots.acquire_many(MAX_IN_FLIGHT).await;
    drop(all);
    if let Sender::Ready(producer) = sender
        && let Err(error) = producer.shutdown().await
    {
        tracing::debug!(%error, "the producer of trace records did not leave its group");
    }
}

/// The next record. When the end is wanted nothing more gets in, and what is left comes at once.
async fn next(queue: &mut mpsc::Receiver<TraceRecord>, shared: &Shared) -> Option<TraceRecord> {
    if let Some(record) = shared.until_ending(queue.recv()).await {
        return Some(record);
    }
    queue.close();
    queue.recv().await
}

/// Joins its group with the first record, not before.
enum Sender {
    Later(Option<Box<ProducerBuilder>>),
    Ready(Producer),
    Failed,
}

impl Sender {
    async fn get(&mut self) -> Option<&Producer> {
        if let Self::Later(builder) = self {
            *self = match builder.take()?.build().await {
                Ok(producer) => Self::Ready(producer),
                Err(error) => {
                    tracing::warn!(%error, "messages are not traced");
                    Self::Failed
                }
            };
        }
        match self {
            Self::Ready(producer) => Some(producer),
            _ => None,
        }
    }
}

/// A message, and how many records are in it.
struct Packed {
    message: Message,
    records: usize,
}

/// Messages of at most [`MAX_BYTES`] each, but for a single record that is larger.
fn pack(options: &MessageTrace, records: &mut Vec<TraceRecord>) -> Vec<Packed> {
    let mut messages = Vec::new();
    let (mut text, mut keys, mut count) = (String::new(), Vec::<String>::new(), 0);
    let mut one = String::new();
    for record in records.drain(..) {
        one.clear();
        record.write(&mut one);
        let key_bytes = keys.iter().map(|key| key.len() + 1).sum::<usize>();
        let more = record.keys().map(|key| key.len() + 1).sum::<usize>();
        if !text.is_empty() && (text.len() + one.len() > MAX_BYTES || key_bytes + more > MAX_KEY_BYTES) {
            let message = message(options, std::mem::take(&mut text), std::mem::take(&mut keys));
            messages.push(Packed { message, records: std::mem::take(&mut count) });
        }
        text.push_str(&one);
        count += 1;
        for key in record.keys() {
            if !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
    }
    if !text.is_empty() {
        messages.push(Packed { message: message(options, text, keys), records: count });
    }
    messages
}

fn message(options: &MessageTrace, text: String, keys: Vec<String>) -> Message {
    let message = Message::new(&options.topic, text);
    keys.into_iter().filter(|key| !key.contains(char::is_whitespace)).fold(message, Message::with_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PubRecord;

    #[test]
    fn records_go_into_few_messages_and_none_is_too_large() {
        let record = |n: usize| {
            TraceRecord::Pub(PubRecord {
                message_id: format!("ID{n}"),
                keys: Some(format!("k{n} {}", "x".repeat(40_000 * (n % 2)))),
                ..PubRecord::default()
            })
        };
        let mut records: Vec<_> = (0..20).map(record).collect();
        let messages = pack(&MessageTrace::default(), &mut records);
        assert!(records.is_empty());
        assert!(messages.iter().all(|packed| packed.message.body().len() <= MAX_BYTES));
        let read = |packed: &Packed| {
            let read = TraceRecord::read_all(std::str::from_utf8(packed.message.body()).expect("text"));
            assert_eq!(read.len(), packed.records);
            read
        };
        let read: Vec<_> = messages.iter().flat_map(read).collect();
        assert_eq!(read, (0..20).map(record).collect::<Vec<_>>());
    }
}
