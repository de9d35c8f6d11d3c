//! What a peer can make us do (S4, R14, R16): claims are checked before anything is allocated, nesting and counts are
//! limited, and no header makes the reader panic.

mod common;

use bytes::{Bytes, BytesMut};
use common::{AnyRequest, Map, answer, command};
use ferrocket_model::MessageQueue;
use ferrocket_protocol::{
    Command, DecodeError, EncodeError, Frame, HeaderFormat, RequestHead,
    body::{BrokerAddresses, HeartbeatData, QueueData, RunningInfo, TopicRoute},
    encode_request, limits,
    message::{BatchRecords, StoredMessages},
    normalize_json,
    request::{ConsumerList, ResetOffsets, ResetOffsetsHeader},
};
use serde_json::Value;

fn frame(header: &[u8], format: u8) -> Vec<u8> {
    let mut out = ((4 + header.len()) as u32).to_be_bytes().to_vec();
    out.extend_from_slice(&((u32::from(format) << 24) | header.len() as u32).to_be_bytes());
    out.extend_from_slice(header);
    out
}

fn json(header: &str) -> Result<Command, DecodeError> {
    command(&frame(header.as_bytes(), 0))
}

/// A binary header: code 1, Java, version 1, opaque 2, flag 0, then these bytes.
fn binary(rest: &[u8]) -> Result<Command, DecodeError> {
    let mut header = vec![0, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
    header.extend_from_slice(rest);
    command(&frame(&header, 1))
}

fn reset_offsets(body: &str) -> Result<Vec<(MessageQueue, u64)>, DecodeError> {
    let body = Bytes::from(body.to_owned());
    ResetOffsets { header: ResetOffsetsHeader::new("g", true, 1, "T"), body }.offsets()
}

fn decode(bytes: &[u8]) -> (Result<Option<Frame>, DecodeError>, BytesMut) {
    let mut buffer = BytesMut::from(bytes);
    let capacity = buffer.capacity();
    let result = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES);
    assert!(buffer.capacity() <= capacity, "nothing is allocated for a claim");
    (result, buffer)
}

/// S4, R14: 2 GiB, negative lengths, and lengths below the 4 bytes that every frame has are refused from the first 4 bytes on.
#[test]
fn s4_impossible_frame_lengths_are_refused_at_once() {
    let limit = limits::MAX_FRAME_BYTES;
    for claimed in [i32::MAX, 0x4000_0000, limit as i32, limit as i32 - 3, -1, i32::MIN, 0, 1, 2, 3] {
        let (result, rest) = decode(&claimed.to_be_bytes());
        assert_eq!(result.unwrap_err(), DecodeError::FrameLength { claimed: claimed.into(), limit }, "{claimed}");
        assert_eq!(rest.len(), 4, "nothing was consumed");
    }
}

/// S4: the largest frame is the one of Java's servers, its own 4 length bytes included.
#[test]
fn s4_the_largest_frame_is_taken_and_one_byte_more_is_not() {
    let mut bytes = vec![0; limits::MAX_FRAME_BYTES];
    bytes[..4].copy_from_slice(&(limits::MAX_FRAME_BYTES as u32 - 4).to_be_bytes());
    bytes[4..8].copy_from_slice(&2u32.to_be_bytes());
    bytes[8..10].copy_from_slice(b"{}");
    let mut buffer = BytesMut::from(&bytes[..]);
    let frame = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES).unwrap().unwrap();
    assert_eq!((frame.header.len(), frame.body.len(), buffer.len()), (2, limits::MAX_FRAME_BYTES - 10, 0));
    let mut buffer = BytesMut::from(&bytes[..]);
    assert!(Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES - 1).is_err());
    // A limit below everything refuses everything, and does not overflow.
    for max in 0..8 {
        assert!(Frame::decode(&mut BytesMut::from(&[0, 0, 0, 4, 0, 0, 0, 0][..]), max).is_err(), "{max}");
    }
}

