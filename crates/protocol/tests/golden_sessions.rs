//! Recorded conversations of Java clients, a name server and a broker: every frame is read, and what we have types for is
//! read and written as such. Each test says how many frames it ran.

mod common;

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};
use common::{FORMATS, Map, all, bytes, check_request, command, fields, int, text};
use ferrocket_model::{MessageId, UniqueIdParts, properties};
use ferrocket_protocol::{
    Command, Frame, HeaderFormat, NoFields, ReadRequest, Request, RequestCode, Response, ResponseCode, WriteFields,
    body::{DirectResult, HeartbeatData, RunningInfo, TopicRoute},
    encode_response, limits,
    message::{StoredMessages, SysFlag},
    request::{
        CheckClient, CheckTransaction, CommitOffset, ConsumeDirectly, ConsumerConnection, ConsumerList, ConsumerStatus,
        CreateTopic, EndTransaction, FoundMessage, FoundMessages, FoundOffset, GetConsumerConnection, GetConsumerList,
        GetConsumerStatus, GetMaxOffset, GetMinOffset, GetRoute, GetRunningInfo, Heartbeat, HeartbeatAnswer, LockBatch,
        MembersChanged, OffsetAnswer, Pull, PullAnswer, PullFlags, PushReply, QueryMessage, QueryOffset,
        ReadSendHeader, RecallMessage, RecallTarget, Recalled, SearchOffset, SendAnswer, SendBack, TransactionEnding,
        UnlockBatch, Unregister, ViewMessage,
    },
};

const FILES: [&str; 14] = [
    "session-acl",
    "session-admin",
    "session-binary-header",
    "session-broadcast",
    "session-filter",
    "session-heartbeat-v2",
    "session-lite-pull",
    "session-pop",
    "session-producer",
    "session-push-concurrent",
    "session-push-orderly",
    "session-request-reply",
    "session-trace",
    "session-transaction",
];

/// A frame of a session.
struct Step {
    name: String,
    what: String,
    bytes: Bytes,
    command: Command,
    /// What an answer answers.
    request: Option<RequestCode>,
}

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for file in FILES {
        // An answer goes the other way on the same connection, with the opaque of its request.
        let mut asked: HashMap<(i64, String, i32), RequestCode> = HashMap::new();
        for case in all(file) {
            let Some(what) = text(&case.value, "what") else { continue };
            let (name, bytes) = (format!("{file} {}: {what}", case.name()), bytes(&case.value, "bytes"));
            let command = command(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(i64::from(command.opaque), int(&case.value, "opaque"), "{name}");
            let connection = int(&case.value, "conn");
            let to = text(&case.value, "to").unwrap();
            let request = if command.is_response() {
                let other = if to == "client" { "server" } else { "client" };
                let code = asked.remove(&(connection, other.to_owned(), command.opaque));
                assert!(code.is_some(), "{name}: answers nothing");
                code
            } else {
                asked.insert((connection, to.to_owned(), command.opaque), RequestCode(command.code));
                None
            };
            steps.push(Step { name, what: what.to_owned(), bytes, command, request });
        }
    }
    steps
}

#[test]
fn every_frame_of_the_sessions_is_read_as_its_tap_named_it() {
    let (mut ran, mut answers, mut one_way, mut binary) = (0, 0, 0, 0);
    for step in steps() {
        let Step { name, what, command, request, .. } = &step;
        let expected = match request {
            Some(request) => format!(
                "response to {}: {} {}",
                request.name().unwrap(),
                command.code,
                command.response_code().name().unwrap()
            ),
            None => format!(
                "{} {} {}",
                if command.is_one_way() { "one-way" } else { "request" },
                command.code,
                RequestCode(command.code).name().unwrap()
            ),
        };
        assert_eq!(what, &expected, "{name}");
        ran += 1;
        answers += usize::from(request.is_some());
        one_way += usize::from(command.is_one_way());
        binary += usize::from(command.format() == HeaderFormat::Binary);
        fields(command);
    }
    assert_eq!((ran, answers, one_way), (906, 424, 40));
    assert!(binary > 20, "{binary}");
}

