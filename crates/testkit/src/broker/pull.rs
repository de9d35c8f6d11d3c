use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{
    Command, ReadRequest, ResponseCode,
    request::{Pull, PullAnswer, PullFlags, PullHeader},
};
use tokio::{sync::Notify, time::Instant};

use super::{Broker, State, filters::Passing, offsets::is_negative};
use crate::{
    answer::{Answer, Handled},
    log::QueueLog,
};

/// How much one answer holds, if more than one message.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How many records are looked at for a filter before the client is told to go on.
const MAX_SCANNED: usize = 16_000;

/// How one look at the queue ended.
enum Looked {
    Answer(Answer),
    /// Nothing there yet: what to answer when the wait is over, and what rings when something arrives.
    Nothing(Answer, Arc<Notify>),
}

/// What the broker says to every pull.
#[derive(Clone, Copy)]
struct Rules {
    sql_allowed: bool,
    suggested_broker: u64,
    is_slave: bool,
}

impl Rules {
    fn answer(self, code: ResponseCode, status: &str, next: u64, max: u64, messages: Bytes) -> Answer {
        let mut fields = PullAnswer::new(code, next, 0, max, Bytes::new());
        fields.suggested_broker = self.suggested_broker;
        if self.is_slave && code == ResponseCode::PULL_OFFSET_MOVED {
            // A slave moves nobody, it may be behind: on to the master.
            fields.code = ResponseCode::PULL_RETRY_IMMEDIATELY;
            fields.suggested_broker = 0;
        }
        Answer::success().with_code(fields.code).with_remark(status).with_fields(fields).with_body(messages)
    }
}

impl Broker {
    fn rules(&self) -> Rules {
        let suggested = &self.master.as_deref().unwrap_or(self).suggested;
        Rules {
            sql_allowed: self.shared.settings.property_filter,
            suggested_broker: suggested.load(Ordering::SeqCst),
            is_slave: self.is_slave(),
        }
    }

    pub(super) fn pull(self: Arc<Self>, command: &Command) -> Handled {
        if is_negative(command, "queueId") {
            return Answer::refusal(ResponseCode::INVALID_PARAMETER, "the queueId is illegal").into();
        }
        let request = match Pull::read_request(command) {
            Ok(Pull(request)) => request,
            Err(_) if is_negative(command, "queueOffset") => return self.before_the_start(command).into(),
            Err(error) => return Answer::unreadable(&error).into(),
        };
        let looked = {
            let mut state = self.state.lock();
            let looked = state.look(&request, self.rules());
            if looked.is_ok() {
                state.commit_while_pulling(&request);
            }
            looked
        };
        match looked {
            Ok(Looked::Nothing(_, arrived)) if request.sys_flag & PullFlags::SUSPEND != 0 => {
                let deadline = Instant::now() + Duration::from_millis(request.suspend_ms.min(24 * 3600 * 1000));
                Handled::Later(Box::pin(self.suspend(request, arrived, deadline)))
            }
            Ok(Looked::Answer(answer) | Looked::Nothing(answer, _)) | Err(answer) => answer.into(),
        }
    }

    /// Waits for messages. `arrived` is of a look that found nothing. When the wait is over there is one more look, which sees
    /// what rings no bell: an offset that was reset, or another subscription.
    async fn suspend(self: Arc<Self>, request: PullHeader, mut arrived: Arc<Notify>, deadline: Instant) -> Answer {
        let mut over = false;
        loop {
            let ring = arrived.clone();
            let notified = ring.notified();
            tokio::pin!(notified);
            // From here on no ring is missed; what was stored since the last look is found by the next one.
            notified.as_mut().enable();
            self.catch_up();
            let looked = self.state.lock().look(&request, self.rules());
            match looked {
                Ok(Looked::Nothing(answer, _)) if over => return answer,
                Ok(Looked::Nothing(_, now)) => {
                    if !Arc::ptr_eq(&now, &ring) {
                        arrived = now;
                        continue;
                    }
                    tokio::select! {
                        // The same every time, so that a seed of a test plays the same.
                        biased;
                        () = notified => {}
                        () = tokio::time::sleep_until(deadline) => over = true,
                    }
                }
                Ok(Looked::Answer(answer)) | Err(answer) => return answer,
            }
        }
    }

    fn before_the_start(&self, command: &Command) -> Answer {
        let text = |name| command.fields().find(name).ok().flatten().unwrap_or_default();
        let (topic, queue) = (text("topic"), text("queueId").parse().unwrap_or(u32::MAX));
        match self.state.lock().log.queue(&topic, queue) {
            Some(queue) => self.rules().answer(
                ResponseCode::PULL_OFFSET_MOVED,
                "OFFSET_TOO_SMALL",
                0,
                queue.max_offset(),
                Bytes::new(),
            ),
            None => unknown_topic(&topic),
        }
    }
}