/// R14: what a claim asks for is never more than the claim, and nothing for impossible ones.
#[test]
fn r14_missing_is_a_claim_and_no_panic() {
    assert_eq!(Frame::missing(b""), 8);
    assert_eq!(Frame::missing(&[0, 0]), 6);
    assert_eq!(Frame::missing(&[0x7f, 0xff, 0xff, 0xff]), i32::MAX as usize);
    assert_eq!(Frame::missing(&[0xff; 4]), 0);
    assert_eq!(Frame::missing(&[0, 0, 0, 10, 0]), 9);
}

/// R14: a header that is longer than its frame.
#[test]
fn r14_a_header_longer_than_its_frame_is_refused_before_it_is_there() {
    let (result, rest) = decode(&[0, 0, 0, 10, 0, 0, 0, 7]);
    assert_eq!(result.unwrap_err(), DecodeError::HeaderLength { claimed: 7, limit: 6 });
    assert_eq!(rest.len(), 8);
    assert!(decode(&[0, 0, 0, 10, 0, 0, 0, 6]).0.unwrap().is_none());
}

/// R16: a header above 64 KiB is refused before it is there.
#[test]
fn r16_a_header_above_its_limit_is_refused_before_it_is_there() {
    let claim = |header: usize| {
        let mut bytes = (1_000_000u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&(header as u32).to_be_bytes());
        decode(&bytes).0
    };
    assert!(claim(limits::MAX_HEADER_BYTES).unwrap().is_none());
    let limit = limits::MAX_HEADER_BYTES;
    assert_eq!(claim(limit + 1).unwrap_err(), DecodeError::HeaderLength { claimed: limit + 1, limit });
    assert_eq!(claim(0xFF_FFFF).unwrap_err(), DecodeError::HeaderLength { claimed: 0xFF_FFFF, limit });
}

#[test]
fn r14_an_unknown_serialization_is_refused_before_the_frame_is_there() {
    for format in 2..=255 {
        assert_eq!(decode(&[0, 0, 0, 50, format, 0, 0, 20]).0.unwrap_err(), DecodeError::Serialization(format));
    }
}

/// R16: at most 1,024 ext fields, in both formats; duplicates count.
#[test]
fn r16_too_many_ext_fields_are_refused() {
    let json_fields = |count: usize| {
        let fields: Vec<_> = (0..count).map(|index| format!("\"{index}\":\"\"")).collect();
        json(&format!("{{\"extFields\":{{{}}}}}", fields.join(",")))
    };
    assert_eq!(json_fields(limits::MAX_EXT_FIELDS).unwrap().fields().count(), limits::MAX_EXT_FIELDS);
    let too_many = DecodeError::TooManyFields(limits::MAX_EXT_FIELDS);
    assert_eq!(json_fields(limits::MAX_EXT_FIELDS + 1).unwrap_err(), too_many);
    let binary_fields = |count: usize| {
        let mut rest = vec![0; 4];
        rest.extend_from_slice(&((count * 8) as u32).to_be_bytes());
        (0..count).for_each(|_| rest.extend_from_slice(b"\0\x01a\0\0\0\x01b"));
        binary(&rest)
    };
    assert_eq!(binary_fields(limits::MAX_EXT_FIELDS).unwrap().fields().count(), limits::MAX_EXT_FIELDS);
    assert_eq!(binary_fields(limits::MAX_EXT_FIELDS + 1).unwrap_err(), too_many);
}

