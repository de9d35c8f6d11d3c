use ferrocket_protocol::{
    Command, ReadRequest, ResponseCode,
    request::{CommitOffset, GetMaxOffset, QueryOffset, SearchOffset},
};

use super::{Broker, State};
use crate::answer::Answer;

impl State {
    pub(super) fn offset(&self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        self.offsets.get(group)?.get(&(topic.to_owned(), queue)).copied()
    }

    pub(super) fn commit(&mut self, group: &str, topic: &str, queue: u32, offset: u64) {
        self.offsets.entry(group.to_owned()).or_default().insert((topic.to_owned(), queue), offset);
    }
}

impl State {
    /// An offset below zero is stored and then looks as if nothing were.
    fn forget(&mut self, command: &Command) {
        let text = |name| command.fields().find(name).ok().flatten().unwrap_or_default().into_owned();
        let Ok(queue) = text("queueId").parse() else { return };
        if let Some(offsets) = self.offsets.get_mut(&text("consumerGroup")) {
            offsets.remove(&(text("topic"), queue));
        }
    }
}

/// Whether a field holds a number below zero, which our typed requests do not read and brokers do.
pub(super) fn is_negative(command: &Command, field: &str) -> bool {
    let text = command.fields().find(field).ok().flatten();
    text.and_then(|text| text.parse::<i64>().ok()).is_some_and(|number| number < 0)
}

impl Broker {
    pub(super) fn query_offset(&self, command: &Command) -> Answer {
        let request = match QueryOffset::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error),
        };
        let state = self.state.lock();
        if let Some(offset) = state.offset(request.group.as_str(), request.topic.as_str(), request.queue_id) {
            return Answer::offset(offset);
        }
        if request.zero_if_not_found == Some(false) {
            let text = "Not found, do not set to zero, maybe this group boot first";
            return Answer::refusal(ResponseCode::QUERY_NOT_FOUND, text);
        }
        // A young queue, which still has its first message: whoever asks begins there.
        let queue = state.log.queue(request.topic.as_str(), request.queue_id);
        if queue.is_some_and(|queue| queue.max_offset() > 0) {
            return Answer::offset(0);
        }
        let text = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
        Answer::refusal(ResponseCode::QUERY_NOT_FOUND, text)
    }

    pub(super) fn commit_offset(&self, command: &Command) -> Answer {
        let mut state = self.state.lock();
        if is_negative(command, "commitOffset") {
            state.forget(command);
            return Answer::success();
        }
        let request = match CommitOffset::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error),
        };
        let topic = request.topic.as_str();
        if state.log.topic(topic).is_none() {
            return Answer::refusal(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {topic} not exist!"));
        }
        if state.resets.is_pending(request.group.as_str(), topic, request.queue_id) {
            return Answer::success().with_remark("Offset has been previously reset");
        }
        state.commit(request.group.as_str(), topic, request.queue_id, request.offset);
        Answer::success()
    }

    /// The end of a queue, or its beginning; 0 for a queue that does not exist.
    pub(super) fn bound(&self, command: &Command, end: bool) -> Answer {
        let queue = match GetMaxOffset::read_request(command) {
            Ok(request) => request.queue,
            Err(error) => return Answer::unreadable(&error),
        };
        let state = self.state.lock();
        let found = state.log.queue(queue.topic().as_str(), queue.id());
        Answer::offset(found.filter(|_| end).map_or(0, |queue| queue.max_offset()))
    }

    pub(super) fn search_offset(&self, command: &Command) -> Answer {
        let request = match SearchOffset::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error),
        };
        let state = self.state.lock();
        let Some(queue) = state.log.queue(request.topic.as_str(), request.queue_id) else { return Answer::offset(0) };
        let upper = request.boundary.as_deref().is_some_and(|boundary| boundary.eq_ignore_ascii_case("upper"));
        let first_of = |later: &dyn Fn(i64) -> bool| {
            let found = queue.records.iter().find(|record| later(record.stored_ms));
            found.map_or(queue.max_offset(), |record| record.offset)
        };
        let at_or_after = first_of(&|stored| stored >= request.timestamp);
        let after = first_of(&|stored| stored > request.timestamp);
        // Upper: the last one stored at that very time, if there is one.
        Answer::offset(if upper && after > at_or_after { after - 1 } else { at_or_after })
    }
}
