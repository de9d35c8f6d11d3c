use std::sync::Arc;

use bytes::Bytes;
use ferrocket_model::{
    properties::{self, name},
    system,
};
use ferrocket_protocol::{
    Command, DecodeError, FieldSink, ReadRequest, RequestCode, ResponseCode, WriteFields,
    message::SysFlag,
    request::{ReadSendHeader, SendAnswer, TraceSwitch},
};

use super::{
    Broker, State,
    delays::{Delay, is_timer},
    topics::refuse_name,
    transactions::is_half,
};
use crate::{
    answer::{Answer, WithRegion},
    clock,
    connection::Connection,
    log::Draft,
    shared::CLUSTER,
};

const MAX_PROPERTY_BYTES: usize = properties::MAX_BYTES;
/// How often a group tries a message, unless its consumers say otherwise.
pub(super) const MAX_RECONSUME_TIMES: i32 = 16;

struct TraceOn;

impl WriteFields for TraceOn {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        sink.text("TRACE_ON", "true");
    }
}

/// A message that passed all checks.
pub(super) struct Accepted {
    pub(super) draft: Draft,
    pub(super) unique_key: String,
    pub(super) delay: Option<Delay>,
}

impl Broker {
    /// With what every refused send carries too.
    pub(super) fn refused(&self, refusal: Answer) -> Answer {
        refusal.with_fields(WithRegion(self.shared.settings.region.clone(), TraceOn))
    }

    /// What an answer says of trace.
    pub(super) fn in_region(&self, mut answer: SendAnswer) -> SendAnswer {
        answer.trace = Some(Box::new(TraceSwitch { region: Some((*self.shared.settings.region).into()), is_on: true }));
        answer
    }

    pub(super) fn send(self: &Arc<Self>, connection: &Arc<Connection>, command: &Command) -> Answer {
        match self.try_send(connection, command) {
            Ok(answer) => Answer::success().with_fields(self.in_region(answer)),
            Err(refusal) => self.refused(refusal),
        }
    }

    fn try_send(self: &Arc<Self>, connection: &Arc<Connection>, command: &Command) -> Result<SendAnswer, Answer> {
        let header = read_header(command).map_err(|error| Answer::unreadable(&error))?;
        if command.body().is_empty() {
            return Err(empty_body());
        }
        let limit = self.shared.settings.max_message_bytes;
        if command.body().len() > limit {
            return Err(illegal(&format!("msg body length limit {limit}B")));
        }
        let mut state = self.state.lock();
        let target = self.target(&mut state, &header)?;
        // The code does not make a batch.
        if header.batch == Some(true) {
            return self.store_batch(&mut state, connection, &header, command, target);
        }
        let mut draft = Self::draft(connection, &header, target);
        draft.flag = header.flag.unwrap_or(0);
        draft.body = command.body().clone();
        draft.properties = closed(header.properties.unwrap_or_default());
        if draft.topic.starts_with(system::DEAD_LETTER_PREFIX) && header.topic.as_str() != draft.topic {
            // A dead letter does not wait.
            properties::set(&mut draft.properties, name::DELAY, "-1");
        }
        let message = self.accept(draft)?;
        let is_prepared = message.draft.sys_flag.0 & SysFlag::TRANSACTION_ROLLBACK == SysFlag::TRANSACTION_PREPARED;
        let (place, handle) = match message.delay {
            None if is_half(&message.draft.properties) => (self.store_half(&mut state, message.draft.clone())?, None),
            Some(_) if is_half(&message.draft.properties) => (state.lose_half(&message.draft), None),
            // The flag alone makes no half message, but one that no consumer ever sees.
            None if is_prepared => (state.lose(&message.draft), None),
            _ => self.put(&mut state, &message)?,
        };
        let (id, queue_id) = (state.offset_id(place), message.draft.queue_id);
        let mut answer = SendAnswer::new(ResponseCode::SUCCESS, id, queue_id, place.queue_offset);
        answer.transaction_id = Some(message.unique_key.into());
        answer.recall_handle = handle.map(Into::into);
        Ok(answer)
    }

