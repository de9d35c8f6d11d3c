use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrocket_model::properties::{self, name};
use ferrocket_protocol::{
    Command, ReadRequest, ResponseCode,
    message::SysFlag,
    request::{CheckTransaction, CheckTransactionHeader, EndTransaction, TransactionEnding},
};
use tokio::time::Instant;

use super::{Broker, State, send::queue_is_gone};
use crate::{
    answer::{Answer, Handled},
    log::{Draft, Place},
};

/// Where half messages are kept until somebody says what becomes of them.
const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Where those end up that nobody ever decided about.
const GIVEN_UP_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
const CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
const IMMUNITY: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";

/// Every half message there ever was, by its place in the commit log: also a second commit stores the message once more.
#[derive(Default)]
pub(super) struct Transactions {
    halves: BTreeMap<i64, Half>,
    /// Whether the next round of checks is on the schedule.
    scheduled: bool,
}

struct Half {
    /// As the producer sent it, with its own topic and queue.
    draft: Draft,
    place: Place,
    /// When it was first stored.
    since: Instant,
    checks: u32,
    is_open: bool,
}

impl Half {
    fn property(&self, name: &str) -> Option<&str> {
        properties::find(&self.draft.properties, name)
    }

    /// How long the producer wanted to be left alone.
    fn immunity(&self) -> Option<Duration> {
        self.property(IMMUNITY)?.parse().ok().map(Duration::from_secs)
    }

    fn in_topic(&self, topic: &str) -> Draft {
        let mut draft = self.draft.clone();
        (draft.topic, draft.queue_id) = (topic.to_owned(), 0);
        draft
    }
}

impl Transactions {
    pub(super) fn open(&self) -> usize {
        self.halves.values().filter(|half| half.is_open).count()
    }
}

