//! The null broker: speaks the protocol, answers at once, keeps nothing. Name server and broker on one port.
//!
//! Blocking threads, one a connection. Writes are coalesced: everything that came in one read is answered by one write. What
//! it answers to sends and pulls is prepared, so that it costs less than any client.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use ferrocket_protocol::{
    Command, Frame, HeaderFormat, NoFields, ReadRequest, RequestCode, ResponseCode, WriteFields,
    body::{BrokerAddresses, QueueData, TopicRoute},
    encode_response,
    limits::MAX_FRAME_BYTES,
    request::{ConsumerList, Heartbeat, HeartbeatAnswer, OffsetAnswer, Pull, PullAnswer, SendAnswer},
};

use crate::inputs;

/// Behind how many messages every queue ends.
const END: u64 = 1 << 40;
/// Where the offset in the queue stands in a stored message.
const OFFSET_AT: usize = 20;
/// The length of a message's id, and of a comma.
const ID_AND_COMMA: usize = 33;

/// How the broker looks.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Queues of every topic.
    pub queues: u32,
    /// How headers of answers are written.
    pub format: HeaderFormat,
}

struct Shared {
    address: SocketAddr,
    options: Options,
    /// [`inputs::BATCH`] stored messages.
    batch: Bytes,
    record_bytes: usize,
    client_id: Mutex<String>,
    /// Ids of as many messages as batches usually have, each with a comma behind it.
    ids: String,
    stored: AtomicU64,
}

/// Serves until the process ends.
///
/// # Errors
///
/// When the listener has no address.
pub fn serve(listener: &TcpListener, options: Options) -> Result<()> {
    let batch = inputs::stored(0, inputs::BATCH);
    let shared = Arc::new(Shared {
        address: listener.local_addr()?,
        options,
        record_bytes: batch.len() / inputs::BATCH,
        batch,
        client_id: Mutex::default(),
        ids: ids(2 * inputs::BATCH),
        stored: AtomicU64::new(0),
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
            answer(shared, frame, &mut output)?;
        }
        if stream.write_all(&output).is_err() {
            return Ok(());
        }
        output.clear();
    }
}

fn answer(shared: &Shared, frame: Frame, out: &mut BytesMut) -> Result<()> {
    match sent(&frame.header) {
        Some((RequestCode::SEND_MESSAGE_V2, opaque)) => return stored(shared, opaque, 1, out),
        Some((_, opaque)) => return stored(shared, opaque, records(&frame.body), out),
        None => {}
    }
    let command = Command::read(frame).context("a header")?;
    if command.is_one_way() || command.is_response() {
        return Ok(());
    }
    let opaque = command.opaque;
    let mut reply = |code, fields: &dyn WriteFields, body: Bytes| -> Result<()> {
        let encoded = encode_response(opaque, code, None, fields, body, shared.options.format, out)?;
        if let Some(body) = encoded.body {
            out.put_slice(&body);
        }
        Ok(())
    };
    match RequestCode(command.code) {
        RequestCode::SEND_MESSAGE_V2 => stored(shared, opaque, 1, out),
        RequestCode::SEND_BATCH_MESSAGE => stored(shared, opaque, records(command.body()), out),
        RequestCode::GET_ROUTEINFO_BY_TOPIC => reply(ResponseCode::SUCCESS, &NoFields, route(shared).to_body()),
        RequestCode::HEART_BEAT => {
            let data = Heartbeat::read_request(&command)?.data()?;
            if !data.consumer_data_set.is_empty()
                && let Ok(mut id) = shared.client_id.lock()
            {
                *id = data.client_id;
            }
            reply(ResponseCode::SUCCESS, &HeartbeatAnswer::new(true, false), Bytes::new())
        }
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
            let id = shared.client_id.lock().map(|id| id.clone()).unwrap_or_default();
            reply(ResponseCode::SUCCESS, &NoFields, ConsumerList { consumer_id_list: vec![id] }.to_body())
        }
        RequestCode::QUERY_CONSUMER_OFFSET | RequestCode::GET_MIN_OFFSET | RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => {
            reply(ResponseCode::SUCCESS, &OffsetAnswer::new(0), Bytes::new())
        }
        RequestCode::GET_MAX_OFFSET => reply(ResponseCode::SUCCESS, &OffsetAnswer::new(END as i64), Bytes::new()),
        RequestCode::PULL_MESSAGE => {
            let pull = Pull::read_request(&command)?.0;
            let count = inputs::BATCH.min(pull.max_messages as usize);
            let next = pull.queue_offset + count as u64;
            let messages = pulled(shared, pull.queue_offset, pull.queue_id, count);
            let found = PullAnswer::new(ResponseCode::SUCCESS, next, 0, END, Bytes::new());
            reply(ResponseCode::SUCCESS, &found, messages)
        }
        // Commits, members that leave, and whatever else: fine.
        _ => reply(ResponseCode::SUCCESS, &NoFields, Bytes::new()),
    }
}

