//! Frames, headers, constants and signed content against the golden vectors of `vectors/`. Each test says how many cases it
//! ran, so that a file that lost its cases cannot pass.
//!
//! Left out: header classes that we have no type for, signatures (the transport makes them), defaults of Java's clients.

mod common;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use common::{AnyRequest, Case, FORMATS, Map, all, bytes, cases, check_request, command, fields, int, map, text, wire};
use ferrocket_protocol::{
    Command, Flags, HeaderFormat, Language, NoFields, ReadRequest, Request, RequestCode, RequestHead, Response,
    ResponseCode, WriteFields, body_crc, encode_request, encode_response,
    message::{CompressionKind, SysFlag},
    request::{
        CheckTransaction, CommitOffset, ConsumeDirectly, ConsumerList, CreateTopic, EndTransaction, FoundMessages,
        FoundOffset, GetConsumerList, GetConsumerStatus, GetMaxOffset, GetMinOffset, GetRoute, GetRunningInfo,
        Heartbeat, LockBatch, MembersChanged, OffsetAnswer, Pull, PullAnswer, PullAnswerFields, PullFlags, PushReply,
        QueryMessage, QueryOffset, ReadSendHeader, RecallMessage, RecallTarget, Recalled, ResetOffsets, SearchOffset,
        SendAnswer, SendBack, SendForm, SendHeader, SendMessage, Unregister, ViewMessage,
    },
    sign::signed_content,
    version_name,
};
use serde_json::Value;

// frames.json

/// Asserts that a command says what Java's decoded one says.
fn assert_command(command: &Command, decoded: &Value, name: &str) {
    assert_eq!(i64::from(command.code), int(decoded, "code"), "{name}");
    assert_eq!(command.language.map(Language::name), text(decoded, "language"), "{name}");
    assert_eq!(i64::from(command.version), int(decoded, "version"), "{name}");
    if decoded["opaque"] != "(fresh)" {
        assert_eq!(i64::from(command.opaque), int(decoded, "opaque"), "{name}");
    }
    assert_eq!(i64::from(command.flag), int(decoded, "flag"), "{name}");
    assert_eq!(command.remark().as_deref(), text(decoded, "remark"), "{name}");
    // A value of null is a field that is not there.
    assert_eq!(fields(command), map(&decoded["extFields"]), "{name}");
    assert_eq!(command.has_fields(), !decoded["extFields"].is_null(), "{name}");
    assert_eq!(command.body(), &bytes(decoded, "body"), "{name}");
    let format = if decoded["serialization"] == "JSON" { HeaderFormat::Json } else { HeaderFormat::Binary };
    assert_eq!(command.format(), format, "{name}");
    assert_eq!(Some(command.is_response()), decoded["isResponse"].as_bool(), "{name}");
    assert_eq!(Some(command.is_one_way()), decoded["isOneway"].as_bool(), "{name}");
}

#[test]
fn frames_of_java_are_read_as_java_reads_them() {
    let mut ran = [0; 2];
    for case in cases("frames", "") {
        let read = command(&bytes(case.output(), "frame")).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        assert_command(&read, &case.output()["decoded"], case.name());
        ran[usize::from(case.value["serialization"] == "ROCKETMQ")] += 1;
    }
    assert_eq!(ran, [44, 44]);
}

/// What we write of the same content reads back as the same content. Names that need escapes are left out: ours are
/// constants, and none does. Codes above 16 bits go as JSON, where Java cuts them.
#[test]
fn frames_are_written_so_that_they_read_as_in_java() {
    let (mut ran, mut odd_names) = (0, 0);
    for case in cases("frames", "") {
        let decoded = &case.output()["decoded"];
        let ext = map(&decoded["extFields"]);
        if ext.keys().any(|name| name.contains(['"', '\\'])) {
            odd_names += 1;
            continue;
        }
        let format = if decoded["serialization"] == "JSON" { HeaderFormat::Json } else { HeaderFormat::Binary };
        let request = AnyRequest::new(&ext, bytes(decoded, "body"));
        let (code, opaque) = (int(decoded, "code") as i32, int(decoded, "opaque") as i32);
        let mut out = BytesMut::new();
        let remark = text(decoded, "remark");
        let body = request.body.clone();
        let done = encode_response(opaque, ResponseCode(code), remark, &request, body, format, &mut out).unwrap();
        assert_eq!(done.body, None);
        let read = command(&out).unwrap();
        assert_eq!((read.code, read.opaque, read.flag), (code, opaque, Flags::RESPONSE), "{}", case.name());
        assert_eq!(read.remark().as_deref(), remark, "{}", case.name());
        assert_eq!(fields(&read), ext, "{}", case.name());
        assert_eq!(read.body(), &request.body, "{}", case.name());
        let format = if i16::try_from(code).is_ok() { format } else { HeaderFormat::Json };
        assert_eq!(read.format(), format, "{}", case.name());
        ran += 1;
    }
    assert_eq!((ran, odd_names), (86, 2));
}

