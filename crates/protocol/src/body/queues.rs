//! Queues in bodies: in lists, and as the keys of maps. Such maps are written as `{{"brokerName":…}:2}`, which is no JSON and
//! the only form that 5.5.0 reads (remoting-protocol §4.1).

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use bytes::Bytes;
use ferrocket_model::MessageQueue;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
};

use super::Reader;
use crate::DecodeError;

/// The most queues of one body: more than any group has. A small route can name many brokers, and each of them many queues.
pub(super) const MAX_QUEUES: usize = 262_144;

/// `{"offsetTable":{{…}:offset}}`.
pub(crate) fn write_offsets(offsets: &[(MessageQueue, u64)]) -> Bytes {
    let mut out = Vec::new();
    push_table(&mut out, "offsetTable", &mut offsets.iter().map(|(queue, offset)| (queue, offset)));
    end(out)
}

/// `{"offsetTable":[{…,"offset":offset,…}]}`, as for clients in C++.
pub(crate) fn write_offset_list(offsets: &[(MessageQueue, u64)]) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        broker_name: &'a str,
        offset: u64,
        queue_id: u32,
        topic: &'a str,
    }
    let entries = offsets.iter().map(|(queue, offset)| Entry {
        broker_name: queue.broker().as_str(),
        offset: *offset,
        queue_id: queue.id(),
        topic: queue.topic().as_str(),
    });
    let mut out = Vec::new();
    push_field(&mut out, "offsetTable", &entries.collect::<Vec<_>>());
    end(out)
}

/// Reads what either of the two above wrote.
pub(crate) fn read_offsets(body: &[u8]) -> Result<Vec<(MessageQueue, u64)>, DecodeError> {
    let mut found = Vec::new();
    Reader::read(body, &mut |reader, key| match key {
        "offsetTable" if reader.at_list() => reader.list(&mut |reader| {
            let mut entry = Entry::default();
            reader.object(&mut |reader, key| entry.field(reader, key))?;
            let offset = entry.offset.ok_or(DecodeError::MissingField("offset"))?;
            push(&mut found, entry.queue()?, offset)
        }),
        "offsetTable" => read_table(reader, &mut found),
        _ => reader.skip(),
    })?;
    Ok(found)
}

/// `{"consumerTable":{},"messageQueueTable":{{…}:offset}}`.
pub(crate) fn write_status(offsets: &[(MessageQueue, u64)]) -> Bytes {
    let mut out = Vec::new();
    push_field(&mut out, "consumerTable", &BTreeMap::<u8, u8>::new());
    push_table(&mut out, "messageQueueTable", &mut offsets.iter().map(|(queue, offset)| (queue, offset)));
    end(out)
}

/// Reads what [`write_status`] wrote.
pub(crate) fn read_status(body: &[u8]) -> Result<Vec<(MessageQueue, u64)>, DecodeError> {
    let mut found = Vec::new();
    Reader::read(body, &mut |reader, key| match key {
        "messageQueueTable" => read_table(reader, &mut found),
        _ => reader.skip(),
    })?;
    Ok(found)
}

/// Begins the object or goes on with it: the field's name and its value.
pub(super) fn push_field<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) {
    push_name(out, name);
    push_value(out, value);
}

/// A field whose value is a map from queues.
pub(super) fn push_table<'a, V: Serialize + 'a>(
    out: &mut Vec<u8>,
    name: &str,
    entries: &mut dyn Iterator<Item = (&'a MessageQueue, &'a V)>,
) {
    push_name(out, name);
    out.push(b'{');
    for (index, (queue, value)) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_value(out, &JsonQueue::from(queue));
        out.push(b':');
        push_value(out, value);
    }
    out.push(b'}');
}

/// Ends the object.
pub(super) fn end(mut out: Vec<u8>) -> Bytes {
    out.push(b'}');
    out.into()
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    push_value(out, name);
    out.push(b':');
}

/// Values have text keys only and a `Vec` takes everything, so this cannot fail.
fn push_value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(out, value);
}

