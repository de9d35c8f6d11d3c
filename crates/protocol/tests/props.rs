//! Property tests of the codec.

mod common;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use bytes::{Buf, Bytes, BytesMut};
use common::{AnyRequest, FORMATS, Map, command, fields};
use ferrocket_model::MessageQueue;
use ferrocket_protocol::{
    Command, Flags, Frame, HeaderFormat, Language, NoFields, ReadRequest, Request, RequestHead, Response, ResponseCode,
    WriteFields,
    body::{
        CheckClientData, DirectOutcome, DirectResult, HeartbeatData, LockedQueues, PopQueueInfo, QueueInfo,
        RunningInfo, SubscriptionData, TopicRoute, TopicStatus,
    },
    encode_request, encode_response, limits,
    message::{BatchRecords, StoredMessages, StoredParts, SysFlag, push_batch_record, write_stored},
    normalize_json,
    request::{
        CheckClient, CheckTransaction, CheckTransactionHeader, CommitOffset, ConsumeDirectly, ConsumeDirectlyHeader,
        ConsumerList, ConsumerStatus, CreateTopic, EndTransaction, FoundMessages, GetConsumerStatus, GetMaxOffset,
        GetRoute, GetRunningInfo, Heartbeat, LockBatch, Pull, PullAnswer, PushReply, PushReplyHeader, QueryMessage,
        QueryOffset, ReadSendHeader, RecallMessage, RecallTarget, ResetOffsets, ResetOffsetsHeader, SearchOffset,
        SendAnswer, SendBack, SendForm, SendHeader, SendMessage, Unregister, ViewMessage,
    },
    sign::signed_content,
};
use proptest::prelude::*;
use serde_json::Value;

/// Texts with what hurts: separators of properties, quotes, escapes, everything Unicode, nothing.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\u{0}-\u{1f}\"'\\\\/{}:,\u{7f}é中😀\u{2028}]{0,12}",
        Just(String::new()),
        Just("WAIT\u{1}true\u{2}".to_owned()),
    ]
}

fn format() -> impl Strategy<Value = HeaderFormat> {
    prop::sample::select(FORMATS.to_vec())
}

fn language() -> impl Strategy<Value = Language> {
    (0i64..14).prop_map(|code| Language::from_code(code).unwrap())
}

/// Ext fields with names as ours are: no escapes in them.
fn ext() -> impl Strategy<Value = Map> {
    prop::collection::btree_map("[a-zA-Z0-9_]{1,8}|[é中]{1,2}", nasty(), 0..8)
}

