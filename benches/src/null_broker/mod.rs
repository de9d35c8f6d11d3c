//! The null broker: speaks the protocol, answers at once, keeps no message. Name server and broker on one port.
//!
//! Blocking threads, one a connection. Writes are coalesced: everything that came in one read is answered by one write. What
//! it answers to sends and pulls is prepared, so that it costs less than any client. As on brokers, a retry topic has one queue,
//! and there is nothing in it.

mod groups;
mod held;
mod prepared;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use ferrocket_protocol::{
    Command, Frame, HeaderFormat, NoFields, ReadRequest, RequestCode, ResponseCode, WriteFields,
    body::{BrokerAddresses, LockedQueues, QueueData, TopicRoute},
    encode_response,
    limits::MAX_FRAME_BYTES,
    request::{
        ConsumerList, GetConsumerList, GetRoute, Heartbeat, HeartbeatAnswer, LockBatch, MembersChanged, OffsetAnswer,
        Pull, PullAnswer, UnlockBatch, Unregister,
    },
};

use crate::inputs;
use groups::Groups;
use held::HeldPulls;
use prepared::{Prepared, records, sent};

/// Behind how many messages every queue ends.
const END: u64 = 1 << 40;
/// How headers of answers are written.
const FORMAT: HeaderFormat = HeaderFormat::Json;

/// How the broker looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Options {
    /// Queues of every topic.
    #[arg(long, default_value_t = 4)]
    pub queues: u32,
    /// Bytes of the body of every message that is pulled.
    #[arg(long, default_value_t = 1024)]
    pub body: usize,
    /// There are no messages: pulls are held.
    #[arg(long)]
    pub empty: bool,
    /// Members of every group: whoever asks, and others who are made up.
    #[arg(long, default_value_t = 1)]
    pub members: u32,
    /// Members are those who say so by heartbeat: they share queues, lock them, and hear of each other.
    #[arg(long)]
    pub together: bool,
}

impl Options {
    /// 4 queues that never end, of messages of 1 KiB; no client knows of another.
    pub const PLAIN: Self = Self { queues: 4, body: 1024, empty: false, members: 1, together: false };

    /// As arguments of a program.
    pub fn arguments(&self) -> Vec<String> {
        let numbers = [("queues", self.queues as usize), ("body", self.body), ("members", self.members as usize)];
        let switches = [("empty", self.empty), ("together", self.together)];
        let numbers = numbers.into_iter().map(|(name, value)| format!("--{name}={value}"));
        numbers.chain(switches.iter().filter(|(_, on)| *on).map(|(name, _)| format!("--{name}"))).collect()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::PLAIN
    }
}

struct Shared {
    address: SocketAddr,
    options: Options,
    prepared: Prepared,
    groups: Groups,
}

/// One connection.
struct Peer {
    stream: Mutex<TcpStream>,
    /// Whose it is; empty until a consumer's heartbeat came.
    client_id: Mutex<String>,
    held: HeldPulls,
}

impl Peer {
    /// Returns whether somebody is there.
    fn write(&self, bytes: &[u8]) -> bool {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes).is_ok()
    }
}

/// Serves until the process ends.
///
/// # Errors
///
/// When the listener has no address.
pub fn serve(listener: &TcpListener, options: Options) -> Result<()> {
    let shared = Arc::new(Shared {
        address: listener.local_addr()?,
        options,
        prepared: Prepared::new(options.body),
        groups: Groups::new(options),
    });
    for stream in listener.incoming().flatten() {
        let shared = shared.clone();
        std::thread::spawn(move || {
            if let Err(error) = talk(&shared, stream) {
                eprintln!("null broker: {error:#}");
            }
        });
    }
    Ok(())
}

fn talk(shared: &Shared, mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let peer = Arc::new(Peer {
        stream: Mutex::new(stream.try_clone()?),
        client_id: Mutex::default(),
        held: HeldPulls::default(),
    });
    let mut chunk = vec![0; 1 << 18];
    let mut input = BytesMut::with_capacity(1 << 20);
    let mut output = BytesMut::with_capacity(1 << 20);
    loop {
        let read = match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(read) => read,
        };
        input.extend_from_slice(chunk.get(..read).unwrap_or_default());
        while let Some(frame) = Frame::decode(&mut input, MAX_FRAME_BYTES).context("a frame")? {
            answer(shared, &peer, frame, &mut output)?;
        }
        if !output.is_empty() && !peer.write(&output) {
            return Ok(());
        }
        output.clear();
    }
}