/// A list of queues.
pub(super) fn read_list(reader: &mut Reader<'_>, found: &mut Vec<MessageQueue>) -> Result<(), DecodeError> {
    reader.list(&mut |reader| {
        let mut entry = Entry::default();
        reader.object(&mut |reader, key| entry.field(reader, key))?;
        limit(found.len())?;
        found.push(entry.queue()?);
        Ok(())
    })
}

fn read_table(reader: &mut Reader<'_>, found: &mut Vec<(MessageQueue, u64)>) -> Result<(), DecodeError> {
    reader.object(&mut |reader, key| {
        let queue = read_key(key)?;
        push(found, queue, reader.number()?)
    })
}

fn push(found: &mut Vec<(MessageQueue, u64)>, queue: MessageQueue, offset: u64) -> Result<(), DecodeError> {
    limit(found.len())?;
    found.push((queue, offset));
    Ok(())
}

fn limit(queues: usize) -> Result<(), DecodeError> {
    if queues < MAX_QUEUES {
        return Ok(());
    }
    Err(DecodeError::Body(format!("more than {MAX_QUEUES} queues")))
}

/// A queue that stands as a key: the object's text.
fn read_key(key: &str) -> Result<MessageQueue, DecodeError> {
    let mut entry = Entry::default();
    Reader::read(key.as_bytes(), &mut |reader, key| entry.field(reader, key))?;
    entry.queue()
}

/// A queue, and its offset where one stands with it. All parts must be there: without one it is no queue.
#[derive(Default)]
struct Entry {
    broker: Option<String>,
    id: Option<u32>,
    topic: Option<String>,
    offset: Option<u64>,
}

impl Entry {
    fn field(&mut self, reader: &mut Reader<'_>, key: &str) -> Result<(), DecodeError> {
        match key {
            "brokerName" => self.broker = Some(reader.owned_text()?),
            "queueId" => self.id = Some(reader.number()?),
            "topic" => self.topic = Some(reader.owned_text()?),
            "offset" => self.offset = Some(reader.number()?),
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn queue(self) -> Result<MessageQueue, DecodeError> {
        let broker = self.broker.ok_or(DecodeError::MissingField("brokerName"))?;
        let id = self.id.ok_or(DecodeError::MissingField("queueId"))?;
        let topic = self.topic.ok_or(DecodeError::MissingField("topic"))?;
        Ok(MessageQueue::new(topic, broker, id))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonQueue<'a> {
    broker_name: &'a str,
    queue_id: i32,
    topic: &'a str,
}

impl<'a> From<&'a MessageQueue> for JsonQueue<'a> {
    fn from(queue: &'a MessageQueue) -> Self {
        Self {
            broker_name: queue.broker().as_str(),
            queue_id: i32::try_from(queue.id()).unwrap_or(i32::MAX),
            topic: queue.topic().as_str(),
        }
    }
}

/// Queues as a list; a missing or `null` one is empty.
pub(super) mod list {
    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OwnedQueue {
        broker_name: String,
        queue_id: u32,
        topic: String,
    }

    pub(in super::super) fn serialize<S: Serializer>(queues: &[MessageQueue], out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(queues.iter().map(JsonQueue::from))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<MessageQueue>, D::Error> {
        let queues = Option::<Vec<OwnedQueue>>::deserialize(input)?.unwrap_or_default();
        Ok(queues.into_iter().map(|queue| MessageQueue::new(queue.topic, queue.broker_name, queue.queue_id)).collect())
    }
}

/// A map from queues, in a body that was brought into standard form: its keys are the texts of objects.
pub(super) fn table<'de, D, V>(input: D) -> Result<BTreeMap<MessageQueue, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de> + Default,
{
    struct Table<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de> + Default> Visitor<'de> for Table<V> {
        type Value = BTreeMap<MessageQueue, V>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a map from queues")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, Option<V>>()? {
                let queue = read_key(&key).and_then(|queue| limit(found.len()).map(|()| queue));
                found.insert(queue.map_err(A::Error::custom)?, value.unwrap_or_default());
            }
            Ok(found)
        }
    }

