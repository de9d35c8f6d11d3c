//! What administrators ask of consumers through their brokers: to see them, to let them handle a message, to go on elsewhere.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use ferrocket_backend::{
    ConsumerPicture, DirectConsumption, DirectEnding, DirectVerdict, Pace, QueuePicture, ServerEvent,
};
use ferrocket_model::{BrokerName, Group};
use ferrocket_protocol::{
    NoFields, ReadRequest, RequestCode, ResponseCode, VERSION,
    body::{DirectOutcome, DirectResult, QueueInfo, RunningInfo, SubscriptionData, TopicStatus},
    request::{ConsumeDirectly, ConsumerStatus, GetConsumerStatus, GetRunningInfo, ResetOffsets},
    version_name,
};
use ferrocket_remoting::Inbound;

use crate::{backend::Shared, membership::from_where, names::Names};

/// Passes a question on to the consumer that it is about. Gives back what is no such question.
pub(crate) fn handle(shared: &Arc<Shared>, inbound: Inbound) -> Option<Inbound> {
    let command = &inbound.command;
    let asked = match RequestCode(command.code) {
        RequestCode::GET_CONSUMER_RUNNING_INFO => GetRunningInfo::read_request(command).map(|asked| asked.group),
        RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => {
            GetConsumerStatus::read_request(command).map(|asked| asked.group)
        }
        RequestCode::CONSUME_MESSAGE_DIRECTLY => ConsumeDirectly::read_request(command).map(|asked| asked.header.group),
        RequestCode::RESET_CONSUMER_CLIENT_OFFSET => {
            ResetOffsets::read_request(command).map(|asked| asked.header.group)
        }
        _ => return Some(inbound),
    };
    let code = RequestCode(command.code);
    let mut reply = Reply(Some(inbound));
    let event = asked.and_then(|wire_group| {
        let group = shared.names.plain_group(wire_group.as_str());
        Ok((event(shared, code, &wire_group, &mut reply)?, group))
    });
    match event {
        Ok((event, group)) => {
            tracing::debug!(%group, %code, "an administrator asks");
            if let Err(event) = shared.members.ask_consumer(&group, event) {
                tracing::debug!(%group, ?event, "there is no consumer that could be asked");
            }
        }
        Err(error) => reply.refuse(&error.to_string()),
    }
    None
}

fn event(
    shared: &Arc<Shared>,
    code: RequestCode,
    group: &Group,
    reply: &mut Reply,
) -> Result<ServerEvent, ferrocket_protocol::DecodeError> {
    let Some(inbound) = &reply.0 else { return Ok(ServerEvent::MembersChanged) };
    let (command, names) = (&inbound.command, shared.names.clone());
    Ok(match code {
        RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => {
            let topic = GetConsumerStatus::read_request(command)?.topic;
            let reply = reply.take(Otherwise::Nowhere);
            ServerEvent::ShowPicture(Box::new(move |picture| {
                let wanted = |queue: &&QueuePicture| {
                    topic.as_str().is_empty() || names.topic(queue.queue.topic()).as_str() == topic.as_str()
                };
                let queues = picture.queues.iter().filter(wanted);
                let offsets = queues.map(|queue| (names.queue(&queue.queue), queue.position)).collect();
                reply.answer(ConsumerStatus { offsets }.to_body());
            }))
        }
        RequestCode::CONSUME_MESSAGE_DIRECTLY => {
            let asked = ConsumeDirectly::read_request(command)?;
            let named = asked.header.broker.as_deref().map(BrokerName::from);
            let broker = named.or_else(|| shared.brokers.name_of(&inbound.address));
            let message = shared.decoder.lone(&asked.body, &broker.unwrap_or_else(|| (&*inbound.address).into()))?;
            let reply = reply.take(Otherwise::Unknown(group.clone()));
            let answer = move |verdict| reply.answer(direct_result(verdict).to_body());
            ServerEvent::ConsumeDirectly(Box::new(DirectConsumption { message, answer: Box::new(answer) }))
        }
        RequestCode::RESET_CONSUMER_CLIENT_OFFSET => {
            let offsets = ResetOffsets::read_request(command)?.offsets()?;
            let offsets = offsets.into_iter().map(|(queue, offset)| (names.plain_queue(&queue), offset));
            let event = ServerEvent::ResetOffsets(offsets.collect());
            // Brokers send it one-way; whoever waits all the same is told that it was taken.
            reply.take(Otherwise::Unknown(group.clone())).answer(Bytes::new());
            event
        }
        _ => {
            let name_servers = shared.name_servers.list();
            let reply = reply.take(Otherwise::Unknown(group.clone()));
            ServerEvent::ShowPicture(Box::new(move |picture| {
                reply.answer(running_info(&picture, &names, &name_servers).to_body());
            }))
        }
    })
}

/// A question that is answered once, whatever becomes of it.
struct Reply(Option<Inbound>);

