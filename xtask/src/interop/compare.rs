//! Lines of what was sent against lines of what came.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Compared in every message.
const FIELDS: [&str; 6] = ["id", "tag", "keys", "properties", "length", "sha256"];
/// Compared when both sides know it: some clients do not tell their user.
const OPTIONAL: &str = "compression";
/// Compared when one side has them: of a request, what was answered.
const REPLY: [&str; 2] = ["reply_length", "reply_sha256"];

/// Every difference, one sentence each. `expected` are the messages that must be on both sides, and no others.
pub(super) fn differences(sent: &[Value], received: &[Value], expected: &BTreeSet<u64>) -> Vec<String> {
    let mut found = Vec::new();
    let sent = by_index(sent, "sent", &mut found);
    let received = by_index(received, "received", &mut found);
    for index in expected {
        match (sent.get(index), received.get(index)) {
            (Some(sent), Some(received)) => found.extend(message_differences(*index, sent, received)),
            (None, _) => found.push(format!("message {index} was not sent")),
            (_, None) => found.push(format!("message {index} did not come")),
        }
    }
    for (lines, word) in [(&sent, "sent"), (&received, "received")] {
        let others = lines.keys().filter(|index| !expected.contains(index));
        found.extend(others.map(|index| format!("message {index} was {word}, and should not have been")));
    }
    found
}

/// Every difference between records of message trace, one sentence each. A record is known by its kind, the message's id, and the
/// state in which it ends a transaction; every field that one side printed counts.
pub(super) fn record_differences(written: &[Value], read: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let written = by_record(written, "written", &mut found);
    let read = by_record(read, "read", &mut found);
    for (name, written) in &written {
        match read.get(name) {
            None => found.push(format!("record {name} did not come")),
            Some(read) => {
                let fields: BTreeSet<&String> = [written, read].iter().flat_map(|line| line.keys()).collect();
                let other = fields.into_iter().filter(|field| written.get(*field) != read.get(*field));
                found.extend(other.map(|field| {
                    let [written, read] = [written, read].map(|line| line.get(field).unwrap_or(&Value::Null));
                    format!("record {name}: {field} is {written} where it was written and {read} where it was read")
                }));
            }
        }
    }
    found.extend(
        read.keys().filter(|name| !written.contains_key(*name)).map(|name| format!("record {name} was made up")),
    );
    found
}

fn by_record<'a>(lines: &'a [Value], word: &str, found: &mut Vec<String>) -> BTreeMap<String, &'a Map<String, Value>> {
    let mut map = BTreeMap::new();
    for line in lines {
        let name: Vec<_> = ["record", "id", "state"].iter().filter_map(|field| line[*field].as_str()).collect();
        let name = name.join(" ");
        match line.as_object() {
            None => found.push(format!("what was {word} is no record: {line}")),
            Some(line) => {
                if map.insert(name.clone(), line).is_some() {
                    found.push(format!("record {name} was {word} twice"));
                }
            }
        }
    }
    map
}

fn by_index<'a>(lines: &'a [Value], word: &str, found: &mut Vec<String>) -> BTreeMap<u64, &'a Value> {
    let mut map = BTreeMap::new();
    for line in lines {
        match line["index"].as_u64() {
            None => found.push(format!("a line of what was {word} has no index: {line}")),
            Some(index) => {
                if map.insert(index, line).is_some() {
                    found.push(format!("message {index} was {word} twice"));
                }
            }
        }
    }
    map
}

