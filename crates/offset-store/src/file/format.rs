//! The text of our file: JSON, one line per queue, so that people can read, compare and, while nobody uses it, correct it.
//!
//! ```json
//! {
//! "version": 1,
//! "group": "cache-reload",
//! "offsets": [
//! {"topic":"Orders","broker":"broker-a","queue":0,"offset":123}
//! ]
//! }
//! ```

use std::{borrow::Cow, collections::BTreeMap};

use ferrocket_model::{Group, MessageQueue};
use serde::{Deserialize, Serialize};

/// Offsets by queue, in the order in which they are written.
pub(super) type Table = BTreeMap<MessageQueue, u64>;

const VERSION: u64 = 1;

/// Why a text is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Corrupt(String),
    Version(u64),
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    broker: Cow<'a, str>,
    queue: u32,
    offset: u64,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    group: Cow<'a, str>,
    #[serde(borrow)]
    offsets: Vec<Line<'a>>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// The text of a table.
pub(super) fn write(group: &Group, table: &Table) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = format!("{{\n\"version\": {VERSION},\n\"group\": ").into_bytes();
    serde_json::to_writer(&mut text, group.as_str())?;
    text.extend_from_slice(b",\n\"offsets\": [");
    for (index, (queue, offset)) in table.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
        let (topic, broker) = (queue.topic().as_str().into(), queue.broker().as_str().into());
        serde_json::to_writer(&mut text, &Line { topic, broker, queue: queue.id(), offset: *offset })?;
    }
    text.extend_from_slice(b"\n]\n}\n");
    Ok(text)
}

/// The table of a text.
pub(super) fn read(group: &Group, text: &[u8]) -> Result<Table, Unreadable> {
    let corrupt = |error: serde_json::Error| Unreadable::Corrupt(error.to_string());
    // First, because a later version may have changed all the rest.
    let Version { version } = serde_json::from_slice(text).map_err(corrupt)?;
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let file: File<'_> = serde_json::from_slice(text).map_err(corrupt)?;
    if file.group != group.as_str() {
        // A copy, or a file system for which `a` and `A` are one name.
        return Err(Unreadable::Corrupt(format!("it is of group {}", file.group)));
    }
    let offsets = file.offsets.iter();
    Ok(offsets.map(|line| (MessageQueue::new(&*line.topic, &*line.broker, line.queue), line.offset)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> impl Strategy<Value = Table> {
        let queue = (any::<String>(), any::<String>(), any::<u32>());
        let queue = queue.prop_map(|(topic, broker, id)| MessageQueue::new(topic, broker, id));
        proptest::collection::btree_map(queue, any::<u64>(), 0..8)
    }

    #[test]
    fn the_text_is_stable() {
        let table = Table::from([
            (MessageQueue::new("Orders", "broker-b", 1), 9),
            (MessageQueue::new("Orders", "broker-a", 0), u64::MAX),
        ]);
        let text = String::from_utf8(write(&"g".into(), &table).expect("writes")).expect("is text");
        let expected = "{\n\"version\": 1,\n\"group\": \"g\",\n\"offsets\": [\n\
            {\"topic\":\"Orders\",\"broker\":\"broker-a\",\"queue\":0,\"offset\":18446744073709551615},\n\
            {\"topic\":\"Orders\",\"broker\":\"broker-b\",\"queue\":1,\"offset\":9}\n]\n}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_later_version_wrote_is_told_from_what_is_broken() {
        let read = |text: &str| read(&"g".into(), text.as_bytes());
        assert_eq!(read(r#"{"version":2,"offsets":"elsewhere"}"#), Err(Unreadable::Version(2)));
        assert_eq!(read(r#"{"version":1,"group":"g","offsets":[],"more":{}}"#), Ok(Table::new()));
        for text in ["", "null", "[]", r#"{"group":"g","offsets":[]}"#, r#"{"version":1,"group":"G","offsets":[]}"#] {
            assert!(matches!(read(text), Err(Unreadable::Corrupt(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(table in table()) {
            let text = write(&"g".into(), &table).expect("writes");
            prop_assert_eq!(read(&"g".into(), &text), Ok(table));
        }

        /// A text of which the end is missing is never taken for a shorter table.
        #[test]
        fn a_text_cut_short_is_corrupt(table in table(), at in any::<prop::sample::Index>()) {
            let text = write(&"g".into(), &table).expect("writes");
            let end = at.index(text.len() - 1); // the last byte is the end of the line
            prop_assert!(matches!(read(&"g".into(), &text[..end]), Err(Unreadable::Corrupt(_))));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = read(&"g".into(), &bytes);
        }
    }
}