/// Frames that come in pieces, several in one read, are cut the same.
#[test]
fn a_stream_of_session_frames_is_cut_at_the_frames() {
    let steps = steps();
    let stream: Vec<u8> = steps.iter().flat_map(|step| step.bytes.iter().copied()).collect();
    for piece in [1_000, 4_096, 65_536] {
        let (mut buffer, mut cut) = (BytesMut::new(), 0);
        for chunk in stream.chunks(piece) {
            buffer.extend_from_slice(chunk);
            while let Some(frame) = Frame::decode(&mut buffer, limits::MAX_FRAME_BYTES).unwrap() {
                let expected = &steps[cut];
                assert_eq!(frame.header.len() + frame.body.len() + 8, expected.bytes.len(), "{}", expected.name);
                assert_eq!(frame.body, *expected.command.body(), "{}", expected.name);
                cut += 1;
            }
        }
        assert_eq!((cut, buffer.len()), (906, 0));
    }
}

#[test]
fn every_request_that_we_have_a_type_for_is_read_and_written() {
    let (mut typed, mut untyped, mut negative) = (BTreeMap::new(), BTreeMap::new(), 0);
    for step in steps() {
        if step.command.is_response() {
            continue;
        }
        let (command, name) = (&step.command, step.name.as_str());
        let code = RequestCode(command.code);
        match code {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => drop(check_request::<GetRoute>(command, name)),
            RequestCode::UNREGISTER_CLIENT => drop(check_request::<Unregister>(command, name)),
            RequestCode::HEART_BEAT => {
                let data = check_request::<Heartbeat>(command, name).data().unwrap();
                assert!(!data.client_id.is_empty(), "{name}");
                let again = HeartbeatData::read(&data.to_body()).unwrap();
                assert_eq!(again, data, "{name}");
                let java: serde_json::Value = serde_json::from_slice(command.body()).unwrap();
                assert_eq!(serde_json::to_value(&data).unwrap(), java, "{name}");
            }
            RequestCode::PULL_MESSAGE if fields(command)["commitOffset"] == "-1" => {
                // "Nothing to store" of an admin tool; 0 means the same without the bit.
                let Pull(header) = Pull::read_request(command).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!((header.commit_offset, header.sys_flag & PullFlags::COMMIT_OFFSET), (0, 0), "{name}");
                negative += 1;
            }
            RequestCode::PULL_MESSAGE => drop(check_request::<Pull>(command, name)),
            RequestCode::LITE_PULL_MESSAGE => {
                // The same header under another code.
                let Pull(header) = Pull::read_request(command).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_same(&Pull(header), &fields(command), name);
            }
            RequestCode::QUERY_CONSUMER_OFFSET => drop(check_request::<QueryOffset>(command, name)),
            RequestCode::UPDATE_CONSUMER_OFFSET => drop(check_request::<CommitOffset>(command, name)),
            RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => drop(check_request::<SearchOffset>(command, name)),
            RequestCode::GET_MAX_OFFSET => drop(check_request::<GetMaxOffset>(command, name)),
            RequestCode::GET_MIN_OFFSET => drop(check_request::<GetMinOffset>(command, name)),
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => drop(check_request::<GetConsumerList>(command, name)),
            RequestCode::GET_CONSUMER_CONNECTION_LIST => drop(check_request::<GetConsumerConnection>(command, name)),
            RequestCode::CONSUMER_SEND_MSG_BACK => drop(check_request::<SendBack>(command, name)),
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => drop(check_request::<MembersChanged>(command, name)),
            RequestCode::END_TRANSACTION => {
                let end = check_request::<EndTransaction>(command, name);
                let ending = TransactionEnding::from_code(end.ending).unwrap();
                assert!(ending.code() == end.ending && command.is_one_way(), "{name}");
            }
            RequestCode::CHECK_TRANSACTION_STATE => {
                let check = check_request::<CheckTransaction>(command, name);
                let [Ok(half)] = &StoredMessages::new(&check.body).collect::<Vec<_>>()[..] else { panic!("{name}") };
                assert_eq!(half.commit_log_offset, check.header.commit_log_offset, "{name}");
                assert_eq!(half.queue_offset, check.header.table_offset, "{name}");
                let group = properties::find(std::str::from_utf8(half.properties).unwrap(), "PGROUP");
                assert!(group.is_some() && !half.topic.starts_with("RMQ_SYS"), "{name}");
            }
            RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => {
                let push = check_request::<PushReply>(command, name);
                assert!(!command.is_one_way() && push.header.properties.is_some(), "{name}");
            }
            RequestCode::RECALL_MESSAGE => {
                let recall = check_request::<RecallMessage>(command, name);
                let target = RecallTarget::read(&recall.handle).unwrap();
                assert_eq!((&target.topic, Some(target.broker.as_str())), (&recall.topic, recall.broker.as_deref()));
                assert_eq!(target.write(), recall.handle);
            }
            RequestCode::QUERY_MESSAGE => drop(check_request::<QueryMessage>(command, name)),
            RequestCode::VIEW_MESSAGE_BY_ID => drop(check_request::<ViewMessage>(command, name)),
            RequestCode::LOCK_BATCH_MQ => {
                let data = check_request::<LockBatch>(command, name).data().unwrap();
                assert!(!data.client_id.is_empty() && !data.mq_set.is_empty(), "{name}");
            }
            RequestCode::UNLOCK_BATCH_MQ => {
                assert_eq!(check_request::<UnlockBatch>(command, name).data().unwrap().mq_set.len(), 2, "{name}");
            }
            RequestCode::UPDATE_AND_CREATE_TOPIC => drop(check_request::<CreateTopic>(command, name)),
            RequestCode::CHECK_CLIENT_CONFIG => {
                let data = check_request::<CheckClient>(command, name).data().unwrap();
                assert_eq!(CheckClient::new(&data).body(), command.body(), "{name}");
            }
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => drop(check_request::<GetConsumerStatus>(command, name)),
            RequestCode::GET_CONSUMER_RUNNING_INFO => drop(check_request::<GetRunningInfo>(command, name)),
            RequestCode::CONSUME_MESSAGE_DIRECTLY => {
                let directly = check_request::<ConsumeDirectly>(command, name);
                // The administrator names the message; the broker adds it, and its own name.
                let records: Vec<_> = StoredMessages::new(&directly.body).collect();
                match &records[..] {
                    [] => assert_eq!(directly.header.broker, None, "{name}"),
                    [Ok(message)] => assert!(message.is_intact && directly.header.broker.is_some(), "{name}"),
                    other => panic!("{name}: {other:?}"),
                }
            }
            RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => {
                let read = ReadSendHeader::read_request(command).unwrap_or_else(|error| panic!("{name}: {error}"));
                let there = fields(command);
                assert_same(&read, &there, name);
                assert_eq!(read.properties.as_deref(), there.get("i").map(String::as_str), "{name}");
                if code == RequestCode::SEND_MESSAGE_V2 {
                    let id = properties::find(read.properties.as_deref().unwrap(), "UNIQ_KEY").unwrap();
                    assert!(UniqueIdParts::parse(MessageId::from(id).as_str()).is_some(), "{name}: {id}");
                }
            }
            _ => {
                *untyped.entry(code).or_insert(0) += 1;
                continue;
            }
        }
        *typed.entry(code).or_insert(0) += 1;
    }
    println!("without a type: {untyped:?}; pulls with a negative offset to commit: {negative}");
    assert_eq!(negative, 9);
    assert_eq!((typed.len(), typed.values().sum::<usize>()), (30, 449));
    assert_eq!((untyped.len(), untyped.values().sum::<usize>()), (26, 33));
}

