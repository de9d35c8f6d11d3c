//! The model against the golden vectors of `vectors/`. Each test says how many cases it ran, so that a file that lost its
//! cases cannot pass.
//!
//! Left out: recall handles (not part of this crate), the size of bodies (the producer checks it), topic and broker
//! configurations, the send index. Where we are stricter than Java on purpose, the test names the case.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, UNIX_EPOCH},
};

use common::{cases, text};
use ferrocket_model::{
    DeliveryTime, Filter, FilterKind, Group, IdGenerator, InvalidMessage, InvalidName, Message, Namespace, OffsetId,
    Topic, UniqueIdParts, java_string_hash, month_start_ms, properties, system,
};
use serde_json::{Value, json};

// ids.json

#[test]
fn offset_ids_are_written_and_read_as_java_does() {
    let mut ran = 0;
    for case in cases("ids", "offsetId") {
        let (input, id) = (case.input(), text(case.output(), "id").unwrap());
        let parts = OffsetId {
            ip: text(input, "ip").unwrap().parse().unwrap(),
            port: input["port"].as_u64().unwrap() as u32,
            commit_log_offset: input["offset"].as_i64().unwrap(),
        };
        assert_eq!(parts.to_string(), id, "{}", case.name());
        assert_eq!(OffsetId::parse(id), Some(parts), "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 6);
}

#[test]
fn odd_offset_ids_are_read_or_refused_as_java_does() {
    // Java reads this one as garbage; no server ever writes it.
    const STRICTER: &str = "ZZ00000100002A9F00000000000003E8";
    let (mut ran, mut stricter) = (0, 0);
    for case in cases("ids", "offsetIdDecode") {
        let id = text(case.input(), "id").unwrap();
        let read = OffsetId::parse(id);
        if id == STRICTER {
            assert_eq!(read, None, "{}", case.name());
            stricter += 1;
        } else if case.fails() {
            assert_eq!(read, None, "{}", case.name());
        } else {
            let (out, read) = (case.output(), read.unwrap());
            assert_eq!(read.ip, text(out, "ip").unwrap().parse::<IpAddr>().unwrap(), "{}", case.name());
            assert_eq!(Some(u64::from(read.port)), out["port"].as_u64(), "{}", case.name());
            assert_eq!(Some(read.commit_log_offset), out["offset"].as_i64(), "{}", case.name());
        }
        ran += 1;
    }
    assert_eq!((ran, stricter), (9, 1));
}

#[test]
fn unique_ids_are_taken_apart_and_put_together_as_java_does() {
    let mut ran = 0;
    for case in cases("ids", "uniqueId") {
        let (id, out) = (text(case.input(), "id").unwrap(), case.output());
        let parts = UniqueIdParts::parse(id).unwrap();
        let class_loader = u32::from_str_radix(text(out, "classLoaderHash").unwrap(), 16).unwrap();
        assert_eq!(parts.ip, text(out, "ip").unwrap().parse::<IpAddr>().unwrap(), "{}", case.name());
        assert_eq!(Some(u64::from(parts.process_id)), out["pid"].as_u64(), "{}", case.name());
        assert_eq!(parts.process_number, class_loader, "{}", case.name());
        assert_eq!(Some(u64::from(parts.ms_in_month)), out["msSinceMonthStart"].as_u64(), "{}", case.name());
        assert_eq!(Some(u64::from(parts.counter)), out["counter"].as_u64(), "{}", case.name());

        // A writer with these parts makes this id, as far as a clock can get there: a month has 2,678,400,000 ms.
        let start = 1_704_067_200_000; // January 2024
        let ids = IdGenerator::new(parts.ip, parts.process_id, parts.process_number);
        let made = (0..=parts.counter).map(|_| ids.next(start + u64::from(parts.ms_in_month))).last().unwrap();
        assert_eq!(made.as_str(), id, "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 3);
}

#[test]
fn unique_ids_of_ipv6_hosts_have_the_length_of_java() {
    let mut ran = 0;
    for case in cases("ids", "uniqueIdLive") {
        let length = case.output()["idLength"].as_u64().unwrap();
        let id = IdGenerator::new("::1".parse().unwrap(), 1, 2).next(1_700_000_000_000);
        assert_eq!(id.as_str().len() as u64, length);
        ran += 1;
    }
    assert_eq!(ran, 1);
}

#[test]
fn months_begin_where_java_says_in_utc() {
    let mut ran = 0;
    for case in cases("ids", "monthStart") {
        let (input, out) = (case.input(), case.output());
        let (start, next) = (out["startTime"].as_u64().unwrap(), out["nextStartTime"].as_u64().unwrap());
        assert_eq!(month_start_ms(input["now"].as_u64().unwrap()), start, "{}", case.name());
        assert_eq!(month_start_ms(start), start, "{}", case.name());
        assert_eq!(month_start_ms(next - 1), start, "{}", case.name());
        assert_eq!(month_start_ms(next), next, "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 5);
}

// hashing.json

#[test]
fn tags_hash_as_in_java() {
    let mut ran = 0;
    for case in cases("hashing", "tagHash") {
        let hash = java_string_hash(text(case.input(), "text").unwrap());
        assert_eq!(Some(i64::from(hash)), case.output()["hash"].as_i64(), "{}", case.name());
        assert_eq!(Some(i64::from(hash)), case.output()["brokerTagsCode"].as_i64(), "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 12);
}

#[test]
fn a_sharding_key_chooses_the_queue_that_java_chooses() {
    let (mut ran, mut texts) = (0, 0);
    for case in cases("hashing", "select") {
        let hash = i32::try_from(case.input()["hash"].as_i64().unwrap()).unwrap();
        if case.input()["argType"] == "String" {
            assert_eq!(java_string_hash(text(case.input(), "arg").unwrap()), hash, "{}", case.name());
            texts += 1;
        }
        for (queues, index) in case.output()["indexByQueueCount"].as_object().unwrap() {
            // SelectMessageQueueByHash: the remainder, made positive.
            let chosen = (hash % queues.parse::<i32>().unwrap()).unsigned_abs();
            assert_eq!(Some(u64::from(chosen)), index.as_u64(), "{} of {queues}", case.name());
        }
        ran += 1;
    }
    assert_eq!((ran, texts), (20, 8));
}

fn set<'a>(values: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    values.into_iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
}

fn assert_subscription(filter: &Filter, out: &Value, name: &str) {
    let tags = filter.tag_list();
    assert_eq!(Some(filter.expression()), text(out, "subString"), "{name}");
    assert_eq!(
        tags.iter().map(|tag| (*tag).to_owned()).collect::<BTreeSet<_>>(),
        set(out["tagsSet"].as_array().unwrap()),
        "{name}"
    );
    assert_eq!(
        tags.iter().map(|tag| java_string_hash(tag).to_string()).collect::<BTreeSet<_>>(),
        set(out["codeSet"].as_array().unwrap()),
        "{name}"
    );
    for tag in &tags {
        assert!(filter.accepts_tag(Some(tag)), "{name}: {tag}");
    }
    assert_eq!(filter.accepts_tag(Some("no such tag")), tags.is_empty(), "{name}");
    assert_eq!(filter.accepts_tag(None), tags.is_empty(), "{name}");
}

#[test]
fn tag_expressions_are_read_as_java_does() {
    // Java takes separators with blanks in between for "everything"; we refuse them like separators alone.
    const STRICTER: &str = "|| ||";
    let (mut ran, mut stricter) = (0, 0);
    for case in cases("hashing", "subscription") {
        let filter = match text(case.input(), "expression") {
            Some(expression) => Filter::from(expression),
            None => Filter::all(),
        };
        if text(case.input(), "expression") == Some(STRICTER) {
            assert!(filter.check().is_err(), "{}", case.name());
            stricter += 1;
        } else if case.fails() {
            assert!(filter.check().is_err(), "{}", case.name());
        } else {
            assert_eq!(filter.check(), Ok(()), "{}", case.name());
            assert_eq!(filter.kind(), FilterKind::Tags);
            assert_subscription(&filter, case.output(), case.name());
        }
        ran += 1;
    }
    assert_eq!((ran, stricter), (22, 1));
}

#[test]
fn filters_of_a_type_are_built_as_java_does() {
    let (mut ran, mut without_type) = (0, 0);
    for case in cases("hashing", "build") {
        let expression = text(case.input(), "expression");
        let filter = match text(case.input(), "type") {
            Some("SQL92") => Filter::sql(expression.unwrap_or_default()),
            Some("TAG") | None => Filter::from(expression.unwrap_or_default()),
            // Types that no broker knows cannot be said with our types.
            Some(_) => {
                without_type += 1;
                continue;
            }
        };
        if case.fails() {
            assert!(filter.check().is_err(), "{}", case.name());
        } else {
            assert_eq!(filter.check(), Ok(()), "{}", case.name());
            if filter.kind() == FilterKind::Sql {
                assert_eq!(Some(filter.expression()), text(case.output(), "subString"), "{}", case.name());
                assert!(filter.tag_list().is_empty());
                assert!(filter.accepts_tag(None) && filter.accepts_tag(Some("x")));
            } else {
                assert_subscription(&filter, case.output(), case.name());
            }
        }
        ran += 1;
    }
    assert_eq!((ran, without_type), (7, 3));
}

// properties.json

fn map(text: &str) -> Value {
    // The last of several pairs of one name wins, as in a map.
    Value::Object(properties::pairs(text).map(|(name, value)| (name.to_owned(), value.into())).collect())
}

#[test]
fn properties_are_read_as_java_does() {
    let mut ran = 0;
    for case in cases("properties", "parse") {
        let text = text(case.input(), "text").unwrap_or_default();
        let expected = &case.output()["properties"];
        assert_eq!(&map(text), expected, "{}", case.name());
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(properties::find(text, name), value.as_str(), "{}: {name}", case.name());
        }
        for absent in ["", "nothing", "a", "k", "c", "\u{1}", "\u{2}"] {
            let expected = expected.get(absent).and_then(Value::as_str);
            assert_eq!(properties::find(text, absent), expected, "{}: {absent:?}", case.name());
        }
        ran += 1;
    }
    assert_eq!(ran, 33);
}

#[test]
fn properties_are_written_byte_for_byte_as_java_does() {
    let mut ran = 0;
    for case in cases("properties", "write") {
        let expected = text(case.output(), "text").unwrap();
        let properties = case.input()["properties"].as_object().cloned().unwrap_or_default();
        // Java's map has an order of its own: the one of the text.
        let mut pairs: Vec<_> = properties.iter().filter_map(|(name, value)| Some((name, value.as_str()?))).collect();
        pairs.sort_by_key(|(name, value)| expected.find(&format!("{name}\u{1}{value}\u{2}")));
        let (mut written, mut clean) = (String::new(), true);
        for (name, value) in pairs {
            clean &= properties::is_clean(name) && properties::is_clean(value);
            properties::push(&mut written, name, value);
        }
        assert_eq!(written, expected, "{}", case.name());
        let again = case.output().get("again").cloned().unwrap_or(json!({}));
        assert_eq!(map(&written), again, "{}", case.name());
        // What Java may corrupt is what our messages refuse.
        assert_eq!(clean, !["write 7", "write 8", "write 9"].contains(&case.name()), "{}", case.name());
        ran += 1;
    }
    assert_eq!(ran, 12);
}

#[test]
fn reserved_names_are_those_of_java() {
    let mut ran = 0;
    for case in cases("properties", "reserved") {
        let names: Vec<_> =
            case.output()["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(properties::RESERVED.to_vec(), names);
        assert!(properties::RESERVED.is_sorted());
        for name in names {
            assert!(properties::is_reserved(name), "{name}");
            let message = Message::new("T", "x").with_property(name, "v");
            assert!(matches!(message.check(), Err(InvalidMessage::Property { .. })), "{name}");
        }
        ran += 1;
    }
    assert_eq!(ran, 1);
}

#[test]
fn names_that_java_defines_are_reserved_where_java_reserves_them() {
    let (mut ran, mut names) = (0, 0);
    for case in cases("properties", "constants").iter().filter(|case| case.name() == "all property constants") {
        for (constant, about) in case.output().as_object().unwrap() {
            let value = text(about, "value").unwrap();
            assert_eq!(Some(properties::is_reserved(value)), about["reserved"].as_bool(), "{constant}");
            names += 1;
        }
        ran += 1;
    }
    assert_eq!(ran, 1);
    assert!(names > 54, "{names}");
}

#[test]
fn setters_leave_what_java_leaves() {
    let message = || Message::new("T", "x");
    let with = |name, value| message().with_property(name, value);
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
    let (mut ran, mut without_setter) = (0, 0);
    for case in cases("properties", "setters") {
        let made = match case.name() {
            "set constructor" => message(),
            "set constructor with tag and keys" => message().with_tag("TagA").with_key("k1"),
            "set constructor with empty tag and keys" => message().with_flag(3).with_wait_for_store(false),
            "set keys collection" => message().with_key("k1").with_key("k2").with_key("k3"),
            "set delay level 3" => message().with_delay_level(3),
            "set delay ms" => message().deliver_after(Duration::from_secs(10)),
            "set deliver ms" => message().deliver_at(at),
            "set user property 'ok' = 'v'" => with("ok", "v"),
            "set user property '' = 'v'" => with("", "v"),
            "set user property ' ' = 'v'" => with(" ", "v"),
            "set user property 'k' = ''" => with("k", ""),
            "set user property 'k' = ' '" => with("k", " "),
            "set user property ' k ' = ' v '" => with(" k ", " v "),
            // Seconds, buyers, priorities: we have no such setter. Null: our types have none.
            "set delay seconds"
            | "set buyer and instance and transaction id"
            | "set priority 3"
            | "set user property 'null' = 'v'"
            | "set user property 'k' = 'null'" => {
                without_setter += 1;
                continue;
            }
            other => panic!("{other}: a setter that this test does not know"),
        };
        ran += 1;
        if case.fails() {
            assert!(matches!(made.check(), Err(InvalidMessage::Property { .. })), "{}", case.name());
            continue;
        }
        let out = case.output();
        assert_eq!(made.check(), Ok(()), "{}", case.name());
        // WAIT=true is what a missing WAIT means; Java writes it, we do not.
        let mut expected = out["properties"].clone();
        if expected["WAIT"] == "true" {
            expected.as_object_mut().unwrap().remove("WAIT");
        }
        assert_eq!(map(made.wire_properties()), expected, "{}", case.name());
        assert_eq!(Some(i64::from(made.flag())), out["flag"].as_i64(), "{}", case.name());
        assert_eq!(made.tag(), text(out, "tags"), "{}", case.name());
        let keys = made.keys().collect::<Vec<_>>().join(" ");
        assert_eq!(keys, text(out, "keys").unwrap_or_default(), "{}", case.name());
        assert_eq!(Some(made.waits_for_store()), out["waitStoreMsgOK"].as_bool(), "{}", case.name());
        let level = match made.delivery() {
            DeliveryTime::Level(level) => u64::from(level),
            _ => 0,
        };
        assert_eq!(Some(level), out["delayTimeLevel"].as_u64(), "{}", case.name());
    }
    assert_eq!((ran, without_setter), (13, 5));
}

#[test]
fn delivery_times_are_told_apart() {
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
    let after = Duration::from_secs(10);
    assert_eq!(Message::new("T", "x").delivery(), DeliveryTime::Now);
    assert_eq!(Message::new("T", "x").deliver_after(after).delivery(), DeliveryTime::After(after));
    let mut seconds = Message::new("T", "x");
    seconds.set_system_property("TIMER_DELAY_SEC", "10");
    assert_eq!(seconds.delivery(), DeliveryTime::After(after), "other clients write seconds");
    assert_eq!(Message::new("T", "x").with_delay_level(2).deliver_at(at).delivery(), DeliveryTime::At(at));
    assert_eq!(Message::new("T", "x").deliver_at(at).with_delay_level(2).delivery(), DeliveryTime::Level(2));
}

// validators.json

#[test]
fn topics_are_accepted_and_refused_as_java_does() {
    let (mut ran, mut nulls, mut derived) = (0, 0, 0);
    for case in cases("validators", "topic") {
        let Some(name) = text(case.input(), "name") else {
            nulls += 1;
            continue;
        };
        let (topic, out) = (Topic::from(name), case.output());
        let verdict = topic.check();
        assert_eq!(Some(verdict.is_ok()), out["checkTopic"]["ok"].as_bool(), "{}", case.name());
        assert_eq!(Some(verdict.is_ok()), out["topicValidator"]["valid"].as_bool(), "{}", case.name());
        assert_eq!(name.parse::<Topic>().is_ok(), verdict.is_ok(), "{}", case.name());
        let said = text(&out["checkTopic"], "message").unwrap_or_default();
        match verdict {
            Ok(()) => assert_eq!(said, "", "{}", case.name()),
            Err(InvalidName::Blank) => assert!(said.contains("blank"), "{}: {said}", case.name()),
            Err(InvalidName::TooLong { limit }) => {
                assert!(said.contains(&limit.to_string()), "{}: {said}", case.name())
            }
            // Java looks at the length first, in UTF-16 units; we look at the characters first.
            Err(InvalidName::IllegalCharacter) => {
                assert!(said.contains("illegal") || !name.is_ascii(), "{}: {said}", case.name());
            }
        }
        assert_eq!(Some(!system::is_system_topic(name)), out["isSystemTopic"]["ok"].as_bool(), "{}", case.name());
        assert_eq!(Some(!system::is_send_forbidden(name)), out["notAllowedSend"]["ok"].as_bool(), "{}", case.name());
        // Our limit for retry and dead-letter topics is larger, because consuming must work for groups of legal length.
        if topic.is_retry() || topic.is_dead_letter() {
            derived += 1;
        }
        assert_eq!(topic.check_for_consuming().is_ok(), verdict.is_ok(), "{}", case.name());
        ran += 1;
    }
    assert_eq!((ran, nulls, derived), (44, 1, 3));
}

#[test]
fn a_group_of_legal_length_has_a_legal_retry_topic() {
    let group = Group::from("g".repeat(Group::MAX_LENGTH));
    assert_eq!(group.check(), Ok(()));
    assert_eq!(group.retry_topic().check_for_consuming(), Ok(()));
    assert_eq!(group.dead_letter_topic().check_for_consuming(), Ok(()));
    let long = Topic::from(format!("%RETRY%{}", "g".repeat(248)));
    assert_eq!(long.check_for_consuming(), Ok(()));
    assert_eq!(long.check(), Err(InvalidName::TooLong { limit: 127 }));
    let longer = Topic::from(format!("%RETRY%{}", "g".repeat(249)));
    assert_eq!(longer.check_for_consuming(), Err(InvalidName::TooLong { limit: 255 }));
    let plain = Topic::from("t".repeat(128));
    assert_eq!(plain.check_for_consuming(), Err(InvalidName::TooLong { limit: 127 }));
}

#[test]
fn groups_are_accepted_and_refused_as_java_does() {
    let (mut ran, mut nulls) = (0, 0);
    for case in cases("validators", "group") {
        let Some(name) = text(case.input(), "name") else {
            nulls += 1;
            continue;
        };
        let verdict = Group::from(name).check();
        assert_eq!(Some(verdict.is_ok()), case.output()["checkGroup"]["ok"].as_bool(), "{}", case.name());
        assert_eq!(Some(verdict.is_ok()), case.output()["topicValidator"]["valid"].as_bool(), "{}", case.name());
        assert_eq!(name.parse::<Group>().is_ok(), verdict.is_ok(), "{}", case.name());
        ran += 1;
    }
    assert_eq!((ran, nulls), (44, 1));
}

#[test]
fn messages_are_accepted_and_refused_as_java_does() {
    let (mut ran, mut left_out) = (0, 0);
    for case in cases("validators", "message") {
        let input = case.input();
        // Null: our types have none. Too large: the producer checks it.
        if case.name() == "message null" || case.name() == "message body over the limit" {
            left_out += 1;
            continue;
        }
        let body = vec![b'x'; input["bodyLength"].as_u64().unwrap_or(0) as usize];
        let mut message = Message::new(text(input, "topic").unwrap_or_default(), body);
        for (name, value) in input["properties"].as_object().unwrap() {
            message.set_system_property(name, value.as_str().unwrap());
        }
        let verdict = message.check();
        assert_eq!(Some(verdict.is_ok()), case.output()["ok"].as_bool(), "{}: {verdict:?}", case.name());
        let said = text(case.output(), "message").unwrap_or_default();
        let fits = match &verdict {
            Ok(()) => said.is_empty(),
            Err(InvalidMessage::Topic(_)) => said.starts_with("The specified topic"),
            Err(InvalidMessage::ForbiddenTopic) => said.contains("forbidden"),
            Err(InvalidMessage::EmptyBody) => said.contains("body"),
            Err(InvalidMessage::Property { name, .. }) => said.contains(name.as_str()),
            Err(_) => false,
        };
        assert!(fits, "{}: {verdict:?}, Java: {said}", case.name());
        ran += 1;
    }
    assert_eq!((ran, left_out), (12, 2));
}

#[test]
fn system_topics_are_those_of_java() {
    let mut ran = 0;
    let sets: BTreeMap<_, _> = cases("validators", "set")
        .into_iter()
        .map(|case| (case.name().to_owned(), set(case.output().as_array().unwrap())))
        .collect();
    for topic in &sets["system topics"] {
        assert!(system::is_system_topic(topic), "{topic}");
        assert_eq!(system::is_send_forbidden(topic), sets["topics that may not be sent to"].contains(topic), "{topic}");
        ran += 1;
    }
    assert_eq!((ran, sets.len()), (12, 2));
    for case in cases("validators", "constants") {
        let out = case.output();
        assert_eq!(out["topicMaxLength"], Topic::MAX_LENGTH);
        assert_eq!(out["characterMaxLength"], Topic::MAX_DERIVED_LENGTH);
        assert_eq!(out["groupMaxLength"], Group::MAX_LENGTH);
        ran += 1;
    }
    assert_eq!(ran, 13);
}

#[test]
fn namespaces_are_put_on_and_taken_off_as_java_does() {
    let (mut wrapped, mut unwrapped) = (0, 0);
    for case in cases("namespaces", "namespace") {
        let (Some(name), Some(resource)) = (text(case.input(), "namespace"), text(case.input(), "resource")) else {
            continue; // no text to begin with
        };
        let namespace = Namespace::new(name);
        if let Some(expected) = text(case.output(), "wrap") {
            assert_eq!(namespace.wrap(resource), expected, "{}", case.name());
            wrapped += 1;
        }
        if let Some(expected) = text(case.output(), "withoutNamespace") {
            assert_eq!(namespace.unwrap(resource), expected, "{}", case.name());
            unwrapped += 1;
        }
    }
    assert_eq!((wrapped, unwrapped), (31, 31));
}

/// Ids of one generator over the days of several months: each says the milliseconds since its own month began.
#[test]
fn ids_count_from_the_start_of_their_own_month_whatever_month_came_before() {
    let generator = IdGenerator::new("10.0.0.1".parse().unwrap(), 1, 2);
    let day = 24 * 3_600 * 1_000;
    let mut ms = 1_700_000_000_000;
    for step in 0..1_500 {
        let id = generator.next(ms);
        let parts = UniqueIdParts::parse(id.as_str()).unwrap();
        assert_eq!(u64::from(parts.ms_in_month), ms - month_start_ms(ms), "step {step}");
        ms += day / 4 + 1;
    }
}