/// What the binary header cannot say: an empty text is the same as no field.
fn as_written(map: &Map, format: HeaderFormat) -> Map {
    let keep = |value: &String| format == HeaderFormat::Json || !value.is_empty();
    map.iter().filter(|(_, value)| keep(value)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Any JSON value, not too deep.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300f64..1e300).prop_map(Value::from),
        nasty().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(nasty(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A frame with this header text and body.
fn frame(header: &[u8], body: &[u8], format: u8) -> BytesMut {
    let mut out = BytesMut::new();
    out.extend_from_slice(&((4 + header.len() + body.len()) as u32).to_be_bytes());
    out.extend_from_slice(&((u32::from(format) << 24) | header.len() as u32).to_be_bytes());
    out.extend_from_slice(header);
    out.extend_from_slice(body);
    out
}

/// Everything that can be asked of a command.
fn ask(command: &Command) {
    let _ = (command.remark(), command.fields().count(), command.has_fields(), command.is_response());
    let _ = (command.is_one_way(), command.response_code(), format!("{command:?}"), command.fields().find("a"));
    let _ = ReadSendHeader::read_request(command);
    let _ = Pull::read_request(command);
    let _ = GetMaxOffset::read_request(command);
    let _ = CreateTopic::read_request(command);
    let _ = SendBack::read_request(command);
    let _ = Heartbeat::read_request(command).map(|heartbeat| heartbeat.data());
    let _ = SendAnswer::read(command.clone());
    let _ = PullAnswer::read(command.clone()).map(|answer| StoredMessages::new(&answer.messages).count());
    let _ = u64::read(command.clone());
    let _ = TopicRoute::read(command.clone());
    let _ = ConsumerList::read(command.clone());
    let _ = LockBatch::read_request(command).map(|lock| lock.data());
    let _ = LockedQueues::read(command.clone());
    let _ = PushReply::read_request(command);
    let _ = CheckTransaction::read_request(command).map(|check| StoredMessages::new(&check.body).count());
    let _ = RecallMessage::read_request(command).map(|recall| RecallTarget::read(&recall.handle));
    let _ = FoundMessages::read(command.clone()).map(|answer| StoredMessages::new(&answer.messages).count());
}

proptest! {
    /// A request reads back as it was written, in both formats.
    #[test]
    fn requests_round_trip(
        map in ext(), body in prop::collection::vec(any::<u8>(), 0..64), opaque: i32, format in format(),
        language in language(), one_way: bool, before in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let request = AnyRequest::new(&map, body.clone().into());
        let mut head = RequestHead::new(opaque, format);
        head.language = language;
        head.one_way = one_way;
        let mut out = BytesMut::from(&before[..]);
        let encoded = encode_request(&request, &head, &[], &mut out).unwrap();
        prop_assert_eq!(encoded.bytes, out.len() - before.len());
        prop_assert_eq!(&out[..before.len()], &before[..]);
        out.advance(before.len());
        let read = command(&out).unwrap();
        prop_assert_eq!((read.code, read.opaque), (AnyRequest::CODE.0, opaque));
        prop_assert_eq!((read.language, read.version), (Some(language), ferrocket_protocol::VERSION));
        prop_assert_eq!(read.flag, if one_way { Flags::ONE_WAY } else { 0 });
        prop_assert_eq!(read.remark(), None);
        prop_assert_eq!(fields(&read), as_written(&map, format));
        prop_assert_eq!(&read.body()[..], &body[..]);
        for (name, value) in as_written(&map, format) {
            prop_assert_eq!(read.fields().find(&name).unwrap(), Some(value.into()));
        }
        prop_assert_eq!(read.fields().find("no such field").unwrap(), None);
    }

    /// An answer reads back as it was written; a code above 16 bits goes as JSON.
    #[test]
    fn answers_round_trip(code: i32, remark in prop::option::of(nasty()), map in ext(), opaque: i32, format in format()) {
        let fits = i16::try_from(code).is_ok();
        let request = AnyRequest::new(&map, Bytes::new());
        let mut out = BytesMut::new();
        let done =
            encode_response(opaque, ResponseCode(code), remark.as_deref(), &request, Bytes::new(), format, &mut out);
        prop_assert_eq!(done.unwrap().bytes, out.len());
        let read = command(&out).unwrap();
        let format = if fits { format } else { HeaderFormat::Json };
        prop_assert_eq!((read.code, read.opaque, read.format()), (code, opaque, format));
        prop_assert!(read.is_response() && !read.is_one_way());
        prop_assert_eq!(fields(&read), as_written(&map, format));
        // An empty remark is none in the binary header.
        let remark = remark.filter(|remark| format == HeaderFormat::Json || !remark.is_empty());
        prop_assert_eq!(read.remark().map(|text| text.into_owned()), remark);
    }

    /// The text of a JSON header that we write is JSON for others too.
    #[test]
    fn json_headers_are_json_for_others(map in ext(), remark in nasty(), opaque: i32) {
        let request = AnyRequest::new(&map, Bytes::new());
        let mut out = BytesMut::new();
        let json = HeaderFormat::Json;
        let _ = encode_response(opaque, ResponseCode(7), Some(&remark), &request, Bytes::new(), json, &mut out).unwrap();
        let header: Value = serde_json::from_slice(&out[8..]).unwrap();
        prop_assert_eq!(&header["remark"], &Value::from(remark));
        prop_assert_eq!(&header["opaque"], &Value::from(opaque));
        prop_assert_eq!(common::map(&header["extFields"]), map);
    }

    /// Differential: of any JSON object we read what `serde_json` reads; fields that are no texts come as their JSON text.
    #[test]
    fn ext_fields_are_those_that_serde_json_reads(
        ext in prop::collection::btree_map(nasty(), json(), 0..6), remark in prop::option::of(nasty()),
        others in prop::collection::btree_map("[g-k]{1,3}", json(), 0..3), opaque: i32, code: i32, pretty: bool,
    ) {
        let mut header = serde_json::Map::new();
        header.insert("code".to_owned(), code.into());
        header.insert("opaque".to_owned(), opaque.into());
        header.insert("remark".to_owned(), remark.clone().into());
        header.insert("extFields".to_owned(), Value::Object(ext.clone().into_iter().collect()));
        header.extend(others);
        let text = if pretty { serde_json::to_vec_pretty(&header) } else { serde_json::to_vec(&header) }.unwrap();
        let theirs: Value = serde_json::from_slice(&text).unwrap();
        let read = command(&frame(&text, b"", 0)).unwrap();
        prop_assert_eq!((read.code, read.opaque), (code, opaque));
        prop_assert_eq!(read.remark().map(|text| text.into_owned()), remark);
        let ours = fields(&read);
        prop_assert_eq!(ours.len(), ext.values().filter(|value| !value.is_null()).count());
        for (name, value) in theirs["extFields"].as_object().unwrap() {
            match value {
                Value::Null => prop_assert!(!ours.contains_key(name)),
                Value::String(text) => prop_assert_eq!(&ours[name], text),
                other => prop_assert_eq!(&serde_json::from_str::<Value>(&ours[name]).unwrap(), other),
            }
        }
    }

    /// Any JSON stays as it is, and is not copied.
    #[test]
    fn standard_json_is_borrowed(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let standard = normalize_json(&text).unwrap();
        prop_assert!(matches!(standard, std::borrow::Cow::Borrowed(_)));
        prop_assert_eq!(&*standard, &text[..]);
    }

    /// Bare keys, object keys, single quotes and trailing commas become what a map with text keys says.
    #[test]
    fn odd_json_becomes_standard(
        map in prop::collection::btree_map(any::<i64>(), nasty(), 0..5),
        objects in prop::collection::btree_map(("[a-z]{1,3}", any::<u16>()), any::<i32>(), 0..4),
        single in "[^'\\\\\u{0}-\u{1f}]{0,8}", comma: bool,
    ) {
        let comma = if comma { "," } else { "" };
        let mut odd = format!("{{ 'single' : '{single}' ,\"bare\":{{");
        let bare: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{}", Value::from(value.as_str()))).collect();
        odd += &bare.join(", ");
        odd += if bare.is_empty() { "" } else { comma };
        odd += "},\"objects\":{";
        let keyed: Vec<_> =
            objects.iter().map(|((name, id), value)| format!("{{\"n\":\"{name}\",\"id\":{id}}}:{value}")).collect();
        odd += &keyed.join(",");
        odd += "},\"list\":[1,[],{}";
        odd += comma;
        odd += "]";
        odd += comma;
        odd += "}";
        let standard: Value = serde_json::from_slice(&normalize_json(odd.as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(&standard["single"], &Value::from(single));
        let expected: BTreeMap<_, _> = map.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
        prop_assert_eq!(common::map(&standard["bare"]), expected);
        prop_assert_eq!(standard["objects"].as_object().unwrap().len(), objects.len());
        for (key, value) in standard["objects"].as_object().unwrap() {
            let key: Value = serde_json::from_str(key).unwrap();
            let named = (key["n"].as_str().unwrap().to_owned(), key["id"].as_u64().unwrap() as u16);
            prop_assert_eq!(&Value::from(objects[&named]), value);
        }
        prop_assert_eq!(standard["list"].as_array().unwrap().len(), 3);
    }

    /// However the stream is cut into reads, the same frames come out; an incomplete frame leaves the buffer as it was, and
    /// `missing` never asks for more than the frame lacks.
    #[test]
    fn a_frame_split_anywhere_decodes_the_same(
        map in ext(), body in prop::collection::vec(any::<u8>(), 0..40), format in format(), rest in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let whole = common::wire(&AnyRequest::new(&map, body.into()), format);
        let expected = Frame::decode(&mut whole.clone(), limits::MAX_FRAME_BYTES).unwrap().unwrap();
        for split in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..split]);
            prop_assert!(Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES).unwrap().is_none());
            prop_assert_eq!(&buffer[..], &whole[..split]);
            let missing = Frame::missing(&buffer);
            prop_assert!(missing > 0 && missing <= whole.len() - split, "{} at {}", missing, split);
            if split >= 4 {
                prop_assert_eq!(missing, whole.len() - split);
            }
            buffer.extend_from_slice(&whole[split..]);
            buffer.extend_from_slice(&rest);
            let frame = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES).unwrap().unwrap();
            prop_assert_eq!(&frame.header, &expected.header);
            prop_assert_eq!(&frame.body, &expected.body);
            prop_assert_eq!(&buffer[..], &rest[..]);
        }
    }

    /// R14: no bytes make the readers panic; a frame takes what it says, and nothing else.
    #[test]
    fn r14_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), max in 0usize..300) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let _ = Frame::missing(&bytes);
        match Frame::decode(&mut buffer, max) {
            Ok(Some(frame)) => {
                prop_assert_eq!(8 + frame.header.len() + frame.body.len() + buffer.len(), bytes.len());
                prop_assert!(8 + frame.header.len() + frame.body.len() <= max);
                if let Ok(command) = Command::read(frame) {
                    ask(&command);
                }
            }
            Ok(None) | Err(_) => prop_assert_eq!(&buffer[..], &bytes[..]),
        }
        let shared = Bytes::from(bytes.clone());
        let records: Vec<_> = StoredMessages::new(&shared).collect();
        prop_assert!(records.iter().filter_map(|record| record.as_ref().ok()).map(|record| record.bytes as usize).sum::<usize>() <= bytes.len());
        let _ = BatchRecords::new(shared).count();
        let _ = TopicRoute::read_body(&bytes);
        let _ = HeartbeatData::read(&bytes);
        let _ = normalize_json(&bytes);
    }

    /// R14: nor do headers whose frame is right.
    #[test]
    fn r14_arbitrary_headers_never_panic(
        header in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..120),
            "[{}\\[\\],:\"'\\\\u0-9a-f nulltrue.eE+-]{0,60}".prop_map(String::into_bytes),
            "\\{(\"(code|extFields|remark|language|opaque)\":[{}\\[\\],:\"'\\\\0-9a null]{0,12},?){0,4}\\}".prop_map(String::into_bytes),
        ],
        format in 0u8..2,
    ) {
        if let Ok(command) = command(&frame(&header, b"", format)) {
            ask(&command);
            // What `read` took as ext fields can be gone through without error.
            for field in command.fields() {
                prop_assert!(field.is_ok(), "{:?}", field);
            }
        }
    }

    /// What is standard JSON after all must be what `normalize_json` makes of it; what it makes is JSON, if all texts are.
    #[test]
    fn what_serde_json_takes_is_taken(text in "[{}\\[\\],:\"'\\\\u0-9a-f nulltrue.eE+-]{0,40}") {
        if serde_json::from_str::<Value>(&text).is_ok() {
            prop_assert!(normalize_json(text.as_bytes()).is_ok(), "{}", text);
        }
    }

    /// A stored message reads back as it was written.
    #[test]
    fn stored_messages_round_trip(
        numbers: (i32, i32, i64, i64, i64, i64, i32, i64), born: (IpAddr, u16), store: (IpAddr, u16),
        sys_flag in 0i32..0x800, body in prop::collection::vec(any::<u8>(), 0..300),
        topic in "[a-zA-Z%_-]{0,255}|[é中😀]{0,40}", properties in nasty(), copies in 1usize..4,
    ) {
        let (queue_id, flag, queue_offset, commit_log_offset, born_ms, stored_ms, reconsume_times, prepared_offset) = numbers;
        let parts = StoredParts {
            queue_id, flag, queue_offset, commit_log_offset, sys_flag: SysFlag(sys_flag), born_ms,
            born_host: SocketAddr::new(born.0, born.1), stored_ms, store_host: SocketAddr::new(store.0, store.1),
            reconsume_times, prepared_offset, body: &body, topic: &topic, properties: &properties,
        };
        let mut out = BytesMut::new();
        let sizes: Vec<_> = (0..copies).map(|_| write_stored(&parts, &mut out)).collect();
        prop_assert_eq!(sizes.iter().sum::<usize>(), out.len());
        let buffer = out.freeze();
        let read: Vec<_> = StoredMessages::new(&buffer).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), copies);
        for message in &read {
            prop_assert_eq!(
                (message.queue_id, message.flag, message.queue_offset, message.commit_log_offset, message.born_ms,
                    message.stored_ms, message.reconsume_times, message.prepared_offset),
                numbers_in_order(&parts)
            );
            prop_assert_eq!((message.born_host, message.store_host), (Some(parts.born_host), Some(parts.store_host)));
            prop_assert_eq!((message.body, message.topic, message.properties), (&body[..], topic.as_str(), properties.as_bytes()));
            prop_assert!(message.is_intact);
            let hosts = SysFlag::BORN_HOST_V6 | SysFlag::STORE_HOST_V6;
            prop_assert_eq!(message.sys_flag.0 & !hosts, sys_flag & !hosts);
            prop_assert_eq!(message.sys_flag.has(SysFlag::BORN_HOST_V6), born.0.is_ipv6());
            prop_assert_eq!(message.sys_flag.has(SysFlag::STORE_HOST_V6), store.0.is_ipv6());
        }
        // One flipped bit in a body is found, unless nobody asks.
        if !body.is_empty() {
            let at = sizes[0] - 2 - properties.len() - topic.len() - if topic.len() > 127 { 2 } else { 1 } - 1;
            let mut broken = BytesMut::from(&buffer[..]);
            broken[at] ^= 1;
            let broken = broken.freeze();
            prop_assert!(!StoredMessages::new(&broken).next().unwrap().unwrap().is_intact);
            prop_assert!(StoredMessages::new(&broken).without_crc().next().unwrap().unwrap().is_intact);
        }
    }

    /// A batch reads back as it was written.
    #[test]
    fn batches_round_trip(records in prop::collection::vec((any::<i32>(), prop::collection::vec(any::<u8>(), 0..50), nasty()), 0..6)) {
        let mut out = BytesMut::new();
        for (flag, body, properties) in &records {
            push_batch_record(*flag, body, properties, &mut out);
        }
        let read: Vec<_> = BatchRecords::new(out.freeze()).collect::<Result<_, _>>().unwrap();
        let read: Vec<_> = read
            .into_iter()
            .map(|record| (record.flag, record.body.to_vec(), String::from_utf8(record.properties.to_vec()).unwrap()))
            .collect();
        prop_assert_eq!(read, records);
    }

    /// What is signed is what is sent: the values of all fields in the order of their names, then the body.
    #[test]
    fn the_signed_content_is_what_is_sent(map in ext(), key in nasty(), token in nasty(), body in prop::collection::vec(any::<u8>(), 0..20)) {
        let request = AnyRequest::new(&map, body.clone().into());
        let extra = [("AccessKey", key.as_str()), ("SecurityToken", token.as_str())];
        let mut content = BytesMut::new();
        signed_content(&request, &extra, &mut content);
        let mut out = BytesMut::new();
        let _ = encode_request(&request, &RequestHead::new(1, HeaderFormat::Json), &extra, &mut out).unwrap();
        let sent = command(&out).unwrap();
        let mut expected: Vec<u8> = fields(&sent).into_values().flat_map(String::into_bytes).collect();
        expected.extend_from_slice(&body);
        prop_assert_eq!(&content[..], &expected[..]);
    }

    /// A send says under each letter what its header says.
    #[test]
    fn a_send_writes_each_field_under_its_letter(
        texts in prop::array::uniform5(nasty()), numbers: (u32, i32, i32, i64, i32, i32), flags: (bool, bool),
        most in prop::option::of(any::<i32>()), body in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let [group, topic, default_topic, properties, broker] = texts.map(|text| text + "x");
        let (queues, queue_id, sys_flag, born_ms, flag, reconsume_times) = numbers;
        let (unit_mode, batch) = flags;
        let header = SendHeader {
            group: &group, topic: &topic, default_topic: &default_topic, default_topic_queues: queues, queue_id, sys_flag,
            born_ms, flag, properties: &properties, reconsume_times, unit_mode, max_reconsume_times: most, batch,
            broker: &broker,
        };
        let send = SendMessage { form: SendForm::Message, header, body: body.clone().into() };
        for format in FORMATS {
            let read = command(&common::wire(&send, format)).unwrap();
            prop_assert_eq!(&read.body()[..], &body[..]);
            let mut expected: Map = [
                ("a", group.clone()), ("b", topic.clone()), ("c", default_topic.clone()), ("d", queues.to_string()),
                ("e", queue_id.to_string()), ("f", sys_flag.to_string()), ("g", born_ms.to_string()),
                ("h", flag.to_string()), ("i", properties.clone()), ("j", reconsume_times.to_string()),
                ("k", unit_mode.to_string()), ("m", batch.to_string()), ("n", broker.clone()),
            ].into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            expected.extend(most.map(|most| ("l".to_owned(), most.to_string())));
            prop_assert_eq!(fields(&read), expected);
            let typed = ReadSendHeader::read_request(&read).unwrap();
            prop_assert_eq!((typed.batch, typed.max_reconsume_times), (Some(batch), most));
            prop_assert_eq!((typed.topic.as_str(), typed.queue_id), (topic.as_str(), queue_id));
        }
    }

    /// Typed requests with any texts and numbers.
    #[test]
    fn typed_requests_round_trip(
        texts in prop::array::uniform3(nasty()), broker in prop::option::of(nasty()), queue: u32, signed: i64, level: i32, yes: bool,
    ) {
        // No field may be empty in the binary header, where that means "not there".
        let [group, topic, other] = texts.map(|text| text + "x");
        let broker = broker.map(|text| text + "x");
        let queue_id = queue >> 1;
        let offset = signed.unsigned_abs() >> 1;
        let mut commit = CommitOffset::new(offset, group.as_str(), queue_id, topic.as_str());
        commit.broker = broker.clone();
        round_trip(&commit)?;
        let mut query = QueryOffset::new(group.as_str(), queue_id, topic.as_str());
        query.broker = broker.clone();
        query.zero_if_not_found = Some(yes);
        round_trip(&query)?;
        let mut search = SearchOffset::new(queue_id, signed, topic.as_str());
        search.boundary = broker.clone();
        round_trip(&search)?;
        let mut route = GetRoute::new(topic.as_str());
        route.standard_json = Some(yes);
        round_trip(&route)?;
        let mut unregister = Unregister::new(other.as_str());
        unregister.consumer_group = Some(group.as_str().into());
        round_trip(&unregister)?;
        let mut back = SendBack::new(level, group.as_str(), signed, yes);
        back.origin_message_id = Some(other.clone());
        back.max_reconsume_times = Some(level);
        round_trip(&back)?;
        round_trip(&CreateTopic::with_queues(topic.as_str(), queue_id))?;
        let mut end = EndTransaction::new(signed, level, yes, other.as_str(), group.as_str(), signed);
        end.transaction_id = broker.clone();
        end.topic = Some(topic.as_str().into());
        round_trip(&end)?;
        let mut header = CheckTransactionHeader::new(signed, signed);
        (header.broker_message_id, header.transaction_id) = (broker.clone(), Some(other.clone()));
        header.message_id = broker.clone();
        round_trip(&CheckTransaction { header, body: Bytes::from(group.clone()) })?;
        let mut header = PushReplyHeader::new(
            other.as_str(), signed, level, group.as_str(), level, other.as_str(), signed, level, topic.as_str(),
        );
        (header.properties, header.reconsume_times) = (broker.clone(), Some(level));
        (header.default_topic, header.unit_mode) = (Some(group.as_str().into()), Some(yes));
        round_trip(&PushReply { header, body: Bytes::from(group.clone()) })?;
        let mut query = QueryMessage::new(signed, signed, other.as_str(), level, topic.as_str());
        (query.unique, query.index_type, query.last_key) = (Some(yes), broker.clone(), Some(other.clone()));
        round_trip(&query)?;
        let mut view = ViewMessage::new(signed);
        view.topic = Some(topic.as_str().into());
        round_trip(&view)?;
        let mut recall = RecallMessage::new(other.as_str(), topic.as_str());
        (recall.broker, recall.group) = (broker.clone(), Some(group.as_str().into()));
        round_trip(&recall)?;
        let mut status = GetConsumerStatus::new(group.as_str(), topic.as_str());
        status.client = broker.clone();
        round_trip(&status)?;
        round_trip(&GetRunningInfo::new(other.as_str(), group.as_str(), yes))?;
        let mut header = ConsumeDirectlyHeader::new(group.as_str());
        (header.broker, header.client_id) = (broker.clone(), Some(other.clone()));
        (header.group_sys_flag, header.topic_sys_flag) = (Some(level), Some(level));
        (header.message_id, header.topic) = (broker, Some(topic.as_str().into()));
        round_trip(&ConsumeDirectly { header, body: Bytes::from(group.clone()) })?;
        let mut header = ResetOffsetsHeader::new(group.as_str(), yes, signed, topic.as_str());
        (header.offset, header.queue_id) = (Some(signed), Some(level));
        let offsets = [(MessageQueue::new(topic.as_str(), other.as_str(), queue_id), offset)];
        for reset in [ResetOffsets::new(header.clone(), &offsets), ResetOffsets::for_cpp(header, &offsets)] {
            round_trip(&reset)?;
            prop_assert_eq!(reset.offsets(), Ok(offsets.to_vec()));
        }
    }

    /// Bodies of administration with any texts and numbers. Where they can be JSON for others, they are.
    #[test]
    fn bodies_of_administration_round_trip(
        texts in prop::array::uniform4(nasty()), queue: u32, number: i64, small: i32, yes: bool,
        jstack in prop::option::of(nasty()),
    ) {
        let [topic, broker, key, value] = texts;
        let rate = f64::from(small) / 8.0;
        let queue = MessageQueue::new(topic.as_str(), broker.as_str(), queue >> 1);
        let pulled = QueueInfo {
            cached_count: small, cached_max_offset: number, cached_min_offset: number, cached_mib: small,
            commit_offset: number, dropped: yes, last_consume_ms: number, last_lock_ms: number, last_pull_ms: number,
            locked: !yes, transaction_count: small, transaction_max_offset: number, transaction_min_offset: number,
            unlock_attempts: number,
        };
        let status = TopicStatus {
            failed_messages: number, failed_per_second: rate, consumed_per_second: -rate, consume_ms: 1e20,
            pull_ms: 0.0, pulled_per_second: rate,
        };
        let subscription = SubscriptionData::new(&topic, &key.as_str().into(), number);
        let info = RunningInfo {
            jstack,
            pop_queues: [(queue.clone(), PopQueueInfo { dropped: yes, last_pop_ms: number, unacknowledged: small })].into(),
            queues: [(queue.clone(), pulled)].into(),
            properties: [(key.clone(), value.clone())].into(),
            topics: [(topic.clone(), status)].into(),
            subscriptions: vec![subscription.clone()],
            user_info: [(value.clone(), key.clone())].into(),
        };
        prop_assert_eq!(RunningInfo::read_body(&info.to_body()), Ok(info));
        let remark = Some(value.clone());
        let result = DirectResult { remark, ..DirectResult::new(DirectOutcome::Exception, yes, number.unsigned_abs() >> 1) };
        prop_assert_eq!(DirectResult::read_body(&result.to_body()), Ok(result));
        let check = CheckClientData { client_id: key, group: broker, namespace: Some(value), subscription_data: subscription };
        prop_assert_eq!(CheckClient::new(&check).data(), Ok(check));
    }

    /// R14: no body of administration makes a reader panic, whatever stands in it.
    #[test]
    fn r14_arbitrary_bodies_of_administration_never_panic(
        text in "(\\{\"(offsetTable|messageQueueTable|mqTable|consumeResult)\":)?[{}\\[\\],:\"'\\\\brokeNamtpicquIdfs0-9.-]{0,60}",
    ) {
        let body = Bytes::from(text);
        let _ = ResetOffsets { header: ResetOffsetsHeader::new("g", true, 1, "T"), body: body.clone() }.offsets();
        let _ = (RunningInfo::read_body(&body), DirectResult::read_body(&body));
        let mut out = BytesMut::new();
        let _ = encode_response(1, ResponseCode::SUCCESS, None, &NoFields, body, HeaderFormat::Json, &mut out).unwrap();
        let _ = ConsumerStatus::read(command(&out).unwrap());
    }

    /// Any handle is read as it was written, and any text is read or refused.
    #[test]
    fn recall_handles_round_trip(words in prop::array::uniform3("[^ ]{1,200}"), time: i64, text in nasty()) {
        let [topic, broker, message_id] = words;
        let timestamp = time.to_string();
        let target = RecallTarget { topic: topic.into(), broker: broker.into(), timestamp, message_id };
        prop_assert_eq!(RecallTarget::read(&target.write()), Some(target));
        let _ = RecallTarget::read(&text);
    }
}

