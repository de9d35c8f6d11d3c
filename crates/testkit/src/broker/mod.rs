//! A broker: one file per group of requests.

mod batch;
mod check_client;
mod delays;
mod expiry;
mod filters;
mod groups;
mod locks;
mod offsets;
mod producers;
mod pull;
mod query;
mod replies;
mod resets;
mod send;
mod send_back;
mod slave;
mod topics;
mod transactions;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
};

use ferrocket_model::{IdGenerator, MessageQueue, OffsetId, ReceivedMessage, system};
use ferrocket_protocol::{Command, RequestCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    answer::{Answer, Handled},
    connection::Connection,
    log::{Draft, Log, Place, Record},
    server::{Running, Service},
    shared::{Shared, TEMPLATE_QUEUES},
};
use delays::Timers;
use groups::Groups;
use locks::Locks;
use producers::Producers;
use replies::reply_topic;
use resets::Resets;
use transactions::Transactions;

pub(crate) use slave::{SLAVE_ID, keep_copying};

/// The permission of the template: also "a topic may be made from it".
const TEMPLATE_PERM: i32 = 7;

/// One broker: what it stores outlives its listener.
pub(crate) struct Broker {
    name: String,
    /// What faults know it by: its name, or `<name>-slave`.
    server: String,
    /// Whose slave it is, if it is one.
    master: Option<Arc<Self>>,
    /// The broker id that pulls say to ask next.
    suggested: AtomicU64,
    shared: Arc<Shared>,
    state: Mutex<State>,
    running: Mutex<Option<Running>>,
    /// In memory: the port of the made-up address, counted up by each restart.
    port: AtomicU16,
    ids: IdGenerator,
}

#[derive(Default)]
struct State {
    log: Log,
    offsets: HashMap<String, HashMap<(String, u32), u64>>,
    resets: Resets,
    groups: Groups,
    producers: Producers,
    locks: Locks,
    /// When each connection beat last; only of those that are in a group.
    beats: HashMap<u64, Instant>,
    transactions: Transactions,
    timers: Timers,
    /// How often it was erased: what waited before that is not stored any more.
    lives: u64,
    /// The address that is written into records.
    host: Option<SocketAddr>,
}

