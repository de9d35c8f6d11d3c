//! Stored messages, batches, JSON bodies and routes against the golden vectors of `vectors/`. Each test says how many cases
//! it ran, so that a file that lost its cases cannot pass.
//!
//! Left out: decompression (another crate), heartbeat fingerprints, bodies that we have no type for (they are normalized and
//! must be JSON then), static topics, choosing queues.

mod common;

use std::{collections::BTreeSet, net::IpAddr};

use bytes::{Bytes, BytesMut};
use common::{Case, answer, bytes, cases, int, map, text};
use ferrocket_model::{Filter, OffsetId, Topic, properties};
use ferrocket_protocol::{
    Request, body,
    body::{
        CheckClientData, DirectOutcome, DirectResult, HeartbeatData, LockData, LockedQueues, RunningInfo,
        SubscriptionData, TopicRoute,
    },
    body_crc,
    message::{BatchRecords, StoredMessage, StoredMessages, StoredParts, SysFlag, push_batch_record, write_stored},
    normalize_json,
    request::{CheckClient, ConsumerList, ConsumerStatus, LockBatch, ResetOffsets, ResetOffsetsHeader, UnlockBatch},
};
use serde_json::{Value, json};

// messages.json

fn property_map(text: &[u8]) -> common::Map {
    let text = std::str::from_utf8(text).unwrap();
    properties::pairs(text).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether Java decompressed this body: then it took the bit away too.
fn was_compressed(message: &StoredMessage<'_>) -> bool {
    message.sys_flag.has(SysFlag::COMPRESSED) && !message.body.is_empty()
}

fn assert_message(message: &StoredMessage<'_>, expected: &Value, name: &str) {
    let host = |field: &str| text(expected, field).unwrap().parse::<IpAddr>().unwrap();
    let (born, store) = (message.born_host.unwrap(), message.store_host.unwrap());
    assert_eq!(Some(message.topic), text(expected, "topic"), "{name}");
    assert_eq!(i64::from(message.queue_id), int(expected, "queueId"), "{name}");
    assert_eq!(i64::from(message.flag), int(expected, "flag"), "{name}");
    assert_eq!(message.queue_offset, int(expected, "queueOffset"), "{name}");
    assert_eq!(message.commit_log_offset, int(expected, "commitLogOffset"), "{name}");
    assert_eq!(message.born_ms, int(expected, "bornTimestamp"), "{name}");
    assert_eq!((born.ip(), i64::from(born.port())), (host("bornHost"), int(expected, "bornPort")), "{name}");
    assert_eq!(message.stored_ms, int(expected, "storeTimestamp"), "{name}");
    assert_eq!((store.ip(), i64::from(store.port())), (host("storeHost"), int(expected, "storePort")), "{name}");
    assert_eq!(i64::from(message.reconsume_times), int(expected, "reconsumeTimes"), "{name}");
    assert_eq!(message.prepared_offset, int(expected, "preparedTransactionOffset"), "{name}");
    assert_eq!(i64::from(message.crc), int(expected, "bodyCRC"), "{name}");
    assert_eq!(i64::from(message.bytes), int(expected, "storeSize"), "{name}");
    assert_eq!(property_map(message.properties), map(&expected["properties"]), "{name}");
    let id = OffsetId { ip: store.ip(), port: store.port().into(), commit_log_offset: message.commit_log_offset };
    assert_eq!(Some(id.to_string().as_str()), text(expected, "offsetMsgId"), "{name}");
    if was_compressed(message) {
        assert_eq!(i64::from(message.sys_flag.0 & !SysFlag::COMPRESSED), int(expected, "sysFlag"), "{name}");
    } else {
        assert_eq!(i64::from(message.sys_flag.0), int(expected, "sysFlag"), "{name}");
        let body = match &expected["body"] {
            Value::Object(repeated) => {
                bytes(&expected["body"], "repeat").repeat(repeated["length"].as_u64().unwrap() as usize).into()
            }
            _ => bytes(expected, "body"),
        };
        assert_eq!(message.body, body, "{name}");
    }
}

#[test]
fn stored_messages_are_read_as_java_does() {
    // Java drops what cannot be decompressed; here a record is handed out as it is stored.
    const RAW: [&str; 2] = ["stored compressed, type 4 is undefined", "stored compressed, body is not compressed data"];
    // Java reads on without looking at the size; we go by it.
    const STRICTER: [&str; 1] = ["size field too small"];
    let (mut ran, mut messages, mut compressed, mut broken, mut odd) = (0, 0, 0, 0, 0);
    let mut not_intact = 0;
    for case in cases("messages", "stored") {
        let buffer = bytes(case.input(), "bytes");
        let mut records = StoredMessages::new(&buffer);
        let expected = case.output()["messages"].as_array().unwrap();
        ran += 1;
        if RAW.contains(&case.name()) {
            assert!(records.next().unwrap().unwrap().sys_flag.has(SysFlag::COMPRESSED), "{}", case.name());
            odd += 1;
            continue;
        }
        if STRICTER.contains(&case.name()) {
            assert!(records.next().unwrap().is_err(), "{}", case.name());
            odd += 1;
            continue;
        }
        for expected in expected {
            let message = records.next().unwrap().unwrap_or_else(|error| panic!("{}: {error}", case.name()));
            assert_message(&message, expected, case.name());
            // The vectors have the checksum of "hi" everywhere; Java does not look at it.
            let intact = message.body.is_empty() || body_crc(message.body) == message.crc;
            assert_eq!(message.is_intact, intact, "{}", case.name());
            not_intact += usize::from(!intact);
            compressed += usize::from(was_compressed(&message));
            messages += 1;
        }
        // Where Java stopped, a record is broken for us too; what stands behind it is not lost.
        let rest: Vec<_> = records.collect();
        if let Some(first) = rest.first() {
            assert!(first.is_err(), "{}: {first:?}", case.name());
            broken += 1;
        }
        let saved = usize::from(case.name() == "wrong magic first, good one after");
        assert_eq!(rest.iter().filter(|record| record.is_ok()).count(), saved, "{}", case.name());
    }
    assert_eq!((ran, messages, compressed, broken, odd), (38, 27, 4, 10, 3));
    assert!(not_intact > 0);
}

/// Everything that a server of ours stores is what Java's encoder makes, byte for byte.
#[test]
fn stored_messages_are_written_byte_for_byte_as_java_does() {
    let mut ran = 0;
    for case in cases("messages", "stored") {
        let buffer = bytes(case.input(), "bytes");
        if text(&case.value, "note") != Some("encoded by MessageDecoder.encode") {
            continue;
        }
        for record in StoredMessages::new(&buffer) {
            let message = record.unwrap();
            let mut out = BytesMut::from(&b"x"[..]);
            let size = write_stored(
                &StoredParts {
                    queue_id: message.queue_id,
                    flag: message.flag,
                    queue_offset: message.queue_offset,
                    commit_log_offset: message.commit_log_offset,
                    sys_flag: message.sys_flag,
                    born_ms: message.born_ms,
                    born_host: message.born_host.unwrap(),
                    stored_ms: message.stored_ms,
                    store_host: message.store_host.unwrap(),
                    reconsume_times: message.reconsume_times,
                    prepared_offset: message.prepared_offset,
                    body: message.body,
                    topic: message.topic,
                    properties: std::str::from_utf8(message.properties).unwrap(),
                },
                &mut out,
            );
            assert_eq!(size, out.len() - 1);
            // The checksum is not that of the body there; see above.
            let (mut ours, theirs) = (out.split_off(1), &buffer[..]);
            assert_eq!(ours[8..12], body_crc(message.body).to_be_bytes(), "{}", case.name());
            ours[8..12].copy_from_slice(&theirs[8..12]);
            assert_eq!(ours, theirs, "{}", case.name());
            ran += 1;
        }
    }
    assert_eq!(ran, 19);
}

#[test]
fn batches_are_written_byte_for_byte_and_read_as_java_does() {
    let (mut ran, mut written, mut records) = (0, 0, 0);
    for case in cases("messages", "batchBody") {
        let body = match case.input().get("messages") {
            Some(messages) => {
                let mut out = BytesMut::new();
                for message in messages.as_array().unwrap() {
                    let properties = text(message, "propertiesText").unwrap_or_default();
                    push_batch_record(int(message, "flag") as i32, &bytes(message, "body"), properties, &mut out);
                }
                assert_eq!(out, bytes(case.output(), "bytes"), "{}", case.name());
                written += 1;
                out.freeze()
            }
            None => bytes(case.input(), "bytes"),
        };
        let decoded = case.output().get("decoded").unwrap_or(case.output()).as_array().unwrap();
        let read: Vec<_> = BatchRecords::new(body).collect::<Result<_, _>>().unwrap();
        assert_eq!(read.len(), decoded.len(), "{}", case.name());
        for (record, expected) in read.iter().zip(decoded) {
            assert_eq!(i64::from(record.flag), int(expected, "flag"), "{}", case.name());
            assert_eq!(record.body, bytes(expected, "body"), "{}", case.name());
            assert_eq!(property_map(&record.properties), map(&expected["properties"]), "{}", case.name());
            records += 1;
        }
        ran += 1;
    }
    assert_eq!((ran, written, records), (5, 4, 7));
}

#[test]
fn an_inner_batch_is_one_record_whose_body_is_a_batch() {
    let mut ran = 0;
    for case in cases("messages", "innerBatch") {
        let buffer = bytes(case.input(), "bytes");
        let outer: Vec<_> = StoredMessages::new(&buffer).collect::<Result<_, _>>().unwrap();
        let [outer] = &outer[..] else { panic!("{}: {outer:?}", case.name()) };
        assert!(outer.sys_flag.is_inner_batch());
        let inner: Vec<_> = BatchRecords::new(buffer.slice_ref(outer.body)).collect::<Result<_, _>>().unwrap();
        let expected = case.output()["messages"].as_array().unwrap();
        assert_eq!(inner.len(), expected.len());
        for (index, (inner, expected)) in inner.iter().zip(expected).enumerate() {
            assert_eq!(Some(outer.topic), text(expected, "topic"));
            assert_eq!(outer.queue_offset + index as i64, int(expected, "queueOffset"));
            assert_eq!(inner.body, bytes(expected, "body"));
            assert_eq!(i64::from(inner.flag), int(expected, "flag"));
            assert_eq!(property_map(&inner.properties), map(&expected["properties"]));
            ran += 1;
        }
    }
    assert_eq!(ran, 2);
}

// bodies.json

fn normalized(case: &Case, text: &str) -> Value {
    let standard = normalize_json(text.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}: {text}", case.name()));
    serde_json::from_slice(&standard).unwrap_or_else(|error| panic!("{}: {error}: {text}", case.name()))
}

#[test]
fn every_body_that_java_writes_becomes_standard_json() {
    let mut ran = 0;
    for case in cases("bodies", "write") {
        for key in ["text", "textAfterOneRoundTripInJava"] {
            if let Some(text) = text(case.output(), key) {
                normalized(&case, text);
                ran += usize::from(key == "text");
            }
        }
    }
    for case in cases("bodies", "fingerprint") {
        normalized(&case, text(case.input(), "text").unwrap());
        ran += 1;
    }
    assert_eq!(ran, 93);
}

#[test]
fn every_body_that_java_accepts_becomes_standard_json() {
    let (mut accepted, mut refused, mut nothing) = (0, 0, 0);
    for case in cases("bodies", "accept") {
        let given = text(case.input(), "text").unwrap();
        if case.fails() {
            refused += 1;
        } else if given.is_empty() {
            // Java makes null of it, and fails where the body is needed.
            assert!(normalize_json(b"").is_err());
            nothing += 1;
        } else {
            normalized(&case, given);
            if let Some(after) = text(case.output(), "textAfterDecoding") {
                normalized(&case, after);
            }
            accepted += 1;
        }
    }
    assert_eq!((accepted, refused, nothing), (27, 6, 1));
    assert!(normalize_json(b"hello").is_err());
    assert!(normalize_json(b"{\"clientID\":\"c\"}x").is_err());
}

/// What `body` says in our words, compared as JSON with what Java says; the fields of Java's that we do not have are left out.
fn route_in_our_words(java: &Value) -> Value {
    let brokers = java["brokerDatas"].as_array().unwrap().iter().map(|broker| {
        json!({ "brokerAddrs": broker["brokerAddrs"], "brokerName": broker["brokerName"], "cluster": broker["cluster"] })
    });
    json!({
        "brokerDatas": brokers.collect::<Vec<_>>(),
        "queueDatas": java["queueDatas"],
        "orderTopicConf": java["orderTopicConf"],
        "static": java["topicQueueMappingByBroker"].as_object().is_some_and(|table| !table.is_empty()),
    })
}

fn route_as_we_write_it(route: &TopicRoute) -> Value {
    let mut written: Value = serde_json::from_slice(&route.to_body()).unwrap();
    for broker in written["brokerDatas"].as_array_mut().unwrap() {
        broker.as_object_mut().unwrap().remove("enableActingMaster");
    }
    json!({
        "brokerDatas": written["brokerDatas"],
        "queueDatas": written["queueDatas"],
        "orderTopicConf": written["orderTopicConf"],
        "static": route.has_static_queues,
    })
}

#[test]
fn routes_are_read_as_java_does() {
    // fastjson's way to say "the same as there"; no name server writes it in a route.
    const STRICTER: &str = "reference";
    let (mut written, mut accepted, mut stricter) = (0, 0, 0);
    for case in cases("bodies", "write").iter().filter(|case| case.value["class"] == "TopicRouteData") {
        let given = text(case.output(), "text").unwrap();
        let route = TopicRoute::read_body(given.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let java = normalized(case, given);
        assert_eq!(route_as_we_write_it(&route), route_in_our_words(&java), "{}", case.name());
        let again = TopicRoute::read_body(&route.to_body()).unwrap();
        let parts = |route: TopicRoute| (route.brokers, route.queue_data, route.order_conf);
        assert_eq!(parts(route), parts(again), "{}", case.name());
        written += 1;
    }
    for case in cases("bodies", "accept").iter().filter(|case| case.value["class"] == "TopicRouteData") {
        let read = TopicRoute::read_body(text(case.input(), "text").unwrap().as_bytes());
        if case.name() == STRICTER {
            assert!(read.is_err());
            stricter += 1;
            continue;
        }
        let java = normalized(case, text(case.output(), "textAfterDecoding").unwrap());
        assert_eq!(route_as_we_write_it(&read.unwrap()), route_in_our_words(&java), "{}", case.name());
        accepted += 1;
    }
    assert_eq!((written, accepted, stricter), (8, 4, 1));
}

#[test]
fn heartbeats_are_read_and_written_as_java_does() {
    // No client writes these; Java's reader makes something of them. For servers only.
    const STRICTER: [&str; 4] = ["heartbeat, enum by number", "heartbeat, numbers as text", "empty text", "text null"];
    let (mut written, mut accepted, mut stricter, mut refused) = (0, 0, 0, 0);
    for case in cases("bodies", "write").iter().filter(|case| case.value["class"] == "HeartbeatData") {
        let given = text(case.output(), "text").unwrap();
        let read = HeartbeatData::read(given.as_bytes()).unwrap();
        let ours: Value = serde_json::from_slice(&read.to_body()).unwrap();
        assert_eq!(ours, normalized(case, given), "{}", case.name());
        written += 1;
    }
    for case in cases("bodies", "accept").iter().filter(|case| case.value["class"] == "HeartbeatData") {
        let read = HeartbeatData::read(text(case.input(), "text").unwrap().as_bytes());
        if STRICTER.contains(&case.name()) {
            assert!(read.is_err(), "{}: {read:?}", case.name());
            stricter += 1;
        } else if case.fails() {
            assert!(read.is_err(), "{}: {read:?}", case.name());
            refused += 1;
        } else {
            let read = read.unwrap_or_else(|error| panic!("{}: {error}", case.name()));
            let java = HeartbeatData::read(text(case.output(), "textAfterDecoding").unwrap().as_bytes()).unwrap();
            let without_kind = |mut data: HeartbeatData| {
                for group in &mut data.consumer_data_set {
                    // Java drops an unknown name and knows every case of letters; we keep texts as they are.
                    group.consume_type.clear();
                    group.message_model.make_ascii_uppercase();
                    for subscription in &mut group.subscription_data_set {
                        if subscription.expression_type.is_empty() {
                            subscription.expression_type.push_str("TAG");
                        }
                    }
                }
                data
            };
            assert_eq!(without_kind(read), without_kind(java), "{}", case.name());
            accepted += 1;
        }
    }
    assert_eq!((written, accepted, stricter, refused), (4, 8, 4, 2));
}

#[test]
fn subscriptions_are_read_and_written_as_java_does() {
    let mut ran = 0;
    for case in cases("bodies", "write").iter().filter(|case| case.value["class"] == "SubscriptionData") {
        let java = normalized(case, text(case.output(), "text").unwrap());
        let expression = text(&java, "subString").unwrap();
        let filter = if java["expressionType"] == "SQL92" { Filter::sql(expression) } else { Filter::from(expression) };
        let ours = SubscriptionData::new(text(&java, "topic").unwrap(), &filter, int(&java, "subVersion"));
        assert_eq!(serde_json::to_value(&ours).unwrap(), java, "{}", case.name());
        assert_eq!(serde_json::from_value::<SubscriptionData>(java).unwrap(), ours, "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 2);
}

#[test]
fn member_lists_are_read_and_written_as_java_does() {
    let mut ran = 0;
    for case in cases("bodies", "write") {
        if case.value["class"] == "GetConsumerListByGroupResponseBody" {
            let given = text(case.output(), "text").unwrap();
            let list: ConsumerList = answer(Bytes::from(given.to_owned())).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&list.to_body()).unwrap(), normalized(&case, given));
            ran += 1;
        }
    }
    assert_eq!(ran, 2);
}

#[test]
fn locks_are_read_and_written_as_java_does() {
    let (mut asked, mut answered) = (0, 0);
    for case in cases("bodies", "write") {
        let Some(class) = text(&case.value, "class") else { continue };
        if !matches!(class, "LockBatchRequestBody" | "UnlockBatchRequestBody" | "LockBatchResponseBody") {
            continue;
        }
        let given = text(case.output(), "text").unwrap();
        let java = normalized(&case, given);
        if class == "LockBatchResponseBody" {
            let locked: LockedQueues = answer(Bytes::from(given.to_owned())).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&locked.to_body()).unwrap(), java);
            assert_eq!(locked.locked.is_empty(), case.name().ends_with("nothing locked"));
            answered += 1;
            continue;
        }
        let data: LockData = serde_json::from_value(java.clone()).unwrap();
        assert_eq!(data.mq_set.len(), 1);
        let (lock, unlock) = (LockBatch::new(&data), UnlockBatch::new(&data));
        for body in [lock.body(), unlock.body()] {
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), java);
        }
        assert_eq!((lock.data(), unlock.data()), (Ok(data.clone()), Ok(data)));
        asked += 1;
    }
    assert_eq!((asked, answered), (3, 3));
    for missing in ["{}", r#"{"lockOKMQSet":null}"#] {
        assert_eq!(answer(missing.into()), Ok(LockedQueues::default()));
    }
    assert!(answer::<LockedQueues>(r#"{"lockOKMQSet":[{"brokerName":"b","queueId":-1,"topic":"t"}]}"#.into()).is_err());
}

/// The texts of a body class that Java wrote.
fn written(class: &str) -> Vec<(Case, String)> {
    let cases = cases("bodies", "write").into_iter().filter(|case| case.value["class"] == class);
    cases.map(|case| (text(case.output(), "text").unwrap().to_owned(), case)).map(|(text, case)| (case, text)).collect()
}

fn reset(body: Bytes) -> ResetOffsets {
    ResetOffsets { header: ResetOffsetsHeader::new("g", true, 1, "T"), body }
}

/// CON-ADM-04: in the form for Java's clients and in the one for those in C++. What 5.5.0 refuses, keys that are JSON within a
/// text, was right for earlier ones; we read it, and write what all read.
#[test]
fn reset_offsets_are_read_and_written_byte_for_byte_as_java_does() {
    let (mut maps, mut lists, mut accepted, mut lenient) = (0, 0, 0, 0);
    for (case, given) in written("ResetOffsetBody") {
        let offsets = reset(given.clone().into()).offsets().unwrap();
        let [(queue, offset)] = &offsets[..] else { panic!("{}: {offsets:?}", case.name()) };
        assert!(queue.id() == 1 && queue.topic().as_str().eq_ignore_ascii_case("t") && *offset >= 2);
        assert_eq!(ResetOffsets::new(reset(Bytes::new()).header, &offsets).body, given, "{}", case.name());
        maps += 1;
    }
    for (case, given) in written("ResetOffsetBodyForC") {
        let offsets = reset(given.clone().into()).offsets().unwrap();
        assert_eq!(offsets.len(), 1);
        assert_eq!(ResetOffsets::for_cpp(reset(Bytes::new()).header, &offsets).body, given, "{}", case.name());
        lists += 1;
    }
    for case in cases("bodies", "accept").iter().filter(|case| case.value["class"] == "ResetOffsetBody") {
        let mut read = reset(text(case.input(), "text").unwrap().to_owned().into()).offsets().unwrap();
        if case.fails() {
            assert_eq!(read.len(), 1, "{}", case.name());
            lenient += 1;
            continue;
        }
        let mut java = reset(text(case.output(), "textAfterDecoding").unwrap().to_owned().into()).offsets().unwrap();
        read.sort();
        java.sort();
        assert_eq!(read, java, "{}", case.name());
        accepted += 1;
    }
    assert_eq!((maps, lists, accepted, lenient), (2, 1, 3, 2));
}

/// CON-ADM-06.
#[test]
fn a_consumer_status_is_read_and_written_byte_for_byte_as_java_does() {
    let mut ran = 0;
    for (case, given) in written("GetConsumerStatusBody") {
        let status: ConsumerStatus = answer(given.clone().into()).unwrap();
        assert_eq!(status.offsets.len(), 1, "{}", case.name());
        // One of the two has the table of a broker's answer filled as well, which clients leave empty.
        let ours = normalized(&case, std::str::from_utf8(&status.to_body()).unwrap());
        assert_eq!(ours["messageQueueTable"], normalized(&case, &given)["messageQueueTable"], "{}", case.name());
        if case.name() == "consumer status body" {
            assert_eq!(status.to_body(), given);
        }
        ran += 1;
    }
    assert_eq!(ran, 2);
}

/// CON-ADM-01.
#[test]
fn running_infos_are_read_and_written_byte_for_byte_as_java_does() {
    let (mut ran, mut accepted, mut lenient) = (0, 0, 0);
    for (case, given) in written("ConsumerRunningInfo") {
        let info: RunningInfo = answer(given.clone().into()).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
        let ours = info.to_body();
        if info.properties.len() < 2 {
            assert_eq!(ours, given, "{}", case.name());
        }
        // Java does not sort the properties; we do.
        assert_eq!(ours.len(), given.len(), "{}", case.name());
        assert_eq!(
            normalized(&case, std::str::from_utf8(&ours).unwrap()),
            normalized(&case, &given),
            "{}",
            case.name()
        );
        assert_eq!((info.queues.len(), info.subscriptions.len()), (1, 1), "{}", case.name());
        ran += 1;
    }
    for case in cases("bodies", "accept").iter().filter(|case| case.value["class"] == "ConsumerRunningInfo") {
        let read: RunningInfo = answer(text(case.input(), "text").unwrap().to_owned().into()).unwrap();
        if case.fails() {
            assert_eq!(read.queues.len(), 1, "{}", case.name());
            lenient += 1;
            continue;
        }
        let java = text(case.output(), "textAfterDecoding").unwrap().to_owned();
        assert_eq!(answer::<RunningInfo>(java.into()).unwrap(), read, "{}", case.name());
        accepted += 1;
    }
    assert_eq!((ran, accepted, lenient), (2, 3, 1));
    for wrong in [r#"{"mqTable":{{"brokerName":"b"}:{}}}"#, r#"{"mqTable":{"x":{}}}"#, r#"{"mqTable":[]}"#, "7", ""] {
        assert!(answer::<RunningInfo>(wrong.into()).is_err(), "{wrong}");
    }
    let one_null = r#"{"mqTable":{{"brokerName":"b","queueId":1,"topic":"t"}:null}}"#;
    assert_eq!(answer::<RunningInfo>(one_null.into()).unwrap().queues.len(), 1);
}

/// CON-ADM-03.
#[test]
fn results_of_direct_consumption_are_read_and_written_byte_for_byte_as_java_does() {
    let mut ran = 0;
    for (case, given) in written("ConsumeMessageDirectlyResult") {
        let result: DirectResult = answer(given.clone().into()).unwrap();
        assert_eq!(result.to_body(), given, "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 1);
    let bare: DirectResult = answer(r#"{"consumeResult":"CR_LATER"}"#.into()).unwrap();
    assert_eq!(bare, DirectResult::new(DirectOutcome::Later, false, 0));
    for wrong in ["{}", r#"{"consumeResult":"CR_MAYBE"}"#, r#"{"consumeResult":7}"#] {
        assert!(answer::<DirectResult>(wrong.into()).is_err(), "{wrong}");
    }
}

#[test]
fn checks_of_a_client_are_read_and_written_byte_for_byte_as_java_does() {
    let mut ran = 0;
    for (case, given) in written("CheckClientRequestBody") {
        let data: CheckClientData = serde_json::from_str(&given).unwrap();
        assert_eq!(CheckClient::new(&data).body(), given, "{}", case.name());
        assert_eq!(CheckClient::new(&data).data(), Ok(data));
        ran += 1;
    }
    assert_eq!(ran, 1);
}

// routing.json

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn queue_texts(queues: &[ferrocket_model::MessageQueue]) -> Vec<String> {
    queues.iter().map(|queue| format!("{}:{}", queue.broker(), queue.id())).collect()
}

#[test]
fn queues_of_a_route_come_in_the_order_of_java() {
    let (mut ran, mut static_topics, mut java_throws) = (0, 0, 0);
    let topic = Topic::from("T");
    for case in cases("routing", "routeToQueues") {
        let route = TopicRoute::read_body(text(case.input(), "route").unwrap().as_bytes()).unwrap();
        for queue in route.publish_queues(&topic).iter().chain(&route.subscribe_queues(&topic)) {
            assert_eq!(queue.topic(), &topic);
        }
        if route.has_static_queues {
            // Not supported; the route says so.
            static_topics += 1;
        } else if case.fails() {
            // An order configuration that Java throws on: we take what can be read of it.
            java_throws += 1;
        } else {
            let out = case.output();
            let published = queue_texts(&route.publish_queues(&topic));
            assert_eq!(published, texts(&out["publishQueues"]), "{}", case.name());
            let subscribed: BTreeSet<_> = queue_texts(&route.subscribe_queues(&topic)).into_iter().collect();
            let expected: BTreeSet<_> = texts(&out["subscribeQueues (sorted)"]).into_iter().collect();
            assert_eq!(subscribed, expected, "{}", case.name());
            assert_eq!(
                route.order_conf.is_some_and(|conf| !conf.is_empty()),
                out["orderTopic"] == true,
                "{}",
                case.name()
            );
            ran += 1;
        }
    }
    println!("left out: {static_topics} static topics, {java_throws} on which Java throws");
    assert_eq!((ran, static_topics, java_throws), (14, 2, 3));
}

#[test]
fn a_broker_answers_at_the_address_that_java_chooses() {
    let (mut ran, mut left_out) = (0, 0);
    for case in cases("routing", "address") {
        let input = case.input();
        // An unknown broker has no addresses to ask; falling back to another one is the route's business.
        if input["addresses"].is_null() || input["onlyThisBroker"] == false {
            left_out += 1;
            continue;
        }
        let mut broker = body::BrokerAddresses::default();
        for (id, address) in map(&input["addresses"]) {
            match id.parse().unwrap() {
                0 => broker.master = Some(address),
                id => drop(broker.slaves.insert(id, address)),
            }
        }
        let address = match text(input, "call").unwrap() {
            "publish" => broker.master.as_deref(),
            "admin" => broker.any(),
            "subscribe" => broker.address(input["brokerId"].as_u64().unwrap()),
            other => panic!("{other}"),
        };
        assert_eq!(address, text(case.output(), "address"), "{}", case.name());
        ran += 1;
    }
    assert_eq!((ran, left_out), (30, 30));
}
