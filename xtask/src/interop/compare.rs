//! Lines of what was sent against lines of what came.

use std::collections::BTreeMap;

use serde_json::Value;

/// Compared in every message.
const FIELDS: [&str; 6] = ["id", "tag", "keys", "properties", "length", "sha256"];
/// Compared when both sides know it: some clients do not tell their user.
const OPTIONAL: &str = "compression";

/// Every difference, one sentence each.
pub(super) fn differences(sent: &[Value], received: &[Value], count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let sent = by_index(sent, "sent", &mut found);
    let received = by_index(received, "received", &mut found);
    for index in 0..count as u64 {
        match (sent.get(&index), received.get(&index)) {
            (Some(sent), Some(received)) => found.extend(message_differences(index, sent, received)),
            (None, _) => found.push(format!("message {index} was not sent")),
            (_, None) => found.push(format!("message {index} did not come")),
        }
    }
    for (lines, word) in [(&sent, "sent"), (&received, "received")] {
        found.extend(
            lines.range(count as u64..).map(|(index, _)| format!("message {index} was {word}, and is not of ours")),
        );
    }
    found
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
    let mut found = Vec::new();
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

    fn line(index: u64) -> Value {
        json!({"index": index, "id": format!("id-{index}"), "tag": null, "keys": [], "properties": {"a": "b", "c": "d"},
            "length": 3, "sha256": "00", "compression": "zlib"})
    }

    #[test]
    fn the_same_in_any_order_is_no_difference() {
        assert_eq!(differences(&[line(0), line(1)], &[line(1), line(0)], 2), Vec::<String>::new());
    }

    #[test]
    fn every_field_counts() {
        for field in FIELDS.iter().chain([&OPTIONAL]) {
            let mut other = line(0);
            other[field] = json!("else");
            assert_eq!(differences(&[line(0)], &[other], 1).len(), 1, "{field}");
        }
    }

    #[test]
    fn compression_counts_only_where_it_is_known() {
        let mut other = line(0);
        other.as_object_mut().unwrap().remove(OPTIONAL);
        assert_eq!(differences(&[line(0)], &[other], 1), Vec::<String>::new());
    }

    #[test]
    fn missing_doubled_and_foreign_messages_are_differences() {
        assert_eq!(differences(&[line(0)], &[], 1).len(), 1);
        assert_eq!(differences(&[line(0)], &[line(0), line(0)], 1).len(), 1);
        assert_eq!(differences(&[line(0)], &[line(0), line(7)], 1).len(), 1);
        assert_eq!(differences(&[], &[], 1).len(), 1);
        assert_eq!(differences(&[json!({"id": 1})], &[line(0)], 1).len(), 2);
    }
}