/// Whether a message is a half one.
pub(super) fn is_half(properties_text: &str) -> bool {
    properties::find(properties_text, name::TRAN_MSG).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

impl Broker {
    /// Keeps a half message aside. The place is of the topic of half messages.
    pub(super) fn store_half(self: &Arc<Self>, state: &mut State, mut draft: Draft) -> Result<Place, Answer> {
        draft.sys_flag = SysFlag(draft.sys_flag.0 & !SysFlag::TRANSACTION_ROLLBACK);
        properties::set(&mut draft.properties, name::REAL_TOPIC, &draft.topic);
        properties::set(&mut draft.properties, name::REAL_QID, &draft.queue_id.to_string());
        if let Some(key) = properties::find(&draft.properties, name::UNIQ_KEY).map(str::to_owned) {
            properties::set(&mut draft.properties, name::TRANSACTION_ID, &key);
        }
        let since = self.shared.schedule.now();
        let place = self.keep_half(state, draft, since, 0)?;
        if !std::mem::replace(&mut state.transactions.scheduled, true) {
            self.schedule_checks();
        }
        Ok(place)
    }

    fn keep_half(&self, state: &mut State, draft: Draft, since: Instant, checks: u32) -> Result<Place, Answer> {
        state.log.ensure_topic(HALF_TOPIC, 1);
        let mut half =
            Half { draft, place: Place { queue_offset: 0, commit_log_offset: 0 }, since, checks, is_open: true };
        half.place = self.store(state, &half.in_topic(HALF_TOPIC)).ok_or_else(queue_is_gone)?;
        let place = half.place;
        state.transactions.halves.insert(place.commit_log_offset, half);
        Ok(place)
    }

    pub(super) fn end_transaction(&self, command: &Command) -> Handled {
        let request = match EndTransaction::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error).into(),
        };
        let refuse = |code, why: &str| Answer::refusal(code, why).into();
        let commits = match TransactionEnding::from_code(request.ending) {
            Some(TransactionEnding::Commit) => true,
            Some(TransactionEnding::Rollback) => false,
            // Not even when it waits for an answer.
            Some(TransactionEnding::Unknown) => return Handled::Never,
            None => return refuse(ResponseCode::SYSTEM_ERROR, "the field commitOrRollback is wrong"),
        };
        let mut state = self.state.lock();
        let State { log, transactions, .. } = &mut *state;
        let Some(half) = transactions.halves.get_mut(&request.commit_log_offset) else {
            let why = match log.at(request.commit_log_offset) {
                Some(_) => "java.lang.NullPointerException: this is no half message",
                None => "Find prepared transaction message failed",
            };
            return refuse(ResponseCode::SYSTEM_ERROR, why);
        };
        if half.property(name::PGROUP) != Some(request.group.as_str()) {
            return refuse(ResponseCode::SYSTEM_ERROR, "The producer group wrong");
        }
        if i64::try_from(half.place.queue_offset) != Ok(request.table_offset) {
            return refuse(ResponseCode::SYSTEM_ERROR, "The transaction state table offset wrong");
        }
        let age = self.shared.schedule.now().saturating_duration_since(half.since);
        if !request.from_check && half.immunity().is_some_and(|immunity| age > immunity) {
            return refuse(ResponseCode::ILLEGAL_OPERATION, "not set any response code");
        }
        half.is_open = false;
        if commits {
            let mut draft = half.draft.clone();
            properties::remove(&mut draft.properties, name::REAL_TOPIC);
            properties::remove(&mut draft.properties, name::REAL_QID);
            draft.sys_flag = SysFlag(draft.sys_flag.0 | SysFlag::TRANSACTION_COMMIT);
            draft.prepared_offset = half.place.commit_log_offset;
            if self.store(&mut state, &draft).is_none() {
                return queue_is_gone().into();
            }
        }
        Answer::success().into()
    }

    /// How many half messages wait for an end.
    pub(crate) fn open_transactions(&self) -> usize {
        self.state.lock().transactions.open()
    }

    /// Asks about every half message that waits, whatever its age, and says how many there were.
    pub(crate) fn check_transactions(&self) -> usize {
        self.check(|_| true)
    }

    /// Only while a half message waits, so that an idle cluster sleeps.
    fn schedule_checks(self: &Arc<Self>) {
        let broker = Arc::downgrade(self);
        self.shared.schedule.after(self.shared.settings.transaction_check_interval, move || {
            let Some(broker) = broker.upgrade() else { return };
            let (now, timeout) = (broker.shared.schedule.now(), broker.shared.settings.transaction_timeout);
            broker.check(|half| now.saturating_duration_since(half.since) >= half.immunity().unwrap_or(timeout));
            let mut state = broker.state.lock();
            state.transactions.scheduled = state.transactions.open() > 0;
            if state.transactions.scheduled {
                broker.schedule_checks();
            }
        });
    }

    fn check(&self, is_due: impl Fn(&Half) -> bool) -> usize {
        if self.address().is_none() {
            return 0;
        }
        let mut state = self.state.lock();
        let due = state.transactions.halves.values().filter(|half| half.is_open && is_due(half));
        let due: Vec<_> = due.map(|half| half.place.commit_log_offset).collect();
        for &offset in &due {
            self.check_one(&mut state, offset);
        }
        drop(state);
        self.shared.observer.ring();
        due.len()
    }

    /// As any broker: the half message is stored once more, and the question names the new place.
    fn check_one(&self, state: &mut State, offset: i64) {
        let Some(half) = state.transactions.halves.get_mut(&offset) else { return };
        half.is_open = false;
        let (mut draft, since, checks) = (half.draft.clone(), half.since, half.checks + 1);
        if checks > self.shared.settings.transaction_check_max {
            let given_up = half.in_topic(GIVEN_UP_TOPIC);
            state.log.ensure_topic(GIVEN_UP_TOPIC, 1);
            self.store(state, &given_up);
            return;
        }
        properties::set(&mut draft.properties, CHECK_TIMES, &checks.to_string());
        properties::set(&mut draft.properties, name::WAIT, "false");
        let group = properties::find(&draft.properties, name::PGROUP).unwrap_or_default().to_owned();
        let key = properties::find(&draft.properties, name::UNIQ_KEY).map(str::to_owned);
        let Ok(place) = self.keep_half(state, draft.clone(), since, checks) else { return };
        let Some(connection) = state.producers.any_of(&group) else { return };
        let table_offset = i64::try_from(place.queue_offset).unwrap_or(i64::MAX);
        let mut header = CheckTransactionHeader::new(place.commit_log_offset, table_offset);
        header.broker = Some(self.name.clone());
        header.broker_message_id = Some(state.offset_id(place));
        header.topic = Some(HALF_TOPIC.into());
        (header.message_id, header.transaction_id) = (key.clone(), key);
        connection.notify(&CheckTransaction { header, body: draft.record(place, state.host()) });
    }
}