#[test]
fn a_request_says_its_language_and_whether_it_is_one_way() {
    let mut ran = 0;
    for case in cases("frames", "").iter().filter(|case| case.name().starts_with("language ")) {
        let decoded = &case.output()["decoded"];
        for format in FORMATS {
            let mut head = RequestHead::new(int(decoded, "opaque") as i32, format).one_way();
            head.language = Language::from_name(text(decoded, "language").unwrap()).unwrap();
            let mut out = BytesMut::new();
            let _ = encode_request(&AnyRequest::default(), &head, &[], &mut out).unwrap();
            let read = command(&out).unwrap();
            assert_eq!(read.language.map(Language::name), text(decoded, "language"), "{}", case.name());
            assert!(read.is_one_way() && !read.is_response());
        }
        ran += 1;
    }
    assert_eq!(ran, 28);
}

#[test]
fn odd_frames_are_read_where_java_reads_them_and_refused_where_java_throws() {
    // Java throws on a language number that it does not know, and reads such a name; we read both.
    const MORE_LENIENT: &str = "JSON unknown language number";
    let (mut read, mut refused, mut lenient) = (0, 0, 0);
    for case in cases("frames", "decodeOnly") {
        let result = command(&bytes(case.input(), "frame"));
        if case.name() == MORE_LENIENT {
            assert_eq!(result.unwrap().language, None);
            lenient += 1;
        } else if case.fails() {
            assert!(result.is_err(), "{}: {result:?}", case.name());
            refused += 1;
        } else {
            let command = result.unwrap_or_else(|error| panic!("{}: {error}", case.name()));
            assert_command(&command, case.output(), case.name());
            read += 1;
        }
    }
    assert_eq!((read, refused, lenient), (24, 19, 1));
}

// headers.json

/// The examples of a header class: the full one in both formats, and the minimal one.
fn examples(class: &str) -> Vec<(String, Command)> {
    let cases = all("headers");
    let case = cases.iter().find(|case| case.name() == class).unwrap_or_else(|| panic!("no class {class}"));
    let full = &case.value["full"];
    let mut examples = Vec::new();
    for frame in ["frame", "binaryFrame"] {
        let command = command(&bytes(full, frame)).unwrap();
        assert_eq!(fields(&command), map(&full["ext"]), "{class}");
        examples.push((format!("{class}, full {frame}"), command));
    }
    let minimal = AnyRequest::new(&map(&case.value["minimal"]["ext"]), Bytes::new());
    for format in FORMATS {
        examples.push((format!("{class}, minimal {format:?}"), command(&wire(&minimal, format)).unwrap()));
    }
    examples
}

/// A header class and its type: reads every example, writes the same, and lists the fields of Java's that we do not have.
fn check_class<R: ReadRequest + Request + PartialEq + std::fmt::Debug>(class: &str, without: &[&str]) {
    let cases = all("headers");
    let case = cases.iter().find(|case| case.name() == class).unwrap();
    let codes = case.value["codes"].as_array().unwrap();
    assert!(codes.iter().any(|code| int(code, "code") == i64::from(R::CODE.0)), "{class}");
    for (name, command) in examples(class) {
        let read = check_request::<R>(&command, &name);
        if name.contains("full") {
            let again = common::command(&wire(&read, HeaderFormat::Json)).unwrap();
            let missing: Vec<_> = difference(&fields(&command), &fields(&again));
            assert_eq!(missing, without, "{class}");
        }
    }
}

fn difference(all: &Map, known: &Map) -> Vec<String> {
    all.keys().filter(|name| !known.contains_key(*name)).cloned().collect()
}