fn message_differences(index: u64, sent: &Value, received: &Value) -> Vec<String> {
    let mut fields = FIELDS.to_vec();
    if [sent, received].iter().all(|line| line.get(OPTIONAL).is_some_and(|value| !value.is_null())) {
        fields.push(OPTIONAL);
    }
    // Our requester is told the reply, and not the id of its request.
    if sent.get(REPLY[0]).is_some() && sent["id"].is_null() {
        fields.retain(|field| *field != "id");
    }
    fields.extend(REPLY.iter().filter(|field| [sent, received].iter().any(|line| line.get(**field).is_some())));
    let mut found = Vec::new();
    if let Some(least) = sent["least_wait_ms"].as_u64()
        && received["waited_ms"].as_i64().is_none_or(|waited| waited < least.cast_signed())
    {
        found.push(format!("message {index}: {} ms between born and stored, not {least}", received["waited_ms"]));
    }
    for field in fields {
        match (sent.get(field), received.get(field)) {
            (Some(sent), Some(received)) if sent == received => {}
            (Some(sent), Some(received)) => {
                found.push(format!("message {index}: {field} was {sent} when sent and {received} when received"));
            }
            (None, _) => found.push(format!("message {index}: the sender printed no {field}")),
            (_, None) => found.push(format!("message {index}: the receiver printed no {field}")),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn first(count: u64) -> BTreeSet<u64> {
        (0..count).collect()
    }

    fn line(index: u64) -> Value {
        json!({"index": index, "id": format!("id-{index}"), "tag": null, "keys": [], "properties": {"a": "b", "c": "d"},
            "length": 3, "sha256": "00", "compression": "zlib"})
    }

    #[test]
    fn the_same_in_any_order_is_no_difference() {
        assert_eq!(differences(&[line(0), line(1)], &[line(1), line(0)], &first(2)), Vec::<String>::new());
    }

    #[test]
    fn every_field_counts() {
        for field in FIELDS.iter().chain([&OPTIONAL]) {
            let mut other = line(0);
            other[field] = json!("else");
            assert_eq!(differences(&[line(0)], &[other], &first(1)).len(), 1, "{field}");
        }
    }

    #[test]
    fn compression_counts_only_where_it_is_known() {
        let mut other = line(0);
        other.as_object_mut().unwrap().remove(OPTIONAL);
        assert_eq!(differences(&[line(0)], &[other], &first(1)), Vec::<String>::new());
    }

    #[test]
    fn missing_doubled_and_foreign_messages_are_differences() {
        assert_eq!(differences(&[line(0)], &[], &first(1)).len(), 1);
        assert_eq!(differences(&[line(0)], &[line(0), line(0)], &first(1)).len(), 1);
        assert_eq!(differences(&[line(0)], &[line(0), line(7)], &first(1)).len(), 1);
        assert_eq!(differences(&[], &[], &first(1)).len(), 1);
        assert_eq!(differences(&[json!({"id": 1})], &[line(0)], &first(1)).len(), 2);
    }

    #[test]
    fn only_what_is_expected_may_come() {
        let both = [line(0), line(1)];
        assert_eq!(differences(&both[..1], &both, &BTreeSet::from([0])).len(), 1, "1 was rolled back");
    }

    #[test]
    fn a_delayed_message_must_have_waited() {
        let mut sent = line(0);
        sent["least_wait_ms"] = json!(1000);
        for (waited, count) in [(json!(1000), 0), (json!(999), 1), (json!(-5), 1), (json!(null), 1)] {
            let mut received = line(0);
            received["waited_ms"] = waited;
            assert_eq!(differences(&[sent.clone()], &[received], &first(1)).len(), count);
        }
    }

    #[test]
    fn a_reply_counts_on_both_sides() {
        let mut one = line(0);
        one["reply_length"] = json!(7);
        assert_eq!(differences(&[one.clone()], &[line(0)], &first(1)).len(), 1);
        assert_eq!(differences(&[line(0)], &[one.clone()], &first(1)).len(), 1);
        assert_eq!(differences(&[one.clone()], &[one.clone()], &first(1)), Vec::<String>::new());
        let mut request = one.clone();
        request["id"] = json!(null);
        assert_eq!(differences(&[request.clone()], &[one.clone()], &first(1)), Vec::<String>::new());
        assert_eq!(differences(&[one], &[request], &first(1)).len(), 1, "a receiver knows the id");
    }

    fn record(id: &str, state: Value) -> Value {
        json!({"record": "Pub", "id": id, "state": state, "tag": null, "keys": ["a"], "success": true})
    }

    #[test]
    fn records_in_any_order_are_no_difference() {
        let (a, b, c) = (record("1", json!(null)), record("1", json!("commit")), record("2", json!("commit")));
        assert_eq!(record_differences(&[a.clone(), b.clone(), c.clone()], &[c, a, b]), Vec::<String>::new());
    }

    #[test]
    fn every_field_of_a_record_counts() {
        let one = record("1", json!("commit"));
        for field in ["tag", "keys", "success", "more"] {
            let mut other = one.clone();
            other[field] = json!("else");
            assert_eq!(
                record_differences(std::slice::from_ref(&one), std::slice::from_ref(&other)).len(),
                1,
                "{field}"
            );
            assert_eq!(record_differences(&[other], std::slice::from_ref(&one)).len(), 1, "{field}");
        }
    }

    #[test]
    fn missing_doubled_and_foreign_records_are_differences() {
        let (one, two) = (record("1", json!(null)), record("2", json!(null)));
        assert_eq!(record_differences(std::slice::from_ref(&one), &[]).len(), 1);
        assert_eq!(record_differences(&[], std::slice::from_ref(&one)).len(), 1);
        assert_eq!(record_differences(std::slice::from_ref(&one), &[one.clone(), one.clone()]).len(), 1);
        assert_eq!(record_differences(std::slice::from_ref(&one), &[one.clone(), two]).len(), 1);
        assert_eq!(record_differences(&[json!("text")], &[]).len(), 1);
    }
}
