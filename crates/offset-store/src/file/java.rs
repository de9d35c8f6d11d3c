//! The file of Java's `LocalFileOffsetStore` (CON-OFF-21): JSON, but for the keys of its table, which are objects.

use ferrocket_model::{MessageQueue, Namespace};
use serde::{Deserialize, de::IgnoredAny};

use super::format::Table;

#[derive(Deserialize)]
struct Queue {
    topic: String,
    #[serde(rename = "brokerName")]
    broker: String,
    #[serde(rename = "queueId")]
    id: u32,
}

/// The offsets of a file. With a namespace, topics are as the servers know them, and it is taken off.
pub(super) fn read(text: &str, namespace: Option<&Namespace>) -> Result<Table, String> {
    let mut reader = Reader { text, at: 0 };
    let mut table = Table::new();
    reader.expect("{")?;
    while !reader.ended("}")? {
        let name: String = reader.value()?;
        reader.expect(":")?;
        if name == "offsetTable" {
            reader.table(namespace, &mut table)?;
        } else {
            let _: IgnoredAny = reader.value()?;
        }
    }
    match reader.rest().trim_start() {
        "" => Ok(table),
        _ => Err(reader.wrong("the end")),
    }
}

/// Goes through the text; whatever is JSON in it is left to the JSON reader.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn table(&mut self, namespace: Option<&Namespace>, table: &mut Table) -> Result<(), String> {
        self.expect("{")?;
        while !self.ended("}")? {
            let Queue { topic, broker, id } = self.value()?;
            self.expect(":")?;
            let offset: i64 = self.value()?;
            // Java has -1 for "none".
            let Ok(offset) = u64::try_from(offset) else { continue };
            let topic = namespace.map_or(topic.as_str().into(), |namespace| namespace.unwrap(&topic));
            table.insert(MessageQueue::new(&*topic, broker, id), offset);
        }
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Whether the list is at its end; takes the comma before the next element.
    fn ended(&mut self, close: &str) -> Result<bool, String> {
        let begins = self.text.get(..self.at).is_some_and(|before| before.ends_with('{'));
        if self.take(close) {
            return Ok(true);
        }
        if !begins {
            self.expect(",")?;
        }
        Ok(false)
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest().trim_start();
        let taken = rest.strip_prefix(token);
        if let Some(after) = taken {
            self.at = self.text.len() - after.len();
        }
        taken.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(token)) }
    }

    fn value<T: Deserialize<'a>>(&mut self) -> Result<T, String> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter();
        let value = match values.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(format!("{}: {error}", self.wrong("a value"))),
            None => return Err(self.wrong("a value")),
        };
        self.at += values.byte_offset();
        Ok(value)
    }

    fn wrong(&self, expected: &str) -> String {
        format!("{expected} expected at byte {}", self.text.len() - self.rest().trim_start().len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(entries: &[(&str, &str, u32, u64)]) -> Table {
        entries.iter().map(|(topic, broker, id, offset)| (MessageQueue::new(*topic, *broker, *id), *offset)).collect()
    }

    #[test]
    fn objects_are_keys() {
        let text = r#" { "dataVersion" : {"counter":[1,{}]} , "offsetTable" : { {"brokerName":"b","queueId":0,"topic":"T"} : 5 ,
            {"topic":"T\u0041","queueId":3,"brokerName":"b","more":null}:7,{"brokerName":"b","queueId":1,"topic":"T"}:-1}}
            "#;
        assert_eq!(read(text, None), Ok(table(&[("T", "b", 0, 5), ("TA", "b", 3, 7)])));
    }

    #[test]
    fn a_namespace_is_taken_off() {
        let text = r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"N%T"}:5,{"brokerName":"b","queueId":0,"topic":"T"}:6}}"#;
        let namespace = Namespace::new("N");
        assert_eq!(read(text, None), Ok(table(&[("N%T", "b", 0, 5), ("T", "b", 0, 6)])));
        assert_eq!(
            read(&text.replace("\"T\"", "\"U\""), Some(&namespace)),
            Ok(table(&[("T", "b", 0, 5), ("U", "b", 0, 6)]))
        );
    }

    #[test]
    fn what_java_never_writes_is_refused() {
        for text in [
            "",
            "{",
            "hello",
            "[]",
            r#"{"offsetTable":{"#,
            r#"{"offsetTable":{}"#,
            r#"{"offsetTable":{}}}"#,
            r#"{"offsetTable":null}"#,
            r#"{"offsetTable":{,}}"#,
            r#"{,"offsetTable":{}}"#,
            r#"{"offsetTable":{},}"#,
            r#"{"offsetTable":{} "more":1}"#,
            r#"{"offsetTable":{"T":5}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":0}:5}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":-1,"topic":"T"}:5}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:5.5}}"#,
            r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:5 {"brokerName":"b","queueId":1,"topic":"T"}:5}}"#,
        ] {
            assert!(read(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_does_not_overflow_the_stack() {
        let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
        assert!(read(&deep, None).is_err());
        let deep = format!("{{\"offsetTable\":{}", "{".repeat(1_000_000));
        assert!(read(&deep, None).is_err());
    }

    proptest! {
        #[test]
        fn a_text_cut_short_is_refused(at in any::<prop::sample::Index>()) {
            let text = r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:5,{"brokerName":"b","queueId":1,"topic":"中"}:6}}"#;
            let end = at.index(text.len());
            prop_assume!(text.is_char_boundary(end));
            prop_assert!(read(&text[..end], None).is_err());
        }

        #[test]
        fn no_text_panics(pieces in proptest::collection::vec(
            prop::sample::select(vec!["{", "}", ":", ",", "\"offsetTable\"", "\"topic\"", "\"", "1", "-", "[", " ", "中", "\\u", "null"]), 0..40,
        )) {
            let _ = read(&pieces.concat(), None);
        }
    }
}