#[test]
fn request_headers_are_read_and_written_as_java_does() {
    check_class::<Unregister>("UnregisterClientRequestHeader", &["bname", "ns", "nsd"]);
    check_class::<Pull>(
        "PullMessageRequestHeader",
        &["liteTopic", "lo", "maxMsgBytes", "ns", "nsd", "proxyFrowardClientId", "requestSource"],
    );
    check_class::<QueryOffset>("QueryConsumerOffsetRequestHeader", &["lo", "ns", "nsd"]);
    check_class::<CommitOffset>("UpdateConsumerOffsetRequestHeader", &["lo", "ns", "nsd"]);
    check_class::<SearchOffset>("SearchOffsetRequestHeader", &["liteTopic", "lo", "ns", "nsd"]);
    check_class::<GetConsumerList>("GetConsumerListByGroupRequestHeader", &["ns", "nsd"]);
    check_class::<SendBack>("ConsumerSendMsgBackRequestHeader", &["ns", "nsd"]);
    check_class::<MembersChanged>("NotifyConsumerIdsChangedRequestHeader", &["bname", "ns", "nsd"]);
    check_class::<CreateTopic>("CreateTopicRequestHeader", &["bname", "force", "lo", "ns", "nsd"]);
    check_class::<GetRoute>("namesrv.GetRouteInfoRequestHeader", &["bname", "lo", "ns", "nsd"]);
    check_class::<EndTransaction>("EndTransactionRequestHeader", &["ns", "nsd"]);
    check_class::<CheckTransaction>("CheckTransactionStateRequestHeader", &["ns", "nsd"]);
    check_class::<PushReply>("ReplyMessageRequestHeader", &["lo", "ns", "nsd"]);
    check_class::<RecallMessage>("RecallMessageRequestHeader", &["lo", "ns", "nsd"]);
    check_class::<Heartbeat>("HeartbeatRequestHeader", &["bname", "ns", "nsd"]);
    check_class::<LockBatch>("LockBatchMqRequestHeader", &["bname", "ns", "nsd"]);
    check_class::<QueryMessage>("QueryMessageRequestHeader", &["lo", "ns", "nsd"]);
    check_class::<ViewMessage>("ViewMessageRequestHeader", &[]);
    check_class::<ResetOffsets>("ResetOffsetRequestHeader", &["bname", "lo", "ns", "nsd"]);
    check_class::<GetConsumerStatus>("GetConsumerStatusRequestHeader", &["bname", "lo", "ns", "nsd"]);
    check_class::<GetRunningInfo>("GetConsumerRunningInfoRequestHeader", &["bname", "ns", "nsd"]);
    check_class::<ConsumeDirectly>("ConsumeMessageDirectlyResultRequestHeader", &["bname", "lo", "ns", "nsd"]);
}

/// These two always write the broker's name; the minimal example has none, so only reading is compared there.
#[test]
fn queue_headers_are_read_and_written_as_java_does() {
    fn check<R: ReadRequest + Request + PartialEq + std::fmt::Debug>(class: &str) -> usize {
        let mut ran = 0;
        for (name, command) in examples(class) {
            if name.contains("full") {
                check_request::<R>(&command, &name);
            } else {
                let read = R::read_request(&command).unwrap();
                let again = common::command(&wire(&read, HeaderFormat::Json)).unwrap();
                assert_eq!(fields(&again)["bname"], "");
            }
            ran += 1;
        }
        ran
    }
    assert_eq!(check::<GetMaxOffset>("GetMaxOffsetRequestHeader"), 4);
    assert_eq!(check::<GetMinOffset>("GetMinOffsetRequestHeader"), 4);
}

#[test]
fn the_send_header_is_read_and_written_as_java_does() {
    let mut ran = 0;
    for (name, read_command) in examples("SendMessageRequestHeaderV2") {
        let read = ReadSendHeader::read_request(&read_command).unwrap();
        let ext = fields(&read_command);
        let group = read.group.clone().unwrap();
        let default_topic = read.default_topic.clone().unwrap();
        let properties = read.properties.clone().unwrap_or_default();
        let broker = read.broker.clone().unwrap_or_default();
        let send = SendMessage {
            form: SendForm::Message,
            header: SendHeader {
                group: group.as_str(),
                topic: read.topic.as_str(),
                default_topic: default_topic.as_str(),
                default_topic_queues: read.default_topic_queues.unwrap(),
                queue_id: read.queue_id,
                sys_flag: read.sys_flag.unwrap(),
                born_ms: read.born_ms.unwrap(),
                flag: read.flag.unwrap(),
                properties: &properties,
                reconsume_times: read.reconsume_times.unwrap_or(0),
                unit_mode: ext.get("k").is_some_and(|value| value == "true"),
                max_reconsume_times: read.max_reconsume_times,
                batch: read.batch.unwrap_or(false),
                broker: &broker,
            },
            body: Bytes::from_static(b"hi"),
        };
        for format in FORMATS {
            let again = command(&wire(&send, format)).unwrap();
            assert_eq!(again.code, RequestCode::SEND_MESSAGE_V2.0);
            assert_eq!(&again.body()[..], b"hi");
            let written = fields(&again);
            for (form, code) in [
                (SendForm::Batch, RequestCode::SEND_BATCH_MESSAGE),
                (SendForm::Reply, RequestCode::SEND_REPLY_MESSAGE_V2),
            ] {
                let other = command(&wire(&SendMessage { form, ..send.clone() }, format)).unwrap();
                assert_eq!((other.code, other.body(), &fields(&other)), (code.0, again.body(), &written));
            }
            if name.contains("full") {
                assert_eq!(written, ext, "{name}");
            } else {
                for (field, value) in &ext {
                    assert_eq!(written.get(field), Some(value), "{name}: {field}");
                }
            }
        }
        ran += 1;
    }
    assert_eq!(ran, 4);
}