    /// What the header says of every message that is sent with it.
    pub(super) fn draft(connection: &Connection, header: &ReadSendHeader, target: (String, u32)) -> Draft {
        Draft {
            topic: target.0,
            queue_id: target.1,
            flag: 0,
            sys_flag: SysFlag(header.sys_flag.unwrap_or(0)),
            born_ms: header.born_ms.unwrap_or_else(clock::now_ms),
            born_host: connection.peer,
            reconsume_times: header.reconsume_times.unwrap_or(0),
            prepared_offset: 0,
            body: Bytes::new(),
            properties: String::new(),
            messages: 1,
        }
    }

    /// Where the message goes; makes the topic if that is allowed.
    pub(super) fn target(&self, state: &mut State, header: &ReadSendHeader) -> Result<(String, u32), Answer> {
        let mut topic = header.topic.as_str();
        if let Some(refusal) = refuse_name(topic) {
            return Err(refusal);
        }
        if system::is_send_forbidden(topic) {
            let text = format!("Sending message to topic[{topic}] is forbidden.");
            return Err(Answer::refusal(ResponseCode::NO_PERMISSION, text));
        }
        let dead_letters;
        if let Some(group) = topic.strip_prefix(system::RETRY_PREFIX) {
            if !state.groups.is_known(group) {
                let text = format!("subscription group not exist, {group} ");
                return Err(Answer::refusal_with_faq(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, text));
            }
            state.log.ensure_topic(topic, 1);
            // A consumer that re-sends a message has already counted this try. Who holds locks consumes in order, and sends only
            // what it gave up.
            let tries = header.reconsume_times.unwrap_or(0);
            let most = header.max_reconsume_times.unwrap_or(MAX_RECONSUME_TIMES);
            if tries > most || self.is_locked(&state.locks, group) {
                dead_letters = format!("{}{group}", system::DEAD_LETTER_PREFIX);
                state.log.ensure_topic(&dead_letters, 1);
                topic = &dead_letters;
            }
        }
        if state.log.topic(topic).is_none() {
            self.create_from_template(state, header)?;
        }
        let queues = state.log.topic(topic).map_or(0, |log| log.queues.len() as u32);
        let queue_id = match u32::try_from(header.queue_id) {
            _ if queues == 0 => 0,
            Ok(_) if topic != header.topic.as_str() => 0,
            Ok(id) => id,
            Err(_) => fastrand::u32(..queues),
        };
        if queue_id >= queues {
            let text = format!("request queueId[{queue_id}] is illegal, topic[{topic}] has {queues} queues");
            return Err(Answer::refusal(ResponseCode::INVALID_PARAMETER, text));
        }
        Ok((topic.to_owned(), queue_id))
    }

    fn create_from_template(&self, state: &mut State, header: &ReadSendHeader) -> Result<(), Answer> {
        const INHERIT: i32 = 1;
        let template = header.default_topic.as_ref().and_then(|name| state.log.topic(name.as_str()));
        let Some(template) = template.filter(|template| template.perm & INHERIT != 0) else {
            let text = format!("topic[{}] not exist, apply first please!", header.topic);
            return Err(Answer::refusal_with_faq(ResponseCode::TOPIC_NOT_EXIST, text));
        };
        let most = template.queues.len() as u32;
        let queues = header.default_topic_queues.unwrap_or(most).clamp(1, most.max(1));
        state.log.set_topic(header.topic.as_str(), queues, template.perm & !INHERIT);
        Ok(())
    }