/// R14: nesting is limited, so that no JSON overflows the stack: in headers, in their ext fields, in keys, in bodies.
#[test]
fn r14_deep_nesting_is_refused_and_does_not_overflow_the_stack() {
    // A thread with a small stack, so that recursion without a limit would not survive.
    let check = || {
        let deep = 100_000;
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{{", "}:1}"), ("[{\"a\":", "}]"), ("{'a':", "}")] {
            let nested = open.repeat(deep) + "1" + &close.repeat(deep);
            for body in [nested.clone(), format!("{{\"a\":{nested}}}"), open.repeat(deep)] {
                assert!(normalize_json(body.as_bytes()).is_err(), "{open}");
                assert!(TopicRoute::read_body(body.as_bytes()).is_err(), "{open}");
                assert!(HeartbeatData::read(body.as_bytes()).is_err(), "{open}");
                assert!(RunningInfo::read_body(body.as_bytes()).is_err(), "{open}");
                assert!(reset_offsets(&body).is_err(), "{open}");
            }
            // A header is at most 64 KiB.
            let nested = open.repeat(6_000) + "1" + &close.repeat(6_000);
            assert!(nested.len() < limits::MAX_HEADER_BYTES);
            for header in
                [nested.clone(), format!("{{\"x\":{nested}}}"), format!("{{\"extFields\":{{\"a\":{nested}}}}}")]
            {
                assert!(json(&header).is_err(), "{open}");
            }
        }
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(check).unwrap().join().unwrap();
}

/// R14: keys nested in keys, each of them JSON within a text, are as deep as any: the reader of a key does not read the keys in it.
#[test]
fn r14_keys_within_keys_are_not_followed() {
    let mut key = r#"{"brokerName":"b","queueId":1,"topic":"t"}"#.to_owned();
    for _ in 0..10 {
        key = format!("{{{}:1,\"brokerName\":\"b\",\"queueId\":1,\"topic\":\"t\"}}", Value::from(key));
    }
    assert!(key.len() > 2_000);
    let read = reset_offsets(&format!("{{\"offsetTable\":{{{key}:7}}}}")).unwrap();
    assert_eq!(read, [(MessageQueue::new("t", "b", 1), 7)]);
}

#[test]
fn r14_nesting_up_to_the_limit_is_read() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let taken = (1..200).filter(|depth| normalize_json(nested(*depth).as_bytes()).is_ok()).max().unwrap();
    assert!(taken.abs_diff(limits::MAX_JSON_DEPTH) <= 1, "{taken}");
    let header = |depth: usize| json(&format!("{{\"extFields\":{{\"a\":{}}}}}", nested(depth)));
    assert_eq!(header(40).unwrap().fields().find("a").unwrap().unwrap(), nested(40));
    assert!(header(100).is_err());
}

#[test]
fn later_duplicates_win_in_both_formats() {
    let command =
        json("{\"code\":1,\"code\":2,\"extFields\":{\"x\":\"0\"},\"extFields\":{\"a\":\"1\",\"a\":\"2\"}}").unwrap();
    assert_eq!(command.code, 2);
    assert_eq!(common::fields(&command), Map::from([("a".to_owned(), "2".to_owned())]));
    assert_eq!(command.fields().find("a").unwrap().unwrap(), "2");
    let command = binary(b"\0\0\0\0\0\0\0\x10\0\x01a\0\0\0\x011\0\x01a\0\0\0\x012").unwrap();
    assert_eq!(command.fields().count(), 2);
    assert_eq!(command.fields().find("a").unwrap().unwrap(), "2");
}

#[test]
fn r14_text_that_is_not_utf8_is_refused() {
    for header in [
        &b"{\"remark\":\"\xff\xfe\"}"[..],
        b"{\"extFields\":{\"a\":\"\xff\"}}",
        b"{\"extFields\":{\"\xff\":\"a\"}}",
        b"{\"x\":\"\xc3\"}",
        b"\xff",
    ] {
        assert!(command(&frame(header, 0)).is_err(), "{header:?}");
    }
    assert!(matches!(binary(b"\0\0\0\x01\xff\0\0\0\0"), Err(DecodeError::Utf8(_))));
    assert!(matches!(binary(b"\0\0\0\0\0\0\0\x08\0\x01\xff\0\0\0\x01b"), Err(DecodeError::Utf8(_))));
    assert!(matches!(binary(b"\0\0\0\0\0\0\0\x08\0\x01a\0\0\0\x01\xff"), Err(DecodeError::Utf8(_))));
    for body in [&b"{\"brokerDatas\":[{\"brokerName\":\"\xff\"}]}"[..], b"{'\xff':1}", b"\xff"] {
        assert!(TopicRoute::read_body(body).is_err(), "{body:?}");
    }
}

