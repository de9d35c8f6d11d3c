use bytes::BytesMut;
use ferrocket_compression::{Codec, compress};
use ferrocket_model::MessageQueue;
use ferrocket_protocol::message::{CompressionKind, StoredParts, SysFlag, write_stored};

use super::*;
use crate::names::Names;

const BODY: &[u8] = b"a body that is said twice: a body that is said twice";

fn record(offset: i64, tag: &str, sys_flag: SysFlag, body: &[u8]) -> Vec<u8> {
    let host = ([127, 0, 0, 1], 10_911).into();
    let mut out = BytesMut::new();
    write_stored(
        &StoredParts {
            queue_id: 0,
            flag: 7,
            queue_offset: offset,
            commit_log_offset: offset * 100,
            sys_flag,
            born_ms: 1,
            born_host: host,
            stored_ms: 2,
            store_host: host,
            reconsume_times: 3,
            prepared_offset: 0,
            body,
            topic: "Orders",
            properties: &format!("TAGS\u{1}{tag}\u{2}"),
        },
        &mut out,
    );
    out.to_vec()
}

fn plain(offset: i64, tag: &str) -> Vec<u8> {
    record(offset, tag, SysFlag::default(), BODY)
}

fn read(answer: &[Vec<u8>], filter: &Filter) -> (PulledRecords, Option<DecodeError>) {
    let names = Arc::new(Names::new(None));
    let decoder = Arc::new(Decoder { max_body_bytes: 1 << 20, decompress: true, names });
    let source = Source::of(MessageQueue::new("Orders", "broker-a", 0));
    PulledRecords::read(&decoder, &Bytes::from(answer.concat()), &source, 0, filter)
}

fn all(records: &PulledRecords) -> Vec<(u64, Option<String>, Bytes)> {
    let messages = (0..records.len()).map(|place| records.message(place).expect("it is there"));
    messages.map(|message| (message.offset(), message.tag().map(str::to_owned), message.body().clone())).collect()
}

#[test]
fn messages_are_made_as_often_as_they_are_taken_and_are_the_same() {
    let (mut records, error) = read(&[plain(5, "paid"), plain(6, "sent")], &Filter::all());
    assert!(error.is_none());
    let before = all(&records);
    assert_eq!(before.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [5, 6]);
    assert_eq!((records.offset(0), records.offset(1), records.offset(2)), (Some(5), Some(6), None));
    let first = records.message(0).expect("it is there");
    assert_eq!((first.attempt(), first.flag(), first.commit_log_offset()), (4, 7, 500));
    records.settle_down();
    assert_eq!(all(&records), before);
    assert!(records.message(2).is_none());
}

/// P17: who waits takes what came, and not the buffer it came in.
#[test]
fn what_settles_down_leaves_the_receive_buffer() {
    let (mut records, _) = read(&[plain(5, "paid"), plain(6, "sent")], &Filter::all());
    let buffer = records.answer.clone();
    let bytes = records.retained_bytes();
    assert_eq!(bytes, buffer.len());
    assert!(!buffer.is_unique());
    records.settle_down();
    assert!(buffer.is_unique(), "nobody else has it");
    assert_eq!(records.retained_bytes(), bytes);
}

/// R-I6: a body that was unpacked counts; it keeps the answer, too, so that nothing is gained by a copy.
#[test]
fn unpacked_bodies_are_made_at_once_and_counted() {
    let zlib = SysFlag::default().with_compression(CompressionKind::Zlib);
    let packed = compress(Codec::Zlib, 5, BODY).expect("it compresses");
    let (mut records, _) = read(&[plain(5, "paid"), record(6, "sent", zlib, &packed)], &Filter::all());
    let answer = records.answer.len();
    assert_eq!(records.retained_bytes(), answer + BODY.len());
    records.settle_down();
    assert_eq!(records.retained_bytes(), answer + BODY.len());
    assert!(all(&records).iter().all(|(.., body)| body == BODY));
}

#[test]
fn only_those_with_a_wanted_tag_stay() {
    let answer = [plain(5, "paid"), plain(6, "sent"), plain(7, "paid"), plain(8, "lost")];
    let (mut records, _) = read(&answer, &Filter::tags(["sent", "paid"]));
    assert_eq!(all(&records).iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [5, 6, 7]);
    Records::retain(&mut records, &mut |message| message.offset() != 6);
    assert_eq!(all(&records).iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(records.last(), Some(7));
}

#[test]
fn a_record_that_makes_no_sense_ends_the_list_and_a_wrong_checksum_does_not() {
    let mut wrong = plain(6, "sent");
    wrong[8] ^= 1; // the checksum
    let mut senseless = plain(7, "sent");
    senseless[4] ^= 1; // the magic
    let (records, error) = read(&[plain(5, "paid"), wrong, senseless, plain(8, "paid")], &Filter::all());
    assert!(matches!(error, Some(DecodeError::Magic(_))));
    assert_eq!(records.len(), 2);
    assert!(records.message(0).expect("it is there").defect().is_none());
    assert!(records.message(1).expect("it is there").defect().is_some_and(|defect| defect.contains("checksum")));
}
