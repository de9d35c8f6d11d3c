//! What a message of an index contains, and the lines about it.

use std::collections::BTreeMap;

use ferrocket::{Message, ReceivedMessage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The message of this index.
pub(crate) fn message(topic: &str, index: usize) -> Message {
    let body: Vec<u8> = match index % 6 {
        0 => format!("message {index}").into_bytes(),
        1 => format!("größer 世界 🚀 {index}").into_bytes(),
        2 => vec![index as u8],
        3 => (0..256).map(|n| (n + index) as u8).collect(),
        4 => format!("line {index} of a text that compresses well\n").repeat(400).into_bytes(),
        _ => {
            let mut state = index as u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..8192).map(|_| next()).collect()
        }
    };
    let mut message = Message::new(topic, body).with_property("index", index);
    message = match index % 3 {
        1 => message.with_tag("tag-a"),
        2 => message.with_tag("标签"),
        _ => message,
    };
    message = match index % 4 {
        1 => message.with_key(format!("key-{index}")),
        2 => message.with_key(format!("key-{index}-a")).with_key(format!("key-{index}-b")),
        3 => message.with_key(format!("schlüssel-{index}")),
        _ => message,
    };
    if index % 2 == 1 {
        message = message
            .with_property("unicode-名", "naïve ✓ 🚀")
            .with_property("json", "{\"a\":\"b\\\"c\",\"d\":[1,2]}\n\t=;&");
    }
    if index.is_multiple_of(5) {
        message = message.with_property("long", "x".repeat(1000));
    }
    message
}

/// A line about a message that is sent.
pub(crate) fn line_of(message: &Message) -> Value {
    line(None, message.tag(), message.keys(), message.properties(), message.body())
}

/// A line about a message that came.
pub(crate) fn line_of_received(message: &ReceivedMessage) -> Value {
    let id = Some(message.id().as_str());
    line(id, message.tag(), message.keys(), message.properties(), message.body())
}

/// Adds what was answered.
pub(crate) fn put_reply(line: &mut Value, body: &[u8]) {
    line["reply_length"] = json!(body.len());
    line["reply_sha256"] = json!(hex::encode(Sha256::digest(body)));
}

fn line<'a>(
    id: Option<&str>,
    tag: Option<&str>,
    keys: impl Iterator<Item = &'a str>,
    properties: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
) -> Value {
    const USERS: [&str; 4] = ["index", "unicode-名", "json", "long"];
    let properties: BTreeMap<_, _> = properties.filter(|(name, _)| USERS.contains(name)).collect();
    let index: usize = properties.get("index").and_then(|index| index.parse().ok()).unwrap_or(usize::MAX);
    json!({
        "index": index,
        "id": id,
        "tag": tag,
        "keys": keys.collect::<Vec<_>>(),
        "properties": properties,
        "length": body.len(),
        "sha256": hex::encode(Sha256::digest(body)),
    })
}
