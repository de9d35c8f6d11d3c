use bytes::{Bytes, BytesMut};
use ferrocket_model::properties::{self, name};
use ferrocket_protocol::{
    Command, ReadRequest, ResponseCode,
    message::StoredMessages,
    request::{FoundMessages, QueryMessage, ViewMessage},
};

use super::Broker;
use crate::{answer::Answer, log::Record};

/// As many as brokers hand out for a unique key, whatever the request says.
const MAX_OF_UNIQUE_KEY: usize = 32;
/// As many as brokers hand out at all.
const MAX_FOUND: usize = 64;

impl Broker {
    /// Messages of a topic with a key, the oldest first. Brokers keep one index for keys and unique keys, so either is found by
    /// either question.
    pub(super) fn query_message(&self, command: &Command) -> Answer {
        let request = match QueryMessage::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error),
        };
        let most = match request.unique {
            Some(true) => MAX_OF_UNIQUE_KEY,
            _ => usize::try_from(request.max_messages).unwrap_or(0).min(MAX_FOUND),
        };
        let state = self.state.lock();
        let queues = state.log.topic(request.topic.as_str()).map(|topic| &topic.queues[..]).unwrap_or_default();
        let mut found: Vec<_> = queues
            .iter()
            .flat_map(|queue| &queue.records)
            .filter(|record| (request.begin_ms..=request.end_ms).contains(&record.stored_ms))
            .filter(|record| has_key(record, &request.key))
            .collect();
        found.sort_by_key(|record| record.number);
        let mut messages = BytesMut::new();
        for record in found.iter().take(most) {
            messages.extend_from_slice(&record.bytes);
        }
        if messages.is_empty() {
            let answer =
                Answer::refusal(ResponseCode::QUERY_NOT_FOUND, "can not find message, maybe time range not correct");
            return answer.with_fields(FoundMessages::new(0, 0, Bytes::new()));
        }
        let (updated_ms, end) = state.log.newest();
        let messages = messages.freeze();
        Answer::success().with_body(messages.clone()).with_fields(FoundMessages::new(updated_ms, end, messages))
    }

    pub(super) fn view_message(&self, command: &Command) -> Answer {
        let offset = match ViewMessage::read_request(command) {
            Ok(request) => request.commit_log_offset,
            Err(error) => return Answer::unreadable(&error),
        };
        match self.state.lock().log.at(offset) {
            Some(record) => Answer::success().with_body(record.clone()),
            None => {
                let text = format!("can not find message by the offset, {offset}");
                Answer::refusal(ResponseCode::SYSTEM_ERROR, text)
            }
        }
    }
}

/// Whether a record can be found by this key: its unique key, or one of its keys, which have blanks between them.
fn has_key(record: &Record, key: &str) -> bool {
    let Some(Ok(stored)) = StoredMessages::new(&record.bytes).without_crc().next() else { return false };
    let text = String::from_utf8_lossy(stored.properties);
    let keys = properties::find(&text, name::KEYS).unwrap_or_default();
    !key.is_empty() && (properties::find(&text, name::UNIQ_KEY) == Some(key) || keys.split(' ').any(|word| word == key))
}