/// Half of a pair of surrogates is no character; it becomes the replacement character, and nothing is lost around it.
#[test]
fn lone_surrogates_are_replaced() {
    let command = json(r#"{"remark":"a\ud83dz\ude00\ud83d\u0041\ud83d\ude00"}"#).unwrap();
    assert_eq!(command.remark().unwrap(), "a\u{fffd}z\u{fffd}\u{fffd}A😀");
    let ends = json(r#"{"remark":"\ud800\udc00\udbff\udfff\ud800\ue000\ud7ff"}"#).unwrap();
    assert_eq!(ends.remark().unwrap(), "\u{10000}\u{10ffff}\u{fffd}\u{e000}\u{d7ff}");
    for odd in [r#""\u12""#, r#""\u+123""#, r#""\uzzzz""#] {
        // Ext fields are refused as a whole, before anybody acts on them.
        assert!(json(&format!("{{\"extFields\":{{{odd}:1}}}}")).is_err(), "{odd}");
        assert!(json(&format!("{{\"extFields\":{{\"a\":{odd}}}}}")).is_err(), "{odd}");
        // A remark explains; one that cannot be read does not cost the answer.
        assert_eq!(json(&format!("{{\"remark\":{odd}}}")).unwrap().remark(), None, "{odd}");
    }
}

#[test]
fn numbers_of_a_header_are_read_in_their_range() {
    for (text, expected) in [
        ("2147483647", Some(i32::MAX)),
        ("-2147483648", Some(i32::MIN)),
        ("2147483648", None),
        ("99999999999999999999", None),
        ("\"12\"", Some(12)),
        ("'12'", Some(12)),
        ("12.0", Some(12)),
        ("null", Some(0)),
        ("12.5", None),
        ("true", None),
        ("\"\"", None),
        ("[1]", None),
        ("-", None),
        ("1-2", None),
    ] {
        let read = json(&format!("{{\"code\":{text}}}"));
        assert_eq!(read.ok().map(|command| command.code), expected, "{text}");
    }
}

/// R14: lengths in a binary header that are negative or lead out of it.
#[test]
fn r14_binary_lengths_that_lead_out_are_refused() {
    let lengths = |rest: &[u8]| matches!(binary(rest), Err(DecodeError::Lengths(_)));
    for rest in [
        &b""[..],
        b"\0\0\0",
        b"\0\0\0\x01",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff\0\0\0\0",
        b"\0\0\0\0",
        b"\0\0\0\0\0\0\0\x01",
        b"\0\0\0\0\x7f\xff\xff\xff",
        b"\0\0\0\0\xff\xff\xff\xff",
        b"\0\0\0\0\0\0\0\x01\0",
        b"\0\0\0\0\0\0\0\x03\0\x01a",
        b"\0\0\0\0\0\0\0\x07\x7f\xffa\0\0\0\0",
        b"\0\0\0\0\0\0\0\x07\xff\xffa\0\0\0\0",
        b"\0\0\0\0\0\0\0\x08\0\x01a\x7f\xff\xff\xffb",
        b"\0\0\0\0\0\0\0\x08\0\x01a\xff\xff\xff\xffb",
    ] {
        assert!(lengths(rest), "{rest:?}");
    }
    for short in 0..13 {
        assert!(command(&frame(&vec![0; short], 1)).is_err(), "{short}");
    }
    assert!(binary(b"\0\0\0\0\0\0\0\0").is_ok());
}

/// R14: sizes and lengths in stored messages and batches; nothing is allocated for them.
#[test]
fn r14_lengths_in_messages_that_lead_out_are_refused() {
    for size in [i32::MAX, -1, i32::MIN, 0, 1, 90, 200] {
        let mut record = vec![0; 100];
        record[..4].copy_from_slice(&size.to_be_bytes());
        let record = Bytes::from(record);
        let read: Vec<_> = StoredMessages::new(&record).collect();
        assert_eq!(read.len(), 1, "{size}: one error, and then the end");
        assert!(read[0].is_err(), "{size}");
        let read: Vec<_> = BatchRecords::new(record).collect();
        assert!(read.last().unwrap().is_err(), "{size}");
    }
    let batch = |body: i32, properties: i16| {
        let mut record = Vec::new();
        for number in [23, 0, 0, 0, body] {
            record.extend_from_slice(&i32::to_be_bytes(number));
        }
        record.push(b'x');
        record.extend_from_slice(&properties.to_be_bytes());
        BatchRecords::new(record.into()).next().unwrap()
    };
    assert!(batch(1, 0).is_ok());
    for (body, properties) in [(i32::MAX, 0), (-1, 0), (2, 0), (1, 1), (1, -1), (1, i16::MAX), (i32::MIN, 0)] {
        assert!(batch(body, properties).is_err(), "{body} {properties}");
    }
}

/// R14: a route that claims more queues than any broker has is cut, not allocated.
#[test]
fn r14_queue_numbers_of_a_route_are_limited() {
    let queues = QueueData {
        broker_name: "b".to_owned(),
        perm: 6,
        read_queue_nums: u32::MAX,
        topic_sys_flag: 0,
        write_queue_nums: u32::MAX,
    };
    let mut route = TopicRoute::new(vec![BrokerAddresses::new("b", "c", "a:1")], vec![queues]);
    let topic = "T".into();
    let limit = TopicRoute::MAX_QUEUES_PER_BROKER as usize;
    assert_eq!(route.publish_queues(&topic).len(), limit);
    assert_eq!(route.subscribe_queues(&topic).len(), limit);
    route.order_conf = Some("b:4294967295".to_owned());
    assert_eq!(route.publish_queues(&topic).len(), limit);
    // Nor do many brokers together get as many as they claim.
    let body = format!(
        "{{\"queueDatas\":[{}]}}",
        vec![r#"{"brokerName":"b","perm":6,"readQueueNums":4294967295,"writeQueueNums":4294967295}"#; 2_000].join(",")
    );
    let mut route = TopicRoute::read_body(body.as_bytes()).unwrap();
    route.brokers = vec![BrokerAddresses::new("b", "c", "a:1")];
    assert!(route.publish_queues(&topic).len() <= 4 * limit);
    assert!(route.subscribe_queues(&topic).len() <= 4 * limit);
    route.order_conf = Some("b:4294967295;".repeat(2_000));
    assert!(route.publish_queues(&topic).len() <= 4 * limit);
    let body = br#"{"queueDatas":[{"brokerName":"b","perm":6,"readQueueNums":-1,"writeQueueNums":1}]}"#;
    assert!(TopicRoute::read_body(body).is_err());
}

/// S4: what a body makes us keep is bounded.
#[test]
fn s4_a_group_of_too_many_members_is_an_error() {
    let read = |count: usize| {
        let body = format!("{{\"consumerIdList\":[{}\"\"]}}", "\"\",".repeat(count - 1));
        answer::<ConsumerList>(body.into()).map(|list| list.consumer_id_list.len())
    };
    assert_eq!(read(limits::MAX_BODY_ENTRIES), Ok(limits::MAX_BODY_ENTRIES));
    assert!(read(limits::MAX_BODY_ENTRIES + 1).is_err());
}

/// R16: what does not fit the wire is refused, and the buffer is as it was.
#[test]
fn r16_what_servers_would_refuse_is_not_written() {
    let encode = |request: &AnyRequest, out: &mut BytesMut| {
        encode_request(request, &RequestHead::new(1, HeaderFormat::Json), &[], out)
    };
    let mut out = BytesMut::from(&b"before"[..]);
    let value = "x".repeat(limits::MAX_WRITTEN_HEADER_BYTES);
    let request = AnyRequest::new(&Map::from([("a".to_owned(), value)]), Bytes::new());
    assert!(matches!(encode(&request, &mut out), Err(EncodeError::HeaderTooLong { .. })));
    assert_eq!(out, "before");
    let request = AnyRequest::new(&Map::new(), Bytes::from(vec![0; limits::MAX_FRAME_BYTES]));
    assert!(matches!(encode(&request, &mut out), Err(EncodeError::FrameTooLong { .. })));
    assert_eq!(out, "before");
}

/// Errors say what is wrong, and never show what was in a field beyond its beginning (S4).
#[test]
fn s4_errors_and_debug_output_show_no_field_values() {
    let command = json("{\"extFields\":{\"Signature\":\"top secret\",\"AccessKey\":\"key\"}}").unwrap();
    let shown = format!("{command:?}");
    assert!(!shown.contains("secret") && !shown.contains("AccessKey"), "{shown}");
}