/// What is written has, field by field, the values that stood there.
fn assert_same(written: &dyn WriteFields, there: &Map, name: &str) {
    for format in FORMATS {
        let mut out = BytesMut::new();
        let done = encode_response(1, ResponseCode::SUCCESS, None, written, Bytes::new(), format, &mut out).unwrap();
        assert_eq!(done.body, None);
        for (field, value) in fields(&command(&out).unwrap()) {
            assert_eq!(there.get(&field), Some(&value), "{name}: {field}");
        }
    }
}

/// Reads an answer as that of `R`; `None` when its code is a refusal.
fn answer<R: Request>(step: &Step) -> Option<R::Response> {
    let code = step.command.response_code();
    <R::Response as Response>::CODES
        .contains(&code)
        .then(|| R::Response::read(step.command.clone()).unwrap_or_else(|error| panic!("{}: {error}", step.name)))
}

/// Writes an answer as a server does, in both formats, and reads it again.
fn written<R: Response>(step: &Step, fields: &dyn WriteFields, body: &Bytes) -> [R; 2] {
    FORMATS.map(|format| {
        let mut out = BytesMut::new();
        let code = step.command.response_code();
        let done = encode_response(1, code, Some("remark"), fields, body.clone(), format, &mut out).unwrap();
        out.extend_from_slice(&done.body.unwrap_or_default());
        let command = command(&out).unwrap();
        assert_eq!(command.remark().as_deref(), Some("remark"));
        R::read(command).unwrap_or_else(|error| panic!("{}: {error}", step.name))
    })
}