/// The code and the opaque of a send (or batch) that waits for an answer, without reading the header: a null broker must cost
/// less than its client. `None` for all else, also for what a client of ours would not write so.
fn sent(header: &[u8]) -> Option<(RequestCode, i32)> {
    const ONE: &[u8] = b"{\"code\":310,";
    const BATCH: &[u8] = b"{\"code\":320,";
    const OPAQUE: &[u8] = b"\"opaque\":";
    const ANSWERED: &[u8] = b"\"flag\":0,";
    let (code, rest) = match header.strip_prefix(ONE) {
        Some(rest) => (RequestCode::SEND_MESSAGE_V2, rest),
        None => (RequestCode::SEND_BATCH_MESSAGE, header.strip_prefix(BATCH)?),
    };
    let tail = rest.get(rest.len().saturating_sub(140)..).unwrap_or(rest);
    let at = tail.windows(OPAQUE.len()).rposition(|window| window == OPAQUE)?;
    tail.get(..at)?.windows(ANSWERED.len()).rposition(|window| window == ANSWERED)?;
    let digits = tail.get(at + OPAQUE.len()..)?;
    let length = digits.iter().position(|byte| *byte == b',')?;
    Some((code, std::str::from_utf8(digits.get(..length)?).ok()?.parse().ok()?))
}

/// How many messages a batch has: each begins with its length.
fn records(mut body: &[u8]) -> usize {
    let mut count = 0;
    while let Some((length, _)) = body.split_first_chunk() {
        count += 1;
        body = body.get((u32::from_be_bytes(*length) as usize).max(4)..).unwrap_or_default();
    }
    count.max(1)
}

/// As a broker answers, 160 bytes and more: the first offset, and one id per message with commas between.
fn stored(shared: &Shared, opaque: i32, count: usize, out: &mut BytesMut) -> Result<()> {
    let offset = shared.stored.fetch_add(count as u64, Ordering::Relaxed);
    let more;
    let ids = match shared.ids.get(..count * ID_AND_COMMA - 1) {
        Some(ids) => ids,
        None => {
            more = ids(count);
            more.trim_end_matches(',')
        }
    };
    let answer = SendAnswer::new(ResponseCode::SUCCESS, ids, 0, offset);
    let _ = encode_response(opaque, ResponseCode::SUCCESS, None, &answer, Bytes::new(), shared.options.format, out)?;
    Ok(())
}

fn ids(count: usize) -> String {
    "7F00000100002A9F0000000000012345,".repeat(count)
}

