use std::sync::Arc;

use ferrocket_model::{
    OffsetId,
    properties::{self, name},
    system,
};
use ferrocket_protocol::{Command, ReadRequest, ResponseCode, message::StoredMessages, request::SendBack};

use super::{Broker, send::MAX_RECONSUME_TIMES};
use crate::{answer::Answer, log::Draft};

impl Broker {
    pub(super) fn send_back(self: &Arc<Self>, command: &Command) -> Answer {
        let request = match SendBack::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error),
        };
        let mut state = self.state.lock();
        let group = request.group.as_str();
        if !state.groups.is_known(group) {
            let text = format!("subscription group not exist, {group} ");
            return Answer::refusal_with_faq(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, text);
        }
        let Some(record) = state.log.at(request.commit_log_offset).cloned() else {
            let text = format!("look message by offset failed, {}", request.commit_log_offset);
            return Answer::refusal(ResponseCode::SYSTEM_ERROR, text);
        };
        let Some(Ok(stored)) = StoredMessages::new(&record).next() else {
            return Answer::refusal(ResponseCode::SYSTEM_ERROR, "the stored message cannot be read");
        };
        let mut text = String::from_utf8_lossy(stored.properties).into_owned();
        if properties::find(&text, name::RETRY_TOPIC).is_none() {
            properties::push(&mut text, name::RETRY_TOPIC, stored.topic);
        }
        if properties::find(&text, name::ORIGIN_MESSAGE_ID).is_none() {
            let host = stored.store_host.unwrap_or(state.host());
            let (ip, port) = (host.ip(), u32::from(host.port()));
            let id = OffsetId { ip, port, commit_log_offset: stored.commit_log_offset };
            properties::push(&mut text, name::ORIGIN_MESSAGE_ID, &id.to_string());
        }
        properties::remove(&mut text, name::DELAY);
        properties::set(&mut text, name::WAIT, "false");
        let most = request.max_reconsume_times.filter(|most| *most >= 0).unwrap_or(MAX_RECONSUME_TIMES);
        let given_up = request.delay_level < 0 || stored.reconsume_times >= most;
        if given_up {
            if request.origin_topic.is_none() {
                let text = "java.lang.NullPointerException: the origin topic is missing";
                return Answer::refusal(ResponseCode::SYSTEM_ERROR, text);
            }
            properties::set(&mut text, name::DELAY, "0");
        }
        let prefix = if given_up { system::DEAD_LETTER_PREFIX } else { system::RETRY_PREFIX };
        let mut draft = Draft {
            topic: format!("{prefix}{group}"),
            queue_id: 0,
            flag: stored.flag,
            sys_flag: stored.sys_flag,
            born_ms: stored.born_ms,
            born_host: stored.born_host.unwrap_or(state.host()),
            reconsume_times: stored.reconsume_times.saturating_add(1),
            prepared_offset: 0,
            body: record.slice_ref(stored.body),
            properties: text,
            messages: 1,
        };
        if draft.properties.len() > properties::MAX_BYTES {
            return Answer::refusal(ResponseCode::MESSAGE_ILLEGAL, "the properties became too long");
        }
        state.log.ensure_topic(&draft.topic, 1);
        if given_up {
            self.store(&mut state, &draft);
        } else {
            let chosen = stored.reconsume_times.saturating_add(3);
            let level = if request.delay_level == 0 { chosen } else { request.delay_level };
            // As every delayed message, it still has the wish when it arrives.
            properties::set(&mut draft.properties, name::DELAY, &level.to_string());
            properties::set(&mut draft.properties, name::REAL_TOPIC, &draft.topic);
            properties::set(&mut draft.properties, name::REAL_QID, "0");
            self.store_later(&state, self.shared.settings.retry_delay(level), draft);
        }
        Answer::success()
    }
}