#[test]
fn every_answer_that_we_have_a_type_for_is_read_and_written() {
    let (mut read, mut refused, mut untyped, mut messages) = (BTreeMap::new(), 0, 0, 0);
    for step in steps() {
        let Some(code) = step.request else { continue };
        let (name, body, none) = (step.name.as_str(), step.command.body(), Bytes::new());
        let known = match code {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => answer::<GetRoute>(&step).map(|route: TopicRoute| {
                assert!(!route.brokers.is_empty() && !route.queue_data.is_empty(), "{name}");
                let [one, two] = written::<TopicRoute>(&step, &NoFields, &route.to_body());
                assert_eq!((&one, &two), (&route, &route), "{name}");
            }),
            RequestCode::HEART_BEAT => answer::<Heartbeat>(&step).map(|answer| {
                assert_eq!(answer.version, step.command.version, "{name}");
                assert!(answer.supports_v2, "{name}");
                assert_same(&answer, &fields(&step.command), name);
                let [one, two] = written::<HeartbeatAnswer>(&step, &answer, &none);
                assert_eq!((&one, &two), (&answer, &answer), "{name}");
            }),
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => answer::<Pull>(&step).map(|answer| {
                for message in StoredMessages::new(&answer.messages) {
                    let message = message.unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert!(message.is_intact, "{name}");
                    assert!(!message.topic.is_empty() && !message.body.is_empty(), "{name}");
                    assert!(message.sys_flag.compression().is_ok() && !message.sys_flag.has(SysFlag::INNER_BATCH));
                    let properties = std::str::from_utf8(message.properties).unwrap();
                    assert!(properties::find(properties, "UNIQ_KEY").is_some(), "{name}");
                    messages += 1;
                }
                let [one, two] = written::<PullAnswer>(&step, &answer, &answer.messages);
                assert_eq!((&one, &two), (&answer, &answer), "{name}");
            }),
            RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => {
                answer::<ferrocket_protocol::request::SendMessage<'_>>(&step).map(|answer: SendAnswer| {
                    let [one, two] = written::<SendAnswer>(&step, &answer, &none);
                    assert_eq!((&one, &two), (&answer, &answer), "{name}");
                    assert_same(&answer, &with_region(fields(&step.command)), name);
                })
            }
            RequestCode::QUERY_CONSUMER_OFFSET => answer::<QueryOffset>(&step).map(|answer: FoundOffset| {
                assert_eq!(answer.0.is_none(), step.command.response_code() == ResponseCode::QUERY_NOT_FOUND);
                if let Some(offset) = answer.0 {
                    let offset = OffsetAnswer::new(offset as i64);
                    assert_same(&offset, &fields(&step.command), name);
                    let [one, two] = written::<FoundOffset>(&step, &offset, &none);
                    assert_eq!((one, two), (answer, answer), "{name}");
                }
            }),
            RequestCode::SEARCH_OFFSET_BY_TIMESTAMP | RequestCode::GET_MAX_OFFSET | RequestCode::GET_MIN_OFFSET => {
                answer::<SearchOffset>(&step).map(|offset| {
                    let answer = OffsetAnswer::new(offset as i64);
                    assert_same(&answer, &fields(&step.command), name);
                    assert_eq!(written::<u64>(&step, &answer, &none), [offset, offset], "{name}");
                })
            }
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => answer::<GetConsumerList>(&step).map(|list: ConsumerList| {
                assert!(!list.consumer_id_list.is_empty(), "{name}");
                let [one, two] = written::<ConsumerList>(&step, &NoFields, &list.to_body());
                assert_eq!((&one, &two), (&list, &list), "{name}");
                assert_eq!(list.to_body(), *body, "{name}");
            }),
            RequestCode::GET_CONSUMER_CONNECTION_LIST => {
                answer::<GetConsumerConnection>(&step).map(|found: ConsumerConnection| {
                    assert!(!found.client_ids.is_empty() && !found.subscriptions.is_empty(), "{name}");
                    assert_eq!(found.message_model, "CLUSTERING", "{name}");
                    // Nothing more is written than what is read.
                    for read in written::<ConsumerConnection>(&step, &NoFields, &found.to_body()) {
                        assert_eq!((&read.client_ids, &read.message_model), (&found.client_ids, &found.message_model));
                        assert_eq!(read.subscriptions.len(), found.subscriptions.len(), "{name}");
                    }
                })
            }
            RequestCode::QUERY_MESSAGE => answer::<QueryMessage>(&step).map(|found: FoundMessages| {
                assert_eq!(StoredMessages::new(&found.messages).filter(Result::is_err).count(), 0, "{name}");
                assert_eq!(found.code == ResponseCode::SUCCESS, !found.messages.is_empty(), "{name}");
                assert_same(&found, &fields(&step.command), name);
                let [one, two] = written::<FoundMessages>(&step, &found, &found.messages);
                assert_eq!((&one, &two), (&found, &found), "{name}");
            }),
            RequestCode::VIEW_MESSAGE_BY_ID => answer::<ViewMessage>(&step).map(|found: FoundMessage| {
                assert!(StoredMessages::new(&found.0).next().unwrap().unwrap().is_intact, "{name}");
                let [one, two] = written::<FoundMessage>(&step, &NoFields, &found.0);
                assert_eq!((&one, &two), (&found, &found), "{name}");
            }),
            RequestCode::RECALL_MESSAGE => answer::<RecallMessage>(&step).map(|recalled: Recalled| {
                assert!(UniqueIdParts::parse(&recalled.message_id).is_some(), "{name}");
                assert_same(&recalled, &fields(&step.command), name);
            }),
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT => {
                answer::<GetConsumerStatus>(&step).map(|status: ConsumerStatus| {
                    assert_eq!((status.offsets.len(), status.to_body()), (1, body.clone()), "{name}");
                })
            }
            RequestCode::GET_CONSUMER_RUNNING_INFO => answer::<GetRunningInfo>(&step).map(|info: RunningInfo| {
                assert_eq!(info.properties[RunningInfo::CONSUME_TYPE], "CONSUME_PASSIVELY", "{name}");
                // Java does not sort the properties; we do.
                let len = info.to_body().len();
                assert_eq!((len, RunningInfo::read_body(&info.to_body())), (body.len(), Ok(info)), "{name}");
            }),
            RequestCode::CONSUME_MESSAGE_DIRECTLY => answer::<ConsumeDirectly>(&step).map(|result: DirectResult| {
                assert_eq!(result.to_body(), body, "{name}");
            }),
            RequestCode::LOCK_BATCH_MQ => answer::<LockBatch>(&step).map(|locked| {
                assert_eq!(locked.locked.len(), 1, "{name}");
                let [one, two] = written(&step, &NoFields, &locked.to_body());
                assert_eq!((&one, &two), (&locked, &locked), "{name}");
            }),
            RequestCode::UNREGISTER_CLIENT
            | RequestCode::UNLOCK_BATCH_MQ
            | RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT
            | RequestCode::CONSUMER_SEND_MSG_BACK
            | RequestCode::CHECK_CLIENT_CONFIG
            | RequestCode::UPDATE_AND_CREATE_TOPIC => answer::<Unregister>(&step),
            _ => {
                untyped += 1;
                continue;
            }
        };
        match known {
            Some(()) => *read.entry(code).or_insert(0) += 1,
            None => {
                assert_ne!(step.command.response_code(), ResponseCode::SUCCESS, "{name}");
                refused += 1;
            }
        }
    }
    println!("read: {read:?}; {messages} messages; without a type: {untyped}");
    assert_eq!((read.len(), read.values().sum::<usize>(), refused), (26, 350, 42));
    assert_eq!(untyped, 32);
    assert!(messages > 20, "{messages}");
}

/// 4.9 brokers and replies leave these two out; we always write them as a server.
fn with_region(mut fields: Map) -> Map {
    fields.entry("MSG_REGION".to_owned()).or_insert_with(|| "DefaultRegion".to_owned());
    fields.entry("TRACE_ON".to_owned()).or_insert_with(|| "true".to_owned());
    fields
}
