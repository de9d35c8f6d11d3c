use std::sync::Arc;

use ferrocket_model::{
    properties::{self, name},
    system,
};
use ferrocket_protocol::{
    Command, ResponseCode,
    message::BatchRecords,
    request::{ReadSendHeader, SendAnswer},
};

use super::{Broker, State, send::illegal};
use crate::{answer::Answer, connection::Connection};

/// Topics of batches may not need the second layout of a record.
const MAX_TOPIC_CHARACTERS: usize = 127;

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
        let (mut ids, mut first) = (Vec::with_capacity(drafts.len()), None);
        for draft in &drafts {
            let place = self.store(state, draft).ok_or_else(super::send::queue_is_gone)?;
            first.get_or_insert(place.queue_offset);
            ids.push(state.offset_id(place));
        }
        let mut answer = SendAnswer::new(ResponseCode::SUCCESS, ids.join(","), queue_id, first.unwrap_or_default());
        // Of the batch as a whole, not of its messages.
        let of_all = header.properties.as_deref().and_then(|text| properties::find(text, name::UNIQ_KEY));
        answer.transaction_id = of_all.map(Into::into);
        Ok(answer)
    }
}
