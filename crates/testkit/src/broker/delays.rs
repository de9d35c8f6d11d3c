use std::{collections::HashMap, sync::Arc, time::Duration};

use ferrocket_model::{
    properties::{self, name},
    system,
};
use ferrocket_protocol::{
    Command, NoFields, ReadRequest, ResponseCode,
    request::{RecallMessage, RecallTarget, Recalled},
};

use super::{
    Broker, State,
    send::{Accepted, illegal, queue_is_gone},
};
use crate::{
    answer::{Answer, NO_CODE, WithRegion},
    clock,
    log::Place,
};

const MAX_TIMER_MS: i64 = 3 * 24 * 3600 * 1000;
/// Timers go off at multiples of this.
const GRID_MS: i64 = 1000;
/// When a timer message is due. A message that has it is no timer message any more.
const TIMER_OUT_MS: &str = "TIMER_OUT_MS";

const ENQUEUED_MS: &str = "TIMER_ENQUEUE_MS";
const DEQUEUED_MS: &str = "TIMER_DEQUEUE_MS";

/// How long a message waits before it is delivered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delay {
    /// By its delay level.
    Level { wait: Duration, level: i32 },
    /// By its timer properties.
    Timer { wait: Duration, out_ms: i64 },
}

impl Delay {
    fn wait(self) -> Duration {
        match self {
            Self::Level { wait, .. } | Self::Timer { wait, .. } => wait,
        }
    }

    /// The properties that a message gets with its delay. Those that asked for it stay.
    pub(super) fn push_properties(self, topic: &str, queue_id: u32, text: &mut String) {
        if let Self::Timer { out_ms, .. } = self {
            properties::set(text, TIMER_OUT_MS, &out_ms.to_string());
        }
        properties::set(text, name::REAL_TOPIC, topic);
        properties::set(text, name::REAL_QID, &queue_id.to_string());
    }
}

/// Timer messages that wait, by a number of their own: their topic and unique id.
#[derive(Default)]
pub(super) struct Timers {
    waiting: HashMap<u64, (String, String)>,
    /// How many messages went through each topic of waiting ones: level 0 is that of timers. Answers to sends tell it.
    offsets: HashMap<i32, u64>,
}

impl Timers {
    fn next_offset(&mut self, level: i32) -> u64 {
        let next = self.offsets.entry(level).or_default();
        *next += 1;
        *next - 1
    }
}

/// Whether a property asks for a time of delivery; a delay level wins over it and takes it away.
pub(super) fn is_timer(property: &str) -> bool {
    matches!(property, name::TIMER_DELAY_SEC | name::TIMER_DELAY_MS | name::TIMER_DELIVER_MS)
}

impl Broker {
    /// How long the message is to wait: by its delay level, else by its timer properties.
    pub(super) fn delay(&self, topic: &str, sent: &str) -> Result<Option<Delay>, Answer> {
        let settings = &self.shared.settings;
        if let Some(level) = properties::find(sent, name::DELAY) {
            let refusal = |_| Answer::refusal(ResponseCode::SYSTEM_ERROR, "java.lang.NumberFormatException");
            let level: i32 = level.parse().map_err(refusal)?;
            if level > 0 {
                let is_retry = topic.starts_with(system::RETRY_PREFIX);
                let wait = if is_retry { settings.retry_delay(level) } else { settings.level_delay(level) };
                return Ok(Some(Delay::Level { wait, level: clock::known_level(level) }));
            }
        }
        if properties::find(sent, TIMER_OUT_MS).is_some() {
            return Ok(None);
        }
        let number = |key| match properties::find(sent, key) {
            Some(text) => text.parse::<i64>().map(Some).map_err(|_| illegal("timer message illegal")),
            None => Ok(None),
        };
        let now = clock::now_ms();
        let wait =
            match (number(name::TIMER_DELAY_SEC)?, number(name::TIMER_DELAY_MS)?, number(name::TIMER_DELIVER_MS)?) {
                (Some(seconds), _, _) => seconds.saturating_mul(1000),
                (_, Some(ms), _) => ms,
                (_, _, Some(time)) => time.saturating_sub(now),
                _ => return Ok(None),
            };
        if wait > MAX_TIMER_MS {
            let text = format!(
                "timer message illegal, the delay time should not be bigger than the max delay {MAX_TIMER_MS}ms"
            );
            return Err(illegal(&text));
        }
        if wait <= 0 {
            return Ok(None);
        }
        // An exact multiple is moved back by one.
        let out_ms = (now.saturating_add(wait) - 1).div_euclid(GRID_MS) * GRID_MS;
        // And it goes off when that time is over.
        let until = Duration::from_millis((out_ms + GRID_MS).abs_diff(now));
        Ok(Some(Delay::Timer { wait: settings.divided(until), out_ms }))
    }