/// The same, with what is said when nobody answers.
struct Pending {
    otherwise: Otherwise,
    reply: Reply,
}

enum Otherwise {
    /// There is no such group here.
    Unknown(Group),
    /// Nobody is anywhere (CON-ADM-06).
    Nowhere,
}

impl Reply {
    fn take(&mut self, otherwise: Otherwise) -> Pending {
        Pending { otherwise, reply: Self(self.0.take()) }
    }

    fn respond(&mut self, code: ResponseCode, remark: Option<&str>, body: Bytes) {
        let Some(inbound) = self.0.take() else { return };
        if inbound.respond(code, remark, &NoFields, body).is_err() {
            let _ =
                inbound.respond(ResponseCode::SYSTEM_ERROR, Some("the answer is too large"), &NoFields, Bytes::new());
        }
    }

    fn refuse(&mut self, remark: &str) {
        self.respond(ResponseCode::SYSTEM_ERROR, Some(remark), Bytes::new());
    }
}

impl Pending {
    fn answer(mut self, body: Bytes) {
        self.reply.respond(ResponseCode::SUCCESS, None, body);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        match &self.otherwise {
            // Java's words (CON-ADM-01).
            Otherwise::Unknown(group) => {
                self.reply.refuse(&format!("The Consumer Group <{group}> not exist in this consumer"));
            }
            Otherwise::Nowhere => self.reply.respond(ResponseCode::SUCCESS, None, ConsumerStatus::default().to_body()),
        }
    }
}

fn direct_result(verdict: DirectVerdict) -> DirectResult {
    let (outcome, remark) = match verdict.ending {
        DirectEnding::Consumed => (DirectOutcome::Success, None),
        DirectEnding::Failed(reason) => (DirectOutcome::Later, Some(reason)),
        DirectEnding::Panicked(text) => (DirectOutcome::Exception, Some(text)),
    };
    let took = u64::try_from(verdict.took.as_millis()).unwrap_or(u64::MAX);
    let mut result = DirectResult::new(outcome, verdict.is_orderly, took);
    result.remark = remark;
    result
}

fn running_info(picture: &ConsumerPicture, names: &Names, name_servers: &[Arc<str>]) -> RunningInfo {
    let mut info = RunningInfo::default();
    let servers: String = name_servers.iter().map(|address| format!("{address};")).collect();
    let ours = [
        (RunningInfo::ORDERLY, picture.is_orderly.to_string()),
        (RunningInfo::CONCURRENCY, picture.concurrency.to_string()),
        (RunningInfo::START_TIMESTAMP, millis(Some(picture.started)).to_string()),
        (RunningInfo::NAME_SERVERS, servers),
        ("consumeFromWhere", from_where(picture.consume_from).to_owned()),
        (RunningInfo::CONSUME_TYPE, "CONSUME_PASSIVELY".to_owned()),
        (RunningInfo::CLIENT_VERSION, version_name(VERSION)),
    ];
    let options = picture.options.iter().map(|(name, value)| (*name, value.clone()));
    info.properties = ours.into_iter().chain(options).map(|(name, value)| (name.to_owned(), value)).collect();
    let subscriptions = picture.subscriptions.iter();
    info.subscriptions = subscriptions
        .map(|wanted| SubscriptionData::new(names.topic(&wanted.topic).as_str(), &wanted.filter, wanted.version))
        .collect();
    let queues = picture.queues.iter().map(|queue| (names.queue(&queue.queue), queue_info(queue, picture.is_orderly)));
    info.queues = queues.collect();
    let paces = picture.paces.iter().map(|(topic, pace)| (names.topic(topic).to_string(), topic_status(pace)));
    info.topics = paces.collect::<BTreeMap<_, _>>();
    info
}

fn queue_info(queue: &QueuePicture, is_orderly: bool) -> QueueInfo {
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let (first, last) = queue.buffered.unwrap_or_default();
    QueueInfo {
        cached_count: count(queue.messages),
        cached_min_offset: offset(first),
        cached_max_offset: offset(last),
        cached_mib: count(queue.bytes >> 20),
        commit_offset: offset(queue.position),
        last_consume_ms: millis(queue.consumed),
        last_lock_ms: millis(queue.locked),
        last_pull_ms: millis(queue.pulled),
        locked: queue.locked.is_some(),
        transaction_count: if is_orderly { count(queue.running) } else { 0 },
        ..QueueInfo::default()
    }
}

fn topic_status(pace: &Pace) -> TopicStatus {
    TopicStatus {
        failed_messages: i64::try_from(pace.failed_messages).unwrap_or(i64::MAX),
        failed_per_second: pace.failed_per_second,
        consumed_per_second: pace.consumed_per_second,
        consume_ms: pace.consume_ms,
        pull_ms: pace.pull_ms,
        pulled_per_second: pace.pulled_per_second,
    }
}

fn millis(time: Option<SystemTime>) -> i64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