impl State {
    fn commit_while_pulling(&mut self, request: &PullHeader) {
        let (topic, group) = (request.topic.as_str(), request.group.as_str());
        let wanted = request.sys_flag & PullFlags::COMMIT_OFFSET != 0;
        if wanted && self.log.queue(topic, request.queue_id).is_some() {
            self.commit(group, topic, request.queue_id, request.commit_offset);
        }
    }

    fn look(&mut self, request: &PullHeader, rules: Rules) -> Result<Looked, Answer> {
        let topic = self.log.topic(request.topic.as_str()).ok_or_else(|| unknown_topic(request.topic.as_str()))?;
        let queue = topic.queues.get(request.queue_id as usize).ok_or_else(|| {
            let text = format!(
                "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
                request.queue_id,
                request.topic,
                topic.queues.len()
            );
            Answer::refusal(ResponseCode::INVALID_PARAMETER, text)
        })?;
        let passing = self.passing(request, rules.sql_allowed)?;
        if let Some(offset) = self.resets.take(request.group.as_str(), request.topic.as_str(), request.queue_id) {
            let (code, max) = (ResponseCode::PULL_OFFSET_MOVED, queue.max_offset());
            return Ok(Looked::Answer(rules.answer(code, "OFFSET_RESET", offset, max, Bytes::new())));
        }
        Ok(look_at(queue, request, &passing, rules))
    }

    /// What passes: by the subscription of the request, else by the group's.
    fn passing(&self, request: &PullHeader, sql_allowed: bool) -> Result<Passing, Answer> {
        if request.sys_flag & PullFlags::SUBSCRIPTION != 0 {
            return Passing::of_request(request, sql_allowed);
        }
        let group = request.group.as_str();
        if !self.groups.has_members(group) {
            let text = "the consumer's group info not exist";
            return Err(Answer::refusal_with_faq(ResponseCode::SUBSCRIPTION_NOT_EXIST, text));
        }
        let Some((subscription, filters)) = self.groups.subscription(group, request.topic.as_str()) else {
            let text = "the consumer's subscription not exist";
            return Err(Answer::refusal_with_faq(ResponseCode::SUBSCRIPTION_NOT_EXIST, text));
        };
        if subscription.sub_version < request.subscription_version {
            let text = "the consumer's subscription not latest";
            return Err(Answer::refusal(ResponseCode::SUBSCRIPTION_NOT_LATEST, text));
        }
        Passing::of_heartbeats(subscription, filters, request, sql_allowed)
    }
}

fn look_at(queue: &QueueLog, request: &PullHeader, passing: &Passing, rules: Rules) -> Looked {
    let (start, max) = (request.queue_offset, queue.max_offset());
    if max == 0 && start > 0 {
        let answer = rules.answer(ResponseCode::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0, max, Bytes::new());
        return Looked::Answer(answer);
    }
    if start > max {
        let answer = rules.answer(ResponseCode::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", max, max, Bytes::new());
        return Looked::Answer(answer);
    }
    if start == max {
        let status = if max == 0 { "NO_MESSAGE_IN_QUEUE" } else { "OFFSET_OVERFLOW_ONE" };
        let answer = rules.answer(ResponseCode::PULL_NOT_FOUND, status, start, max, Bytes::new());
        return Looked::Nothing(answer, queue.arrived.clone());
    }
    let wanted = request.max_messages.max(1) as usize;
    let (mut body, mut taken, mut next) = (BytesMut::new(), 0, start);
    for record in queue.since(start).iter().take(MAX_SCANNED) {
        if passing.passes(record) {
            let full = taken == wanted || (taken > 0 && body.len() + record.bytes.len() > MAX_ANSWER_BYTES);
            if full {
                break;
            }
            body.extend_from_slice(&record.bytes);
            taken += 1;
        }
        next = record.offset + record.messages;
    }
    let answer = match taken {
        0 => rules.answer(ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE", next, max, Bytes::new()),
        _ => rules.answer(ResponseCode::SUCCESS, "FOUND", next, max, body.freeze()),
    };
    Looked::Answer(answer)
}

fn unknown_topic(topic: &str) -> Answer {
    let text = format!("topic[{topic}] not exist, apply first please! ");
    Answer::refusal_with_faq(ResponseCode::TOPIC_NOT_EXIST, text)
}