fn answer(shared: &Shared, peer: &Arc<Peer>, frame: Frame, out: &mut BytesMut) -> Result<()> {
    match sent(&frame.header) {
        Some((RequestCode::SEND_MESSAGE_V2, opaque)) => return shared.prepared.stored(opaque, 1, out),
        Some((_, opaque)) => return shared.prepared.stored(opaque, records(&frame.body), out),
        None => {}
    }
    let command = Command::read(frame).context("a header")?;
    if command.is_one_way() || command.is_response() {
        return Ok(());
    }
    let opaque = command.opaque;
    let mut reply = |code, fields: &dyn WriteFields, body: Bytes| -> Result<()> {
        let encoded = encode_response(opaque, code, None, fields, body, FORMAT, out)?;
        if let Some(body) = encoded.body {
            out.put_slice(&body);
        }
        Ok(())
    };
    match RequestCode(command.code) {
        RequestCode::SEND_MESSAGE_V2 => shared.prepared.stored(opaque, 1, out),
        RequestCode::SEND_BATCH_MESSAGE => shared.prepared.stored(opaque, records(command.body()), out),
        RequestCode::GET_ROUTEINFO_BY_TOPIC => {
            let is_retry = GetRoute::read_request(&command)?.topic.is_retry();
            reply(ResponseCode::SUCCESS, &NoFields, route(shared, is_retry).to_body())
        }
        RequestCode::HEART_BEAT => {
            shared.groups.heard(&Heartbeat::read_request(&command)?.data()?, peer);
            reply(ResponseCode::SUCCESS, &HeartbeatAnswer::new(true, false), Bytes::new())
        }
        RequestCode::UNREGISTER_CLIENT => {
            let leaving = Unregister::read_request(&command)?;
            if let Some(group) = &leaving.consumer_group {
                shared.groups.left(group, &leaving.client_id);
            }
            reply(ResponseCode::SUCCESS, &NoFields, Bytes::new())
        }
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
            let group = GetConsumerList::read_request(&command)?.group;
            let list = ConsumerList { consumer_id_list: shared.groups.of(&group, peer) };
            reply(ResponseCode::SUCCESS, &NoFields, list.to_body())
        }
        RequestCode::LOCK_BATCH_MQ => {
            let locked = shared.groups.lock(LockBatch::read_request(&command)?.data()?);
            reply(ResponseCode::SUCCESS, &NoFields, LockedQueues { locked }.to_body())
        }
        RequestCode::UNLOCK_BATCH_MQ => {
            shared.groups.unlock(&UnlockBatch::read_request(&command)?.data()?);
            reply(ResponseCode::SUCCESS, &NoFields, Bytes::new())
        }
        // Nobody but a benchmark sends that to a broker. The answer says how often members were asked for so far.
        RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
            shared.groups.notify(&MembersChanged::read_request(&command)?.group);
            reply(ResponseCode::SUCCESS, &OffsetAnswer::new(shared.groups.asked() as i64), Bytes::new())
        }
        RequestCode::QUERY_CONSUMER_OFFSET | RequestCode::GET_MIN_OFFSET | RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => {
            reply(ResponseCode::SUCCESS, &OffsetAnswer::new(0), Bytes::new())
        }
        RequestCode::GET_MAX_OFFSET => reply(ResponseCode::SUCCESS, &OffsetAnswer::new(END as i64), Bytes::new()),
        RequestCode::PULL_MESSAGE => {
            let pull = Pull::read_request(&command)?.0;
            if shared.options.empty || pull.topic.is_retry() {
                peer.held.hold(peer, opaque, pull.queue_offset, Duration::from_millis(pull.suspend_ms));
                return Ok(());
            }
            let count = inputs::BATCH.min(pull.max_messages as usize);
            let next = pull.queue_offset + count as u64;
            let messages = shared.prepared.pulled(pull.queue_offset, pull.queue_id, count);
            let found = PullAnswer::new(ResponseCode::SUCCESS, next, 0, END, Bytes::new());
            reply(ResponseCode::SUCCESS, &found, messages)
        }
        // Commits and whatever else: fine.
        _ => reply(ResponseCode::SUCCESS, &NoFields, Bytes::new()),
    }
}

fn route(shared: &Shared, is_retry: bool) -> TopicRoute {
    let count = if is_retry { 1 } else { shared.options.queues };
    let queues = QueueData {
        broker_name: "broker-a".to_owned(),
        perm: 6,
        read_queue_nums: count,
        topic_sys_flag: 0,
        write_queue_nums: count,
    };
    TopicRoute::new(vec![BrokerAddresses::new("broker-a", "null", shared.address.to_string())], vec![queues])
}
