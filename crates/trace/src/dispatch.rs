//! The task behind the queue: packs records into messages, and sends them.

use std::{sync::Arc, time::Duration};

use ferrocket_model::Message;
use ferrocket_producer::{Producer, ProducerBuilder};
use tokio::{sync::mpsc, time::Instant};

use crate::{MessageTrace, TraceRecord, tracer::Shared};

/// The largest message of records (PRO-TRC-01). Below it by the largest record that can come last.
const MAX_BYTES: usize = 128_000;
/// Records that wait for others wait no longer than this. (5 s in Java.)
const MAX_AGE: Duration = Duration::from_secs(1);
/// Keys of one message, so that they fit its properties.
const MAX_KEY_BYTES: usize = 16 << 10;

/// Runs until the queue is closed and empty.
pub(crate) async fn run(
    options: MessageTrace,
    producer: ProducerBuilder,
    mut queue: mpsc::Receiver<TraceRecord>,
    shared: Arc<Shared>,
) {
    let mut producer = Sender::Later(Some(Box::new(producer)));
    let mut records = Vec::with_capacity(options.batch);
    loop {
        let Some(first) = queue.recv().await else { break };
        records.push(first);
        let until = Instant::now() + MAX_AGE;
        while records.len() < options.batch {
            match tokio::time::timeout_at(until, shared.hurried(queue.recv())).await {
                Ok(Some(record)) => records.push(record),
                Ok(None) | Err(_) => break,
            }
        }
        let count = records.len();
        for message in pack(&options, &mut records) {
            let sent = match producer.get().await {
                Some(producer) => producer.send(message).await.map(drop).map_err(|error| error.to_string()),
                None => Err("there is no producer for it".to_owned()),
            };
            if let Err(error) = sent {
                shared.lost(count as u64);
                tracing::debug!(error, "trace records were not sent");
            }
        }
        shared.done(count);
    }
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

/// Messages of at most [`MAX_BYTES`] each.
fn pack(options: &MessageTrace, records: &mut Vec<TraceRecord>) -> Vec<Message> {
    let mut messages = Vec::new();
    let (mut text, mut keys) = (String::new(), Vec::<String>::new());
    let mut one = String::new();
    for record in records.drain(..) {
        one.clear();
        record.write(&mut one);
        let key_bytes = keys.iter().map(|key| key.len() + 1).sum::<usize>();
        let more = record.keys().map(|key| key.len() + 1).sum::<usize>();
        if !text.is_empty() && (text.len() + one.len() > MAX_BYTES || key_bytes + more > MAX_KEY_BYTES) {
            messages.push(message(options, std::mem::take(&mut text), std::mem::take(&mut keys)));
        }
        text.push_str(&one);
        for key in record.keys() {
            if !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
    }
    if !text.is_empty() {
        messages.push(message(options, text, keys));
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
        assert!(messages.iter().all(|message| message.body().len() <= MAX_BYTES));
        let read: Vec<_> = messages
            .iter()
            .flat_map(|message| TraceRecord::read_all(std::str::from_utf8(message.body()).expect("text")))
            .collect();
        assert_eq!(read, (0..20).map(record).collect::<Vec<_>>());
    }
}
