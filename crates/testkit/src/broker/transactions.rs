use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ferrocket_model::properties::{self, name};
use ferrocket_protocol::{
    Command, ReadRequest, ResponseCode,
    message::SysFlag,
    request::{CheckTransaction, CheckTransactionHeader, EndTransaction, TransactionEnding},
};
use tokio::time::Instant;

use super::{Broker, State, send::queue_is_gone};
use crate::{
    answer::{Answer, Handled, NO_CODE},
    log::{Draft, Place},
};

/// Where half messages are kept until somebody says what becomes of them.
const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Where those end up that nobody ever decided about.
const GIVEN_UP_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
const CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// The queue offset of the record that a copy was made of while its immunity time lasted.
const COPY_OF: &str = "TRAN_PREPARED_QUEUE_OFFSET";
const IMMUNITY: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";

/// Every half message there ever was, by its place in the commit log: also a second commit stores the message once more.
#[derive(Default)]
pub(super) struct Transactions {
    halves: BTreeMap<i64, Half>,
    /// The places of copies, by the queue offset of the record that they are copies of.
    copies: HashMap<u64, Vec<i64>>,
    /// The places of half messages with a delay: their ends are taken, and do nothing.
    lost: HashSet<i64>,
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

/// What a round of checks does with a half message. Both count, towards the same maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Its producers are asked.
    Ask,
    /// It is stored once more and nobody is asked, because its immunity time lasts.
    Copy,
}

impl Half {
    fn property(&self, name: &str) -> Option<&str> {
        properties::find(&self.draft.properties, name)
    }

    /// What a round of checks does with it.
    fn round(&self, age: Duration, timeout: Duration) -> Option<Round> {
        match self.immunity() {
            Some(immunity) if age < immunity => Some(Round::Copy),
            None if age < timeout => None,
            _ => Some(Round::Ask),
        }
    }

    /// How long the producer wanted to be left alone.
    fn immunity(&self) -> Option<Duration> {
        self.property(IMMUNITY)?.parse().ok().map(Duration::from_secs)
    }

    fn copy_of(&self) -> Option<u64> {
        self.property(COPY_OF)?.parse().ok()
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

impl State {
    /// Brokers keep a half message with a delay in a topic of delayed ones, and lose it there.
    pub(super) fn lose_half(&mut self, draft: &Draft) -> Place {
        let place = self.lose(draft);
        self.transactions.lost.insert(place.commit_log_offset);
        place
    }
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
        if let Some(first) = half.copy_of() {
            state.transactions.copies.entry(first).or_default().push(place.commit_log_offset);
        }
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
        if transactions.lost.contains(&request.commit_log_offset) {
            return Answer::success().into();
        }
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
            return refuse(ResponseCode::ILLEGAL_OPERATION, NO_CODE);
        }
        half.is_open = false;
        let (table_offset, mut draft) = (half.place.queue_offset, half.draft.clone());
        // An end of the first record counts for the copies that were made in its immunity time.
        for copy in transactions.copies.get(&table_offset).into_iter().flatten() {
            if let Some(copy) = transactions.halves.get_mut(copy) {
                copy.is_open = false;
            }
        }
        if !commits {
            return Answer::success().with_remark(NO_CODE).into();
        }
        properties::remove(&mut draft.properties, name::REAL_TOPIC);
        properties::remove(&mut draft.properties, name::REAL_QID);
        draft.sys_flag = SysFlag(draft.sys_flag.0 | SysFlag::TRANSACTION_COMMIT);
        draft.prepared_offset = request.commit_log_offset;
        match self.store(&mut state, &draft) {
            Some(_) => Answer::success().into(),
            None => queue_is_gone().into(),
        }
    }

    /// How many half messages wait for an end.
    pub(crate) fn open_transactions(&self) -> usize {
        self.state.lock().transactions.open()
    }

    /// Asks about every half message that waits, whatever its age, and says how many there were.
    pub(crate) fn check_transactions(&self) -> usize {
        self.check(|_| Some(Round::Ask))
    }

    /// Only while a half message waits, so that an idle cluster sleeps.
    fn schedule_checks(self: &Arc<Self>) {
        let broker = Arc::downgrade(self);
        self.shared.schedule.after(self.shared.settings.transaction_check_interval, move || {
            let Some(broker) = broker.upgrade() else { return };
            let (now, timeout) = (broker.shared.schedule.now(), broker.shared.settings.transaction_timeout);
            broker.check(|half| half.round(now.saturating_duration_since(half.since), timeout));
            let mut state = broker.state.lock();
            state.transactions.scheduled = state.transactions.open() > 0;
            if state.transactions.scheduled {
                broker.schedule_checks();
            }
        });
    }

    fn check(&self, round: impl Fn(&Half) -> Option<Round>) -> usize {
        if self.address().is_none() {
            return 0;
        }
        let mut state = self.state.lock();
        let open = state.transactions.halves.values().filter(|half| half.is_open);
        let due: Vec<_> = open.filter_map(|half| Some((half.place.commit_log_offset, round(half)?))).collect();
        for &(offset, round) in &due {
            self.check_one(&mut state, offset, round);
        }
        drop(state);
        self.shared.observer.ring();
        due.len()
    }

    /// As any broker: the half message is stored once more, and a question names the new place.
    fn check_one(&self, state: &mut State, offset: i64, round: Round) {
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
        if round == Round::Copy && half.copy_of().is_none() {
            properties::set(&mut draft.properties, COPY_OF, &half.place.queue_offset.to_string());
        }
        let Ok(place) = self.keep_half(state, draft.clone(), since, checks) else { return };
        if round == Round::Copy {
            return;
        }
        properties::set(&mut draft.properties, name::WAIT, "false");
        let group = properties::find(&draft.properties, name::PGROUP).unwrap_or_default();
        let key = properties::find(&draft.properties, name::UNIQ_KEY).map(str::to_owned);
        let Some(connection) = state.producers.any_of(group) else { return };
        let table_offset = i64::try_from(place.queue_offset).unwrap_or(i64::MAX);
        let mut header = CheckTransactionHeader::new(place.commit_log_offset, table_offset);
        header.broker = Some(self.name.clone());
        header.broker_message_id = Some(state.offset_id(place));
        header.topic = Some(HALF_TOPIC.into());
        (header.message_id, header.transaction_id) = (key.clone(), key);
        connection.notify(&CheckTransaction { header, body: draft.record(place, state.host()) });
    }
}