    input.deserialize_any(Table(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = r#"{"brokerName":"b","queueId":1,"topic":"t"}"#;

    fn all_offsets(body: &str) -> [Result<usize, DecodeError>; 2] {
        let status = body.replace("offsetTable", "messageQueueTable");
        [read_offsets(body.as_bytes()), read_status(status.as_bytes())].map(|read| read.map(|found| found.len()))
    }

    /// CON-ADM-04, CON-ADM-06: a key that is no queue and a value that is no offset are errors, and never a queue that nobody has.
    #[test]
    fn what_is_no_table_of_offsets_is_an_error() {
        let wrong = [
            "",
            "null",
            "[]",
            "{",
            "{\"offsetTable\":7}",
            "{\"offsetTable\":{\"b\":1}}",
            "{\"offsetTable\":{1:1}}",
            "{\"offsetTable\":{{}:1}}",
            r#"{"offsetTable":{{"brokerName":"b","queueId":1}:1}}"#,
            r#"{"offsetTable":{{"brokerName":"b","topic":"t"}:1}}"#,
            r#"{"offsetTable":{{"queueId":1,"topic":"t"}:1}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":-1,"topic":"t"}:1}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":4294967296,"topic":"t"}:1}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"t"}:-1}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"t"}:1.5}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"t"}:"1"}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":1,"topic":"t"}:9223372036854775808}}"#,
        ];
        for body in wrong {
            assert!(all_offsets(body).iter().all(Result::is_err), "{body}");
        }
        let wrong = [
            r#"[{"brokerName":"b","queueId":1,"topic":"t"}]"#,
            r#"[{"brokerName":"b","offset":-1,"queueId":1,"topic":"t"}]"#,
            r#"[{"brokerName":"b","offset":1,"topic":"t"}]"#,
            "[null]",
            "[1]",
            "[{}",
        ];
        for list in wrong {
            assert!(read_offsets(format!("{{\"offsetTable\":{list}}}").as_bytes()).is_err(), "{list}");
        }
    }

    #[test]
    fn a_table_that_is_missing_or_null_has_nothing() {
        for body in ["{}", r#"{"offsetTable":null}"#, r#"{"offsetTable":{}}"#, r#"{"x":{"y":[]}}"#] {
            assert_eq!(all_offsets(body), [Ok(0), Ok(0)], "{body}");
        }
        assert_eq!(read_offsets(br#"{"offsetTable":[]}"#), Ok(Vec::new()));
    }

    /// S4: what a body makes us keep is bounded.
    #[test]
    fn a_table_of_too_many_queues_is_an_error() {
        for count in [MAX_QUEUES, MAX_QUEUES + 1] {
            let fits = count <= MAX_QUEUES;
            let entries = format!("{KEY}:1,").repeat(count);
            let body = format!("{{\"offsetTable\":{{{entries}}}}}");
            assert_eq!(all_offsets(&body).map(|read| read.is_ok()), [fits; 2]);
            let item = r#"{"brokerName":"b","offset":1,"queueId":1,"topic":"t"},"#;
            let list = format!("{{\"offsetTable\":[{}]}}", item.repeat(count));
            assert_eq!(read_offsets(list.as_bytes()).is_ok(), fits);
        }
    }

    /// Names with everything that JSON escapes come back as they were, in both forms and as keys.
    #[test]
    fn queues_of_any_name_are_read_as_they_were_written() {
        let name = "%RETRY%g\"\\{}:,\u{1}\n\u{2028}é中😀";
        let offsets = [
            (MessageQueue::new(name, "b", 0), 0),
            (MessageQueue::new("t", name, i32::MAX as u32), i64::MAX as u64),
            (MessageQueue::new("", "", 1), 7),
        ];
        assert_eq!(read_offsets(&write_offsets(&offsets)).as_deref(), Ok(&offsets[..]));
        assert_eq!(read_offsets(&write_offset_list(&offsets)).as_deref(), Ok(&offsets[..]));
        assert_eq!(read_status(&write_status(&offsets)).as_deref(), Ok(&offsets[..]));
    }
}
