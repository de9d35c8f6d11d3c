use std::sync::Arc;

use ferrocket_model::properties::{self, name};
use ferrocket_protocol::{
    Command, ResponseCode,
    request::{PushReply, PushReplyHeader, ReadSendHeader, SendAnswer},
};
use tokio::time::Instant;

use super::{
    Broker,
    send::{closed, empty_body, illegal, queue_is_gone, read_header},
};
use crate::{
    answer::{Answer, Handled},
    clock,
    connection::{ANSWER_WITHIN, Connection},
    log::Draft,
    shared::CLUSTER,
};

const PUSHED_AT: &str = "PUSH_REPLY_TIME";

/// Where the replies of the cluster go.
pub(super) fn reply_topic() -> String {
    format!("{CLUSTER}_REPLY_TOPIC")
}

impl Broker {
    /// Pushes a reply to the client that asked, stores it, and then answers the replier.
    pub(super) fn reply(self: Arc<Self>, connection: &Arc<Connection>, command: &Command) -> Handled {
        match self.prepare(connection, command) {
            Ok((header, draft)) => Handled::Surely(Box::pin(async move {
                let failure = self.push(&header, &draft).await.err();
                let mut state = self.state.lock();
                // Also one that nobody got; and the answer says where, whatever became of it.
                let Some(place) = self.store(&mut state, &draft) else { return self.refused(queue_is_gone()) };
                let id = state.offset_id(place);
                let stored = SendAnswer::new(ResponseCode::SUCCESS, id, draft.queue_id, place.queue_offset);
                let answer = match failure {
                    Some(why) => Answer::refusal(ResponseCode::SYSTEM_ERROR, why),
                    None => Answer::success(),
                };
                answer.with_fields(self.in_region(stored))
            })),
            Err(refusal) => self.refused(refusal).into(),
        }
    }

    fn prepare(
        self: &Arc<Self>,
        connection: &Connection,
        command: &Command,
    ) -> Result<(ReadSendHeader, Draft), Answer> {
        let header = read_header(command).map_err(|error| Answer::unreadable(&error))?;
        if command.body().is_empty() {
            return Err(empty_body());
        }
        let limit = self.shared.settings.max_message_bytes;
        if command.body().len() > limit {
            return Err(illegal(&format!("msg body length limit {limit}B")));
        }
        let target = self.target(&mut self.state.lock(), &header)?;
        let mut draft = Self::draft(connection, &header, target);
        draft.flag = header.flag.unwrap_or(0);
        draft.body = command.body().clone();
        draft.properties = closed(header.properties.clone().unwrap_or_default());
        // Less than a message gets: neither the cluster's name nor a unique key.
        properties::set(&mut draft.properties, name::MSG_REGION, &self.shared.settings.region);
        properties::set(&mut draft.properties, name::TRACE_ON, "true");
        if draft.properties.len() > properties::MAX_BYTES {
            return Err(illegal(&format!("properties length limit {}B", properties::MAX_BYTES)));
        }
        Ok((header, draft))
    }

    async fn push(&self, header: &ReadSendHeader, draft: &Draft) -> Result<(), String> {
        let mut text = draft.properties.clone();
        let Some(client_id) = properties::find(&text, name::REPLY_TO_CLIENT).map(str::to_owned) else {
            return Err(format!("reply message properties[{}] is null", name::REPLY_TO_CLIENT));
        };
        properties::set(&mut text, PUSHED_AT, &clock::now_ms().to_string());
        let (client, store_host) = {
            let state = self.state.lock();
            (state.producers.for_replies(&client_id), state.host().to_string())
        };
        let Some(client) = client else {
            return Err(format!("push reply message fail, channel of <{client_id}> not found."));
        };
        let mut pushed = PushReplyHeader::new(
            draft.born_host.to_string(),
            draft.born_ms,
            draft.flag,
            header.group.clone().unwrap_or_else(|| "".into()),
            header.queue_id,
            store_host,
            clock::now_ms(),
            draft.sys_flag.0,
            header.topic.clone(),
        );
        pushed.default_topic = header.default_topic.clone();
        pushed.default_topic_queues = header.default_topic_queues.and_then(|queues| i32::try_from(queues).ok());
        pushed.properties = Some(text);
        pushed.reconsume_times = Some(draft.reconsume_times);
        pushed.unit_mode = Some(false);
        let push = PushReply { header: pushed, body: draft.body.clone() };
        let given_up = Instant::now() + ANSWER_WITHIN;
        let answer = client.ask(&push).await;
        if answer.is_none() {
            // A broker does not notice that the connection ended, and lets the replier wait all the same.
            tokio::time::sleep_until(given_up).await;
        }
        match answer.map(|answer| answer.response_code()) {
            Some(ResponseCode::SUCCESS) => Ok(()),
            _ => Err(format!("push reply message to {client_id}fail.")),
        }
    }
}