impl State {
    fn host(&self) -> SocketAddr {
        self.host.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    /// The broker's id of a message.
    fn offset_id(&self, place: Place) -> String {
        let host = self.host();
        let (ip, port) = (host.ip(), u32::from(host.port()));
        OffsetId { ip, port, commit_log_offset: place.commit_log_offset }.to_string()
    }

    /// Takes a place for a message that is acknowledged and that nobody ever sees.
    fn lose(&mut self, draft: &Draft) -> Place {
        let commit_log_offset = self.log.skip(draft.body.len() + draft.properties.len());
        Place { queue_offset: 0, commit_log_offset }
    }
}

impl Broker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        Self::with_role(index, shared, None)
    }

    /// A slave of a broker.
    pub(crate) fn slave_of(master: Arc<Self>, index: usize) -> Self {
        Self::with_role(index, master.shared.clone(), Some(master))
    }

    fn with_role(index: usize, shared: Arc<Shared>, master: Option<Arc<Self>>) -> Self {
        let mut state = State::default();
        if shared.settings.auto_create_topics {
            state.log.set_topic(system::TEMPLATE_TOPIC, TEMPLATE_QUEUES, TEMPLATE_PERM);
        }
        state.log.set_topic(&reply_topic(), 1, 6);
        let process = std::process::id() as u16;
        let name = format!("broker-{index}");
        Self {
            server: if master.is_some() { format!("{name}-slave") } else { name.clone() },
            name,
            master,
            suggested: AtomicU64::new(0),
            shared,
            state: Mutex::new(state),
            running: Mutex::new(None),
            port: AtomicU16::new(10_911 + (index as u16).wrapping_mul(100)),
            ids: IdGenerator::new(IpAddr::V4(Ipv4Addr::LOCALHOST), process, fastrand::u32(..)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What faults know it by.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Where it listens; `None` while it is stopped.
    pub(crate) fn address(&self) -> Option<String> {
        self.running.lock().as_ref().map(|running| running.address.clone())
    }

    /// Listens, on the port of last time or on another.
    pub(crate) async fn start(self: Arc<Self>, port: Option<u16>) -> io::Result<()> {
        self.stop();
        let port = match port {
            Some(port) => port,
            None if self.shared.settings.in_memory => self.port.fetch_add(1, Ordering::SeqCst),
            None => 0,
        };
        let running = Running::start(&self.shared, self.clone(), &format!("mem-{}", self.server), port).await?;
        self.state.lock().host = Some(running.socket);
        *self.running.lock() = Some(running);
        self.shared.observer.ring();
        Ok(())
    }

    pub(crate) fn stop(&self) {
        let running = self.running.lock().take();
        drop(running);
        let mut state = self.state.lock();
        state.groups.forget_members();
        state.producers.forget();
        state.beats.clear();
        state.locks = Locks::default();
        drop(state);
        self.shared.observer.ring();
    }

    /// Stops it, and forgets what it stores; see [`BrokerHandle::erase`](crate::BrokerHandle::erase).
    pub(crate) fn erase(&self) {
        self.stop();
        let mut state = self.state.lock();
        let (lives, host) = (state.lives + 1, state.host);
        let log = std::mem::take(&mut state.log).emptied();
        *state = State { log, lives, host, ..State::default() };
        drop(state);
        self.shared.observer.ring();
    }

    /// The port of last time, for a restart on it.
    pub(crate) fn last_port(&self) -> Option<u16> {
        self.state.lock().host.map(|host| host.port())
    }

    /// Says which broker id pulls are told to ask next, by a master and its slave.
    pub(crate) fn suggest(&self, broker_id: u64) {
        self.master.as_deref().unwrap_or(self).suggested.store(broker_id, Ordering::SeqCst);
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        if let Some(running) = &*self.running.lock() {
            running.set_paused(paused);
        }
    }

    /// Queues and permission of a topic.
    pub(crate) fn topic(&self, name: &str) -> Option<(u32, i32)> {
        let state = self.state.lock();
        state.log.topic(name).map(|topic| (topic.queues.len() as u32, topic.perm))
    }

    pub(crate) fn create_topic(&self, name: &str, queues: u32) {
        self.state.lock().log.set_topic(name, queues, 6);
        self.shared.observer.ring();
    }

    /// A batch to this topic is stored whole.
    pub(crate) fn keep_batches(&self, topic: &str) {
        self.state.lock().log.keep_batches(topic);
    }

    pub(crate) fn delete_topic(&self, name: &str) {
        let mut state = self.state.lock();
        state.log.delete_topic(name);
        for queues in state.offsets.values_mut() {
            queues.retain(|(topic, _), _| topic != name);
        }
        state.resets.forget_topic(name);
        drop(state);
        self.shared.observer.ring();
    }

    /// What is stored in a topic, with the number that orders messages over all brokers.
    pub(crate) fn messages(&self, topic: &str) -> Vec<(u64, ReceivedMessage)> {
        let state = self.state.lock();
        let Some(log) = state.log.topic(topic) else { return Vec::new() };
        let records = log.queues.iter().enumerate().flat_map(|(id, queue)| {
            let queue_name = MessageQueue::new(topic, self.name.as_str(), id as u32);
            let numbered = |record: &Record, message| (record.number, message);
            queue.records.iter().flat_map(move |record| {
                record.received(&queue_name).into_iter().map(move |message| numbered(record, message))
            })
        });
        records.collect()
    }

    pub(crate) fn committed(&self, group: &str, topic: &str) -> u64 {
        let state = self.state.lock();
        let queues = state.offsets.get(group).into_iter().flatten();
        queues.filter(|((name, _), _)| name == topic).map(|(_, offset)| *offset).sum()
    }

    pub(crate) fn committed_offset(&self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        self.state.lock().offset(group, topic, queue)
    }

    pub(crate) fn members(&self, group: &str) -> Vec<String> {
        self.state.lock().groups.members(group)
    }

    /// The clients of a producer group.
    pub(crate) fn producers(&self, group: &str) -> Vec<String> {
        self.state.lock().producers.members(group)
    }

    /// The connections of a client that are in a group, the newest last. Their ids order connections over all brokers.
    pub(crate) fn connections_of(&self, client_id: &str) -> Vec<Arc<Connection>> {
        let state = self.state.lock();
        let connections = state.groups.of_client(client_id).chain(state.producers.of_client(client_id));
        let mut connections: Vec<_> = connections.cloned().collect();
        connections.sort_by_key(|connection| connection.id);
        connections.dedup_by_key(|connection| connection.id);
        connections
    }

    /// Stores a message now.
    fn store(&self, state: &mut State, draft: &Draft) -> Option<Place> {
        let host = state.host();
        state.log.append(draft, host, self.shared.next_number())
    }

    /// Stores a message after a delay. The topic may be gone by then, and the message with it.
    fn store_later(self: &Arc<Self>, state: &State, delay: std::time::Duration, draft: Draft) {
        // Weak, or the cluster would keep itself alive.
        let (broker, lives) = (Arc::downgrade(self), state.lives);
        self.shared.schedule.after(delay, move || {
            let Some(broker) = broker.upgrade() else { return };
            let mut state = broker.state.lock();
            if state.lives == lives {
                broker.store(&mut state, &draft);
            }
            drop(state);
            broker.shared.observer.ring();
        });
    }
}

impl Service for Broker {
    fn broker(&self) -> Option<&str> {
        Some(&self.server)
    }

    fn handle(self: Arc<Self>, connection: &Arc<Connection>, command: &Command) -> Handled {
        self.catch_up();
        if let Some(refusal) = self.refuse_as_slave(RequestCode(command.code)) {
            return refusal.into();
        }
        let answer = match RequestCode(command.code) {
            RequestCode::SEND_MESSAGE | RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => {
                self.send(connection, command)
            }
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => return self.pull(command),
            RequestCode::CONSUMER_SEND_MSG_BACK => self.send_back(command),
            RequestCode::QUERY_CONSUMER_OFFSET => self.query_offset(command),
            RequestCode::UPDATE_CONSUMER_OFFSET => self.commit_offset(command),
            RequestCode::GET_MAX_OFFSET => self.bound(command, true),
            RequestCode::GET_MIN_OFFSET => self.bound(command, false),
            RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => self.search_offset(command),
            RequestCode::QUERY_MESSAGE => self.query_message(command),
            RequestCode::VIEW_MESSAGE_BY_ID => self.view_message(command),
            RequestCode::SEND_REPLY_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => {
                return self.reply(connection, command);
            }
            RequestCode::END_TRANSACTION => return self.end_transaction(command),
            RequestCode::RECALL_MESSAGE => self.recall(command),
            RequestCode::HEART_BEAT => self.heartbeat(connection, command),
            RequestCode::UNREGISTER_CLIENT => self.unregister(connection, command),
            RequestCode::CHECK_CLIENT_CONFIG => self.check_client(command),
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => self.consumer_list(command),
            RequestCode::GET_CONSUMER_CONNECTION_LIST => self.consumer_connection(command),
            RequestCode::LOCK_BATCH_MQ => self.lock(command),
            RequestCode::UNLOCK_BATCH_MQ => self.unlock(command),
            RequestCode::UPDATE_AND_CREATE_TOPIC => self.create_topic_request(command),
            RequestCode(code) => Answer::unsupported(code),
        };
        answer.into()
    }

    fn disconnected(&self, connection: u64) {
        let mut state = self.state.lock();
        state.groups.leave_all(connection);
        state.producers.leave_all(connection);
        state.beats.remove(&connection);
    }
}