    /// Checks a message and gives it the properties that brokers add.
    pub(super) fn accept(&self, mut draft: Draft) -> Result<Accepted, Answer> {
        let sent = std::mem::take(&mut draft.properties);
        let delay = self.delay(&draft.topic, &sent)?;
        let has_level = matches!(delay, Some(Delay::Level { .. }));
        let ours = [name::MSG_REGION, name::TRACE_ON, name::CLUSTER, "POP_CK"];
        let mut text = String::with_capacity(sent.len() + 128);
        for (key, value) in properties::pairs(&sent).filter(|(key, _)| !ours.contains(key)) {
            if !(has_level && is_timer(key)) {
                properties::push(&mut text, key, value);
            }
        }
        if let Some(delay) = delay {
            delay.push_properties(&draft.topic, draft.queue_id, &mut text);
        }
        properties::push(&mut text, name::MSG_REGION, &self.shared.settings.region);
        let unique_key = match properties::find(&sent, name::UNIQ_KEY) {
            Some(key) if !key.is_empty() => key.to_owned(),
            _ => {
                let key = self.ids.next(clock::now_ms().unsigned_abs()).to_string();
                properties::push(&mut text, name::UNIQ_KEY, &key);
                key
            }
        };
        properties::push(&mut text, name::CLUSTER, CLUSTER);
        properties::push(&mut text, name::TRACE_ON, "true");
        if text.len() > MAX_PROPERTY_BYTES {
            return Err(illegal(&format!("properties length limit {MAX_PROPERTY_BYTES}B")));
        }
        draft.properties = text;
        Ok(Accepted { draft, unique_key, delay })
    }
}

/// Between the choice of the queue and the storing nothing lets go of the lock; so never.
pub(super) fn queue_is_gone() -> Answer {
    Answer::refusal(ResponseCode::SYSTEM_ERROR, "the queue is gone")
}

/// Properties with a separator at their end, behind which more can be written.
pub(super) fn closed(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with(properties::PAIR_SEPARATOR) {
        text.push(properties::PAIR_SEPARATOR);
    }
    text
}

pub(super) fn empty_body() -> Answer {
    Answer::refusal(ResponseCode::SYSTEM_ERROR, "java.lang.NullPointerException: the body is empty")
}

pub(super) fn illegal(why: &str) -> Answer {
    let text = format!("the message is illegal, maybe msg body or properties length not matched. {why}");
    Answer::refusal(ResponseCode::MESSAGE_ILLEGAL, text)
}

/// Reads the header with short field names, or with the long ones of codes 10 and 324.
pub(super) fn read_header(command: &Command) -> Result<ReadSendHeader, DecodeError> {
    if ![RequestCode::SEND_MESSAGE.0, RequestCode::SEND_REPLY_MESSAGE.0].contains(&command.code) {
        return ReadSendHeader::read_request(command);
    }
    let text = |name: &'static str| Ok::<_, DecodeError>(command.fields().find(name)?.map(|text| text.into_owned()));
    let number = |name: &'static str| match text(name)? {
        Some(value) => match value.parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(DecodeError::Field { name, value, expected: "a number" }),
        },
        None => Ok(None),
    };
    let small = |name| Ok::<_, DecodeError>(number(name)?.and_then(|number| i32::try_from(number).ok()));
    let topic = text("topic")?.ok_or(DecodeError::MissingField("topic"))?;
    let mut header = ReadSendHeader::new(topic, small("queueId")?.ok_or(DecodeError::MissingField("queueId"))?);
    header.group = text("producerGroup")?.map(Into::into);
    header.default_topic = text("defaultTopic")?.map(Into::into);
    header.default_topic_queues = number("defaultTopicQueueNums")?.and_then(|number| u32::try_from(number).ok());
    header.sys_flag = small("sysFlag")?;
    header.born_ms = number("bornTimestamp")?;
    header.flag = small("flag")?;
    header.properties = text("properties")?;
    header.reconsume_times = small("reconsumeTimes")?;
    header.max_reconsume_times = small("maxReconsumeTimes")?;
    header.batch = text("batch")?.map(|text| text.eq_ignore_ascii_case("true"));
    Ok(header)
}
