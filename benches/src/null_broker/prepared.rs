//! Answers that are prepared, so that they cost less than any client: to sends, and to pulls that find something.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use ferrocket_protocol::{RequestCode, ResponseCode, encode_response, request::SendAnswer};

use super::FORMAT;
use crate::inputs;

/// Where the offset in the queue stands in a stored message.
const OFFSET_AT: usize = 20;
/// The length of a message's id, and of a comma.
const ID_AND_COMMA: usize = 33;

/// What is made once.
pub(super) struct Prepared {
    /// [`inputs::BATCH`] stored messages.
    batch: Bytes,
    record_bytes: usize,
    /// Ids of as many messages as batches usually have, each with a comma behind it.
    ids: String,
    stored: AtomicU64,
}

impl Prepared {
    /// For messages with bodies of this many bytes.
    pub(super) fn new(body: usize) -> Self {
        let batch = inputs::stored(0, inputs::BATCH, body);
        Self {
            record_bytes: batch.len() / inputs::BATCH,
            batch,
            ids: ids(2 * inputs::BATCH),
            stored: AtomicU64::new(0),
        }
    }

    /// As a broker answers, 160 bytes and more: the first offset, and one id per message with commas between.
    pub(super) fn stored(&self, opaque: i32, count: usize, out: &mut BytesMut) -> Result<()> {
        let offset = self.stored.fetch_add(count as u64, Ordering::Relaxed);
        let more;
        let ids = match self.ids.get(..count * ID_AND_COMMA - 1) {
            Some(ids) => ids,
            None => {
                more = ids(count);
                more.trim_end_matches(',')
            }
        };
        let answer = SendAnswer::new(ResponseCode::SUCCESS, ids, 0, offset);
        let _ = encode_response(opaque, ResponseCode::SUCCESS, None, &answer, Bytes::new(), FORMAT, out)?;
        Ok(())
    }

    /// Messages of a queue from this offset on, [`inputs::BATCH`] at most.
    pub(super) fn pulled(&self, first: u64, queue_id: u32, count: usize) -> Bytes {
        let mut messages = BytesMut::from(self.batch.get(..count * self.record_bytes).unwrap_or_default());
        for (record, offset) in messages.chunks_exact_mut(self.record_bytes).zip(first..) {
            if let Some(slot) = record.get_mut(OFFSET_AT - 8..OFFSET_AT - 4) {
                slot.copy_from_slice(&queue_id.to_be_bytes());
            }
            if let Some(slot) = record.get_mut(OFFSET_AT..OFFSET_AT + 8) {
                slot.copy_from_slice(&offset.to_be_bytes());
            }
        }
        messages.freeze()
    }
}

/// The code and the opaque of a send (or batch) that waits for an answer, without reading the header: a null broker must cost
/// less than its client. `None` for all else, also for what a client of ours would not write so.
pub(super) fn sent(header: &[u8]) -> Option<(RequestCode, i32)> {
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
pub(super) fn records(mut body: &[u8]) -> usize {
    let mut count = 0;
    while let Some((length, _)) = body.split_first_chunk() {
        count += 1;
        body = body.get((u32::from_be_bytes(*length) as usize).max(4)..).unwrap_or_default();
    }
    count.max(1)
}

fn ids(count: usize) -> String {
    "7F00000100002A9F0000000000012345,".repeat(count)
}

#[cfg(test)]
mod tests {
    use ferrocket_protocol::{
        Command, Frame, HeaderFormat, RequestHead, Response, encode_request,
        limits::MAX_FRAME_BYTES,
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

    #[test]
    fn a_send_is_known_without_reading_its_header() {
        assert_eq!(sent(&header(SendForm::Message, false)), Some((RequestCode::SEND_MESSAGE_V2, 4711)));
        assert_eq!(sent(&header(SendForm::Batch, false)), Some((RequestCode::SEND_BATCH_MESSAGE, 4711)));
        assert_eq!(sent(&header(SendForm::Message, true)), None);
        assert_eq!(sent(b"{\"code\":11,\"flag\":0,\"opaque\":1,}"), None);
    }

    #[test]
    fn a_batch_is_answered_with_the_first_offset_and_an_id_for_each_message() {
        let prepared = Prepared::new(16);
        for (count, first) in [(2, 0), (5, 2)] {
            let mut body = BytesMut::new();
            (0..count).for_each(|_| push_batch_record(0, b"body", "TAGS\u{1}paid\u{2}", &mut body));
            let mut out = BytesMut::new();
            prepared.stored(4711, records(&body), &mut out).expect("it fits");
            let frame = Frame::decode(&mut out, MAX_FRAME_BYTES).expect("good lengths").expect("a whole frame");
            let answer = SendAnswer::read(Command::read(frame).expect("a header")).expect("a send answer");
            let ids: Vec<_> = answer.message_id.split(',').map(str::len).collect();
            assert_eq!((ids, answer.queue_offset), (vec![32; count], first));
        }
        assert_eq!(records(b"\0\0\0\0\0\0\0"), 1, "a length of nothing, and half a one");
    }

    #[test]
    fn pulled_messages_have_the_offsets_that_were_asked_for() {
        let messages = Prepared::new(128).pulled(77, 3, 5);
        let read: Vec<_> = StoredMessages::new(&messages).map(|message| message.expect("a message")).collect();
        assert!(read.iter().all(|message| message.is_intact && message.queue_id == 3));
        assert_eq!(read.iter().map(|message| message.queue_offset).collect::<Vec<_>>(), [77, 78, 79, 80, 81]);
    }
}
