use std::sync::Arc;

use ferrocket_model::{
    properties::{self, name},
    system,
};
use ferrocket_protocol::{
    Command, ResponseCode,
    message::{BatchRecords, SysFlag},
    request::{ReadSendHeader, SendAnswer},
};

use super::{
    Broker, State,
    delays::Delay,
    send::{illegal, queue_is_gone},
};
use crate::{answer::Answer, connection::Connection, log::Draft};

/// Topics of batches may not need the second layout of a record.
const MAX_TOPIC_CHARACTERS: usize = 127;
/// How many messages a batch holds that is stored whole.
const INNER_COUNT: &str = "INNER_NUM";
const INNER_BASE: &str = "INNER_BASE";

impl Broker {
    /// Stores each message of a batch by itself, with its own properties alone: brokers add nothing to them.
    pub(super) fn store_batch(
        &self,
        state: &mut State,
        connection: &Arc<Connection>,
        header: &ReadSendHeader,
        command: &Command,
        (topic, queue_id): (String, u32),
    ) -> Result<SendAnswer, Answer> {
        if topic.starts_with(system::RETRY_PREFIX) || topic.chars().count() > MAX_TOPIC_CHARACTERS {
            return Err(Answer::refusal(
                ResponseCode::MESSAGE_ILLEGAL,
                format!("batches to {topic} are not supported"),
            ));
        }
        let of_all = header.properties.as_deref().unwrap_or_default();
        let delay = self.delay(&topic, of_all)?;
        if matches!(delay, Some(Delay::Level { .. })) {
            return Err(illegal("a batch with a delay level"));
        }
        let blank = Self::draft(connection, header, (topic, queue_id));
        let mut drafts = Vec::new();
        for record in BatchRecords::new(command.body().clone()) {
            let record = record.map_err(|error| Answer::unreadable(&error))?;
            let properties =
                String::from_utf8(record.properties.into()).map_err(|_| illegal("properties are not UTF-8"))?;
            let mut draft = blank.clone();
            (draft.flag, draft.body, draft.properties) = (record.flag, record.body, properties);
            drafts.push(draft);
        }
        if delay.is_none()
            && state.log.topic(&blank.topic).is_some_and(|topic| topic.keeps_batches)
            && let Some(id) = properties::find(of_all, name::UNIQ_KEY)
        {
            return self.store_whole(state, header, blank, (command, drafts.len()), id);
        }
        let (mut ids, mut first) = (Vec::with_capacity(drafts.len()), None);
        for draft in &drafts {
            // A batch with a timer is accepted, and nobody ever sees it again.
            let place = match delay {
                Some(_) => state.lose(draft),
                None => self.store(state, draft).ok_or_else(queue_is_gone)?,
            };
            first.get_or_insert(place.queue_offset);
            ids.push(state.offset_id(place));
        }
        let mut answer = SendAnswer::new(ResponseCode::SUCCESS, ids.join(","), queue_id, first.unwrap_or_default());
        // Of the batch as a whole, not of its messages.
        answer.transaction_id = properties::find(of_all, name::UNIQ_KEY).map(Into::into);
        Ok(answer)
    }

    /// One record, which consumers take apart; the queue's offsets count its messages.
    fn store_whole(
        &self,
        state: &mut State,
        header: &ReadSendHeader,
        mut draft: Draft,
        (command, messages): (&Command, usize),
        id: &str,
    ) -> Result<SendAnswer, Answer> {
        draft.body = command.body().clone();
        draft.flag = header.flag.unwrap_or(0);
        draft.properties = header.properties.clone().unwrap_or_default();
        draft.sys_flag = SysFlag(draft.sys_flag.0 | SysFlag::NEED_UNWRAP | SysFlag::INNER_BATCH);
        draft.messages = messages as u64;
        let accepted = self.accept(draft)?;
        let mut draft = accepted.draft;
        let base = state.log.queue(&draft.topic, draft.queue_id).map_or(0, |queue| queue.max_offset());
        properties::set(&mut draft.properties, INNER_BASE, &base.to_string());
        properties::set(&mut draft.properties, INNER_COUNT, &messages.to_string());
        let place = self.store(state, &draft).ok_or_else(queue_is_gone)?;
        let offset_id = state.offset_id(place);
        let mut answer = SendAnswer::new(ResponseCode::SUCCESS, offset_id, draft.queue_id, place.queue_offset);
        answer.transaction_id = Some(id.into());
        answer.batch_id = Some(id.into());
        Ok(answer)
    }
}