    /// Stores a message that was accepted, now or when its time comes. With the handle that takes it back, if it has a timer.
    pub(super) fn put(
        self: &Arc<Self>,
        state: &mut State,
        message: &Accepted,
    ) -> Result<(Place, Option<String>), Answer> {
        let Accepted { draft, unique_key, delay } = message;
        let Some(delay) = *delay else {
            return Ok((self.store(state, draft).ok_or_else(queue_is_gone)?, None));
        };
        // A broker stores it in a topic of its own first; the id is of that place.
        let commit_log_offset = state.log.skip(draft.body.len() + draft.properties.len());
        let (out_ms, level) = match delay {
            Delay::Level { level, .. } => (None, level),
            Delay::Timer { out_ms, .. } => (Some(out_ms), 0),
        };
        let place = Place { queue_offset: state.timers.next_offset(level), commit_log_offset };
        let Some(out_ms) = out_ms else {
            self.store_later(state, delay.wait(), draft.clone());
            return Ok((place, None));
        };
        let number = self.shared.next_number();
        state.timers.waiting.insert(number, (draft.topic.clone(), unique_key.clone()));
        // Weak, or the cluster would keep itself alive.
        let (broker, mut draft) = (Arc::downgrade(self), draft.clone());
        properties::set(&mut draft.properties, ENQUEUED_MS, &clock::now_ms().to_string());
        let handle = RecallTarget {
            topic: draft.topic.as_str().into(),
            broker: self.name.as_str().into(),
            timestamp: out_ms.saturating_add(1).to_string(),
            message_id: unique_key.clone(),
        };
        self.shared.schedule.after(delay.wait(), move || {
            let Some(broker) = broker.upgrade() else { return };
            let mut state = broker.state.lock();
            if state.timers.waiting.remove(&number).is_some() {
                properties::set(&mut draft.properties, DEQUEUED_MS, &clock::now_ms().to_string());
                broker.store(&mut state, &draft);
            }
            drop(state);
            broker.shared.observer.ring();
        });
        Ok((place, Some(handle.write()).filter(|_| !handle.topic.as_str().starts_with(system::RETRY_PREFIX))))
    }

    pub(super) fn recall(&self, command: &Command) -> Answer {
        let region = self.shared.settings.region.clone();
        match self.take_back(command) {
            Ok(recalled) => Answer::success().with_remark(NO_CODE).with_fields(WithRegion(region, recalled)),
            Err(refusal) => refusal.with_fields(WithRegion(region, NoFields)),
        }
    }

    fn take_back(&self, command: &Command) -> Result<Recalled, Answer> {
        let request = RecallMessage::read_request(command).map_err(|error| Answer::unreadable(&error))?;
        if !self.shared.settings.recall_messages {
            return Err(Answer::refusal(ResponseCode::NO_PERMISSION, "recall failed, operation is forbidden"));
        }
        let mut state = self.state.lock();
        let topic = request.topic.as_str();
        if state.log.topic(topic).is_none() {
            let text = format!("recall failed, the topic[{topic}] not exist");
            return Err(Answer::refusal(ResponseCode::TOPIC_NOT_EXIST, text));
        }
        let refuse = |why: &str| Err(Answer::refusal(ResponseCode::ILLEGAL_OPERATION, why));
        let Some(target) = RecallTarget::read(&request.handle) else { return refuse("recall handle is invalid") };
        if target.topic != request.topic {
            return refuse("recall failed, topic not match");
        }
        if target.broker.as_str() != self.name {
            return refuse("recall failed, broker service not available");
        }
        let left = target.timestamp.parse::<i64>().unwrap_or(-1).saturating_sub(clock::now_ms());
        if left <= 0 || left >= MAX_TIMER_MS {
            return refuse("recall failed, timestamp invalid");
        }
        // Also success when it is not there.
        state.timers.waiting.retain(|_, (other, id)| other.as_str() != topic || *id != target.message_id);
        Ok(Recalled::new(target.message_id))
    }
}