fn round_trip<R: ReadRequest + Request + PartialEq + std::fmt::Debug>(request: &R) -> Result<(), TestCaseError> {
    for format in FORMATS {
        let read = command(&common::wire(request, format)).unwrap();
        prop_assert_eq!(read.code, R::CODE.0);
        // A signature is over the fields in this order.
        prop_assert!(read.fields().map(|field| field.unwrap().0.into_owned()).is_sorted());
        prop_assert_eq!(&R::read_request(&read).unwrap(), request);
    }
    Ok(())
}

fn numbers_in_order(parts: &StoredParts<'_>) -> (i32, i32, i64, i64, i64, i64, i32, i64) {
    (
        parts.queue_id,
        parts.flag,
        parts.queue_offset,
        parts.commit_log_offset,
        parts.born_ms,
        parts.stored_ms,
        parts.reconsume_times,
        parts.prepared_offset,
    )
}

/// Large bodies follow as a segment of their own; the frame says their length all the same.
#[test]
fn a_large_body_is_not_copied() {
    for length in [limits::COPY_BODY_BYTES, limits::COPY_BODY_BYTES + 1, 100_000] {
        let body = Bytes::from(vec![7; length]);
        let mut out = BytesMut::new();
        let code = ResponseCode::SUCCESS;
        let done = encode_response(1, code, None, &NoFields, body.clone(), HeaderFormat::Json, &mut out).unwrap();
        assert_eq!(done.body.is_some(), length > limits::COPY_BODY_BYTES);
        if let Some(segment) = done.body {
            assert_eq!(segment.as_ptr(), body.as_ptr(), "shared");
            out.extend_from_slice(&segment);
        }
        assert_eq!(command(&out).unwrap().body(), &body);
    }
}

#[test]
fn no_fields_write_nothing() {
    let mut out = BytesMut::new();
    signed_content(&GetRoute::new("T"), &[], &mut out);
    assert_eq!(out, "T");
    struct Nothing;
    impl ferrocket_protocol::FieldSink for Nothing {
        fn text(&mut self, name: &'static str, _: &str) {
            panic!("{name}");
        }
        fn number(&mut self, name: &'static str, _: i64) {
            panic!("{name}");
        }
    }
    NoFields.write_fields(&mut Nothing);
}