fn pulled(shared: &Shared, first: u64, queue_id: u32, count: usize) -> Bytes {
    let mut messages = BytesMut::from(shared.batch.get(..count * shared.record_bytes).unwrap_or_default());
    for (record, offset) in messages.chunks_exact_mut(shared.record_bytes).zip(first..) {
        if let Some(slot) = record.get_mut(OFFSET_AT - 8..OFFSET_AT - 4) {
            slot.copy_from_slice(&queue_id.to_be_bytes());
        }
        if let Some(slot) = record.get_mut(OFFSET_AT..OFFSET_AT + 8) {
            slot.copy_from_slice(&offset.to_be_bytes());
        }
    }
    messages.freeze()
}

fn route(shared: &Shared) -> TopicRoute {
    let queues = QueueData {
        broker_name: "broker-a".to_owned(),
        perm: 6,
        read_queue_nums: shared.options.queues,
        topic_sys_flag: 0,
        write_queue_nums: shared.options.queues,
    };
    TopicRoute::new(vec![BrokerAddresses::new("broker-a", "null", shared.address.to_string())], vec![queues])
}

#[cfg(test)]
mod tests {
    use ferrocket_protocol::{
        RequestHead, Response, encode_request,
        message::{StoredMessages, push_batch_record},
        request::{SendForm, SendMessage},
    };

    use super::*;

    fn header(form: SendForm, one_way: bool) -> Bytes {
        let mut out = BytesMut::new();
        let head = RequestHead::new(4711, HeaderFormat::Json);
        let head = if one_way { head.one_way() } else { head };
        let _ = encode_request(&SendMessage { form, ..inputs::send() }, &head, &[], &mut out).expect("it fits");
        Frame::decode(&mut out, MAX_FRAME_BYTES).expect("good lengths").expect("a whole frame").header
    }

    fn shared(records: usize) -> Shared {
        let batch = inputs::stored(0, records);
        Shared {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            options: Options { queues: 4, format: HeaderFormat::Json },
            record_bytes: batch.len() / records,
            batch,
            client_id: Mutex::default(),
            ids: ids(2),
            stored: AtomicU64::new(0),
        }
    }

    #[test]
    fn a_send_is_known_without_reading_its_header() {
        assert_eq!(sent(&header(SendForm::Message, false)), Some((RequestCode::SEND_MESSAGE_V2, 4711)));
        assert_eq!(sent(&header(SendForm::Batch, false)), Some((RequestCode::SEND_BATCH_MESSAGE, 4711)));
        assert_eq!(sent(&header(SendForm::Message, true)), None);
        assert_eq!(sent(b"{\"code\":11,\"flag\":0,\"opaque\":1,}"), None);
    }

    #[test]
    fn a_batch_is_answered_with_the_first_offset_and_an_id_for_each_message() {
        let shared = shared(1);
        for (count, first) in [(2, 0), (5, 2)] {
            let mut body = BytesMut::new();
            (0..count).for_each(|_| push_batch_record(0, b"body", "TAGS\u{1}paid\u{2}", &mut body));
            let mut out = BytesMut::new();
            stored(&shared, 4711, records(&body), &mut out).expect("it fits");
            let frame = Frame::decode(&mut out, MAX_FRAME_BYTES).expect("good lengths").expect("a whole frame");
            let answer = SendAnswer::read(Command::read(frame).expect("a header")).expect("a send answer");
            let ids: Vec<_> = answer.message_id.split(',').map(str::len).collect();
            assert_eq!((ids, answer.queue_offset), (vec![32; count], first));
        }
        assert_eq!(records(b"\0\0\0\0\0\0\0"), 1, "a length of nothing, and half a one");
    }

    #[test]
    fn pulled_messages_have_the_offsets_that_were_asked_for() {
        let shared = shared(inputs::BATCH);
        let messages = pulled(&shared, 77, 3, 5);
        let read: Vec<_> = StoredMessages::new(&messages).map(|message| message.expect("a message")).collect();
        assert!(read.iter().all(|message| message.is_intact && message.queue_id == 3));
        assert_eq!(read.iter().map(|message| message.queue_offset).collect::<Vec<_>>(), [77, 78, 79, 80, 81]);
    }
}