/// What we wrote of an answer, read again.
fn answered(answer: &dyn WriteFields, code: ResponseCode, body: Bytes, format: HeaderFormat) -> Command {
    let mut out = BytesMut::new();
    let done = encode_response(9, code, None, answer, body, format, &mut out).unwrap();
    assert_eq!(done.body, None);
    command(&out).unwrap()
}

#[test]
fn offset_answers_are_read_and_written_as_java_does() {
    let mut ran = 0;
    for class in ["QueryConsumerOffset", "SearchOffset", "GetMaxOffset", "GetMinOffset"] {
        for (name, command) in examples(&format!("{class}ResponseHeader")) {
            let offset: u64 = fields(&command)["offset"].parse().unwrap();
            assert_eq!(u64::read(command.clone()).unwrap(), offset, "{name}");
            // The minimal example was sent as a request with a code of its own.
            if name.contains("full") {
                assert_eq!(FoundOffset::read(command).unwrap(), FoundOffset(Some(offset)), "{name}");
            }
            for format in FORMATS {
                let again = answered(&OffsetAnswer::new(offset as i64), ResponseCode::SUCCESS, Bytes::new(), format);
                assert_eq!(u64::read(again), Ok(offset), "{name}");
            }
            ran += 1;
        }
    }
    let none = answered(&OffsetAnswer::new(-1i64), ResponseCode::QUERY_NOT_FOUND, Bytes::new(), HeaderFormat::Json);
    assert_eq!(FoundOffset::read(none), Ok(FoundOffset(None)));
    let negative = answered(&OffsetAnswer::new(-1i64), ResponseCode::SUCCESS, Bytes::new(), HeaderFormat::Json);
    assert_eq!(FoundOffset::read(negative.clone()), Ok(FoundOffset(None)));
    assert!(u64::read(negative).is_err());
    for (name, command) in examples("UpdateConsumerOffsetResponseHeader") {
        assert_eq!(<()>::read(command), Ok(()), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 20);
}

#[test]
fn pull_answers_are_read_and_written_as_java_does() {
    let mut ran = 0;
    for (name, command) in examples("PullMessageResponseHeader") {
        let ext = fields(&command);
        let answer = PullAnswer::read(command).unwrap();
        let number = |field: &str| ext.get(field).map_or(0, |value| value.parse::<u64>().unwrap());
        assert_eq!(answer.next_offset, number("nextBeginOffset"), "{name}");
        assert_eq!(answer.min_offset, number("minOffset"), "{name}");
        assert_eq!(answer.max_offset, number("maxOffset"), "{name}");
        assert_eq!(answer.suggested_broker, number("suggestWhichBrokerId"), "{name}");
        assert_eq!(answer.offset_delta as u64, number("offsetDelta"), "{name}");
        for format in FORMATS {
            let again = answered(&answer, answer.code, Bytes::new(), format);
            for (field, value) in fields(&again) {
                assert_eq!(ext.get(&field), Some(&value), "{name}: {field}");
            }
            assert_eq!(PullAnswer::read(again).unwrap(), answer, "{name}");
        }
        ran += 1;
    }
    assert_eq!(ran, 4);
    // Zero and "not there" are the same to a reader of the delta.
    let fields_only =
        answered(&PullAnswerFields::new(3, 1, 2), ResponseCode::SUCCESS, Bytes::new(), HeaderFormat::Json);
    assert_eq!(PullAnswer::read(fields_only).unwrap(), PullAnswer::new(ResponseCode::SUCCESS, 2, 1, 3, Bytes::new()));
}

#[test]
fn send_answers_are_read_and_written_as_java_does() {
    let mut ran = 0;
    for (name, command) in examples("SendMessageResponseHeader") {
        let ext = fields(&command);
        let answer = SendAnswer::read(command).unwrap();
        assert_eq!(&*answer.message_id, ext["msgId"], "{name}");
        assert_eq!(answer.queue_id.to_string(), ext["queueId"], "{name}");
        assert_eq!(answer.queue_offset.to_string(), ext["queueOffset"], "{name}");
        assert_eq!(answer.transaction_id.as_deref(), ext.get("transactionId").map(String::as_str), "{name}");
        assert_eq!(answer.recall_handle.as_deref(), ext.get("recallHandle").map(String::as_str), "{name}");
        assert_eq!(answer.batch_id.as_deref(), ext.get("batchUniqId").map(String::as_str), "{name}");
        for format in FORMATS {
            let again = answered(&answer, answer.code, Bytes::new(), format);
            let mut written = fields(&again);
            // Brokers add these two, and so do we as a server.
            assert!(written.remove("MSG_REGION").is_some() && written.remove("TRACE_ON").is_some());
            assert_eq!(written, ext, "{name}");
            assert_eq!(SendAnswer::read(again).unwrap(), answer, "{name}");
        }
        ran += 1;
    }
    assert_eq!(ran, 4);
}

#[test]
fn answers_to_queries_and_recalls_are_read_and_written_as_java_does() {
    let mut ran = 0;
    for (name, command) in examples("QueryMessageResponseHeader") {
        let ext = fields(&command);
        let answer = FoundMessages::read(command).unwrap();
        assert_eq!(answer.index_end.to_string(), ext["indexLastUpdatePhyoffset"], "{name}");
        assert_eq!(answer.index_updated_ms.to_string(), ext["indexLastUpdateTimestamp"], "{name}");
        for format in FORMATS {
            let again = answered(&answer, answer.code, Bytes::new(), format);
            assert_eq!(fields(&again), ext, "{name}");
            assert_eq!(FoundMessages::read(again).unwrap(), answer, "{name}");
        }
        ran += 1;
    }
    let bare = answered(&NoFields, ResponseCode::QUERY_NOT_FOUND, Bytes::new(), HeaderFormat::Json);
    assert_eq!(FoundMessages::read(bare), Ok(FoundMessages::new(0, 0, Bytes::new())));
    let bare = answered(&NoFields, ResponseCode::SUCCESS, Bytes::new(), HeaderFormat::Json);
    assert!(FoundMessages::read(bare).is_err());
    for (name, command) in examples("RecallMessageResponseHeader") {
        let ext = fields(&command);
        let answer = Recalled::read(command).unwrap();
        assert_eq!(answer.message_id, ext["msgId"], "{name}");
        for format in FORMATS {
            let again = answered(&answer, ResponseCode::SUCCESS, Bytes::new(), format);
            assert_eq!(fields(&again), ext, "{name}");
            assert_eq!(Recalled::read(again), Ok(answer.clone()), "{name}");
        }
        ran += 1;
    }
    for class in ["EndTransactionResponseHeader", "ViewMessageResponseHeader"] {
        for (name, command) in examples(class) {
            assert!(fields(&command).is_empty(), "{name}");
            ran += 1;
        }
    }
    assert_eq!(ran, 16);
}

#[test]
fn a_member_list_answer_has_no_fields() {
    let mut ran = 0;
    for (name, command) in examples("GetConsumerListByGroupResponseHeader") {
        assert!(fields(&command).is_empty(), "{name}");
        let mut list = ConsumerList::default();
        list.consumer_id_list.push("10.0.0.9@1#2".to_owned());
        let again = answered(&NoFields, ResponseCode::SUCCESS, list.to_body(), HeaderFormat::Json);
        assert_eq!(ConsumerList::read(again), Ok(list));
        ran += 1;
    }
    assert_eq!(ran, 4);
}

/// Java sets a field that it cannot read to null, and fails later where the field is needed; we refuse at once. Where Java
/// reads a value, we read the same.
#[test]
fn odd_ext_fields_are_read_or_refused() {
    fn expect<T: std::fmt::Debug>(case: &Case, result: Result<T, ferrocket_protocol::DecodeError>, required: &[&str]) {
        let whole = !case.fails() && required.iter().all(|name| !case.output()[*name].is_null());
        assert_eq!(result.is_ok(), whole, "{}: {result:?}", case.name());
    }
    let mut ran = BTreeMap::new();
    for case in cases("headers", "decodeOnly") {
        let class = text(&case.value, "header").unwrap().to_owned();
        for format in FORMATS {
            let command = command(&wire(&AnyRequest::new(&map(&case.input()["ext"]), Bytes::new()), format)).unwrap();
            match class.as_str() {
                "GetMaxOffsetRequestHeader" => {
                    let read = GetMaxOffset::read_request(&command);
                    if let Ok(read) = &read {
                        assert_eq!(i64::from(read.queue.id()), int(case.output(), "queueId"), "{}", case.name());
                    }
                    expect(&case, read, &["topic", "queueId"]);
                }
                "SearchOffsetRequestHeader" => {
                    expect(&case, SearchOffset::read_request(&command), &["topic", "queueId", "timestamp"]);
                }
                "PullMessageRequestHeader" => {
                    expect(&case, Pull::read_request(&command), &["topic", "queueId", "queueOffset"]);
                }
                "SendMessageRequestHeaderV2" => {
                    let read = ReadSendHeader::read_request(&command);
                    assert_eq!(read.as_ref().unwrap().broker.as_deref(), text(case.output(), "n"), "{}", case.name());
                    expect(&case, read, &["b", "e"]);
                }
                "SendMessageResponseHeader" => {
                    let read = SendAnswer::read(command);
                    expect(&case, read, &["msgId", "queueId", "queueOffset"]);
                }
                other => panic!("{other}: no type"),
            }
        }
        *ran.entry(class).or_insert(0) += 1;
    }
    assert_eq!(ran.values().sum::<usize>(), 26);
    assert_eq!(ran.into_values().collect::<Vec<_>>(), [16, 2, 5, 1, 2]);
}

// constants.json

fn constants(name: &str) -> Value {
    all("constants").into_iter().find(|case| case.name() == name).unwrap_or_else(|| panic!("{name}")).output().clone()
}

#[test]
fn request_codes_are_those_of_java() {
    let table = constants("constants of remoting.protocol.RequestCode");
    for (name, code) in table.as_object().unwrap() {
        assert_eq!(RequestCode(code.as_i64().unwrap() as i32).name(), Some(name.as_str()));
    }
    let ours = (-10_000..300_000).filter(|code| RequestCode(*code).name().is_some()).count();
    assert_eq!((ours, table.as_object().unwrap().len()), (ours, ours));
    assert!(ours > 150, "{ours}");
}

#[test]
fn response_codes_are_those_of_java() {
    let table = constants("constants of remoting.protocol.ResponseCode");
    for (name, code) in table.as_object().unwrap() {
        assert_eq!(ResponseCode(code.as_i64().unwrap() as i32).name(), Some(name.as_str()));
    }
    let ours = (-10_000..300_000).filter(|code| ResponseCode(*code).name().is_some()).count();
    assert_eq!(ours, table.as_object().unwrap().len());
    assert!(ours > 60, "{ours}");
}

#[test]
fn language_codes_are_those_of_java() {
    let table = constants("language codes");
    for (name, code) in table.as_object().unwrap() {
        let language = Language::from_name(name).unwrap();
        assert_eq!(i64::from(language.code()), code.as_i64().unwrap());
        assert_eq!(Language::from_code(code.as_i64().unwrap()), Some(language));
        assert_eq!(language.name(), name);
    }
    assert_eq!(table.as_object().unwrap().len(), 14);
    assert_eq!(Language::from_code(14), None);
    assert_eq!(Language::from_code(-1), None);
}

#[test]
fn pull_flags_are_those_of_java() {
    const CLASS_FILTER: i32 = 8; // dead, and not ours
    let bits = [
        ("commitOffset", PullFlags::COMMIT_OFFSET),
        ("suspend", PullFlags::SUSPEND),
        ("subscription", PullFlags::SUBSCRIPTION),
        ("classFilter", CLASS_FILTER),
        ("litePull", PullFlags::LITE),
    ];
    let mut ran = 0;
    for case in cases("constants", "pullFlag") {
        let flag: i32 = bits.iter().filter(|(name, _)| case.input()[*name] == true).map(|(_, bit)| bit).sum();
        assert_eq!(i64::from(flag), int(case.output(), "flag"), "{}", case.name());
        assert_eq!(i64::from(flag & !PullFlags::COMMIT_OFFSET), int(case.output(), "withoutCommit"), "{}", case.name());
        assert_eq!(i64::from(flag & !PullFlags::SUSPEND), int(case.output(), "withoutSuspend"), "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 32);
}

#[test]
fn message_flags_are_those_of_java() {
    let table = constants("constants of common.sysflag.MessageSysFlag");
    let ours = [
        ("COMPRESSED_FLAG", SysFlag::COMPRESSED),
        ("TRANSACTION_PREPARED_TYPE", SysFlag::TRANSACTION_PREPARED),
        ("TRANSACTION_COMMIT_TYPE", SysFlag::TRANSACTION_COMMIT),
        ("TRANSACTION_ROLLBACK_TYPE", SysFlag::TRANSACTION_ROLLBACK),
        ("BORNHOST_V6_FLAG", SysFlag::BORN_HOST_V6),
        ("STOREHOSTADDRESS_V6_FLAG", SysFlag::STORE_HOST_V6),
        ("NEED_UNWRAP_FLAG", SysFlag::NEED_UNWRAP),
        ("INNER_BATCH_FLAG", SysFlag::INNER_BATCH),
    ];
    for (name, bit) in ours {
        assert_eq!(int(&table, name), i64::from(bit), "{name}");
    }
    let kinds = [("LZ4", CompressionKind::Lz4), ("ZSTD", CompressionKind::Zstd), ("ZLIB", CompressionKind::Zlib)];
    for (name, kind) in kinds {
        let bits = int(&constants("compression types")[name], "sysFlagBits") as i32;
        assert_eq!(SysFlag(0).with_compression(kind), SysFlag(bits | SysFlag::COMPRESSED), "{name}");
        assert_eq!(SysFlag(0x704).with_compression(kind), SysFlag(bits | SysFlag::COMPRESSED | 4), "{name}");
    }
}

#[test]
fn message_flags_say_what_they_say_in_java() {
    let (mut ran, mut compressed) = (0, 0);
    for case in cases("messages", "sysFlag") {
        let (flag, out) = (SysFlag(int(case.input(), "sysFlag") as i32), case.output());
        let transaction = int(out, "transaction") as i32;
        for bits in [SysFlag::TRANSACTION_PREPARED, SysFlag::TRANSACTION_COMMIT, SysFlag::TRANSACTION_ROLLBACK] {
            assert_eq!(flag.has(bits), transaction & bits == bits, "{}", case.name());
        }
        // Java answers for bodies that are not compressed too.
        if flag.has(SysFlag::COMPRESSED) {
            let kind = matches!(
                (out["compressionType"].as_str(), flag.compression()),
                (Some("LZ4"), Ok(Some(CompressionKind::Lz4)))
                    | (Some("ZSTD"), Ok(Some(CompressionKind::Zstd)))
                    | (Some("ZLIB"), Ok(Some(CompressionKind::Zlib)))
                    | (None, Err(_))
            );
            assert!(kind, "{}: {:?}", case.name(), flag.compression());
            compressed += 1;
        } else {
            assert_eq!(flag.compression(), Ok(None), "{}", case.name());
        }
        ran += 1;
    }
    assert_eq!((ran, compressed), (13, 6));
}

#[test]
fn checksums_are_those_of_java() {
    let mut ran = 0;
    for case in cases("messages", "crc") {
        let crc = body_crc(text(case.input(), "text").unwrap().as_bytes());
        assert_eq!(i64::from(crc), int(case.output(), "crc"), "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 6);
}

#[test]
fn version_numbers_have_their_names() {
    let table = constants("version descriptions");
    assert_eq!(table["current"], ferrocket_protocol::VERSION);
    assert_eq!(Some(version_name(479).as_str()), text(&table, "479"));
    assert_eq!(version_name(ferrocket_protocol::VERSION), "V5_5_0");
    assert_eq!(version_name(99_999), "version 99999");
}

// acl.json

/// The fields of the request, and those that the hook adds, in their order.
fn split(ext: &Map) -> (Map, Vec<(&'static str, &str)>) {
    const ADDED: [&str; 3] = ["AccessKey", "SecurityToken", "Signature"];
    let own = ext.iter().filter(|(name, _)| !ADDED.contains(&name.as_str()));
    let added = ADDED.iter().filter_map(|name| Some((*name, ext.get(*name)?.as_str())));
    (own.map(|(name, value)| (name.clone(), value.clone())).collect(), added.collect())
}

#[test]
fn the_signed_content_is_byte_for_byte_that_of_java() {
    let (mut ran, mut left_out) = (0, 0);
    for case in cases("acl", "sign") {
        // A value of null ("null" in Java) and an empty secret: our types have no null, and the secret is the transport's.
        if case.name() == "null value" || case.fails() {
            left_out += 1;
            continue;
        }
        let mut ext = map(&case.input()["fields"]);
        // An old signature is never part of it; ours is added after the content was made.
        ext.remove("Signature");
        let (own, added) = split(&ext);
        let mut content = BytesMut::from(&b"before "[..]);
        signed_content(&AnyRequest::new(&own, bytes(case.input(), "body")), &added, &mut content);
        let mut expected = b"before ".to_vec();
        expected.extend_from_slice(&bytes(case.output(), "content"));
        assert_eq!(content, expected, "{}", case.name());
        ran += 1;
    }
    assert_eq!((ran, left_out), (12, 2));
}

#[test]
fn fields_of_the_hook_are_merged_into_those_of_the_request() {
    let mut ran = 0;
    for case in cases("acl", "hook") {
        let before = command(&bytes(case.input(), "frameBefore")).unwrap();
        let expected = map(&case.output()["extFields"]);
        let (own, added) = split(&expected);
        assert_eq!(own, fields(&before), "{}", case.name());
        assert_eq!(fields(&command(&bytes(case.output(), "frame")).unwrap()), expected, "{}", case.name());
        for format in FORMATS {
            let mut out = BytesMut::new();
            let request = AnyRequest::new(&own, before.body().clone());
            let _ = encode_request(&request, &RequestHead::new(1, format), &added, &mut out).unwrap();
            let after = command(&out).unwrap();
            assert_eq!(fields(&after), expected, "{}", case.name());
            let names: Vec<_> = after.fields().map(|field| field.unwrap().0.into_owned()).collect();
            assert!(names.is_sorted(), "{names:?}");
            assert_eq!(after.body(), before.body(), "{}", case.name());
        }
        ran += 1;
    }
    assert_eq!(ran, 8);
}

#[test]
fn a_request_of_the_same_field_wins_over_an_extra_one() {
    let own = Map::from([("b".to_owned(), "own".to_owned())]);
    let request = AnyRequest::new(&own, Bytes::new());
    let extra = [("a", "extra"), ("b", "extra"), ("c", "extra")];
    for format in FORMATS {
        let mut out = BytesMut::new();
        let _ = encode_request(&request, &RequestHead::new(1, format), &extra, &mut out).unwrap();
        let read: Vec<_> =
            fields(&command(&out).unwrap()).into_iter().map(|(name, value)| name + "=" + &value).collect();
        assert_eq!(read, ["a=extra", "b=own", "c=extra"]);
    }
}

// ids.json

/// Handles are written byte for byte. An empty topic, which Java reads, is no topic that anything was sent to.
#[test]
fn recall_handles_are_written_and_read_as_java_does() {
    let (mut written, mut read, mut refused, mut stricter) = (0, 0, 0, 0);
    for case in cases("ids", "recall") {
        let (input, handle) = (case.input(), text(case.output(), "handle").unwrap());
        let target = RecallTarget {
            topic: text(input, "topic").unwrap().into(),
            broker: text(input, "brokerName").unwrap().into(),
            timestamp: text(input, "timestamp").unwrap().to_owned(),
            message_id: text(input, "messageId").unwrap().to_owned(),
        };
        assert_eq!(target.write(), handle, "{}", case.name());
        assert_eq!(RecallTarget::read(handle), Some(target), "{}", case.name());
        written += 1;
    }
    for case in cases("ids", "recallDecode") {
        let Some(handle) = text(case.input(), "handle") else { continue };
        let target = RecallTarget::read(handle);
        if case.fails() {
            assert_eq!(target, None, "{}", case.name());
            refused += 1;
        } else if text(case.output(), "topic") == Some("") {
            assert_eq!(target, None, "{}", case.name());
            stricter += 1;
        } else {
            let target = target.unwrap_or_else(|| panic!("{}", case.name()));
            assert_eq!(Some(target.topic.as_str()), text(case.output(), "topic"), "{}", case.name());
            assert_eq!(Some(target.message_id.as_str()), text(case.output(), "messageId"), "{}", case.name());
            read += 1;
        }
    }
    assert_eq!((written, read, refused, stricter), (4, 4, 6, 1));
}
