//! A JSON header: no panic, and where `serde_json` reads an object, we read the same.
#![no_main]

use bytes::Bytes;
use ferrocket_protocol::{Command, Frame, HeaderFormat, limits};
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// How deep it is nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn int(value: Option<&Value>) -> Option<i32> {
    match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => i32::try_from(number.as_i64()?).ok(),
        Some(_) => None,
    }
}

fuzz_target!(|data: &[u8]| {
    let frame =
        Frame { format: HeaderFormat::Json, header: Bytes::copy_from_slice(data), body: Bytes::from_static(b"body") };
    let ours = Command::read(frame);
    if let Ok(command) = &ours {
        let _ = (command.remark(), format!("{command:?}"));
        for field in command.fields() {
            field.expect("fields that were read can be gone through");
        }
        assert_eq!(command.body(), &b"body"[..]);
    }
    let Ok(Value::Object(theirs)) = serde_json::from_slice(data) else { return };
    let numbers = ["code", "opaque", "flag", "version"].map(|key| int(theirs.get(key)));
    let fields = match theirs.get("extFields") {
        Some(Value::Object(fields)) if fields.len() <= limits::MAX_EXT_FIELDS => Some(fields.clone()),
        None | Some(Value::Null) => Some(serde_json::Map::new()),
        _ => None,
    };
    let (Some(fields), [Some(code), Some(opaque), Some(flag), Some(version)]) = (fields, numbers) else { return };
    if depth(&Value::Object(theirs.clone())) + 2 > limits::MAX_JSON_DEPTH {
        return;
    }
    let command = match ours {
        Ok(command) => command,
        // `serde_json` keeps the last of several; we look at each.
        Err(_) if has_duplicates(data) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!((command.code, command.opaque, command.flag, command.version), (code, opaque, flag, version));
    match theirs.get("remark") {
        None | Some(Value::Null) => assert_eq!(command.remark(), None),
        Some(Value::String(text)) => assert_eq!(command.remark().as_deref(), Some(text.as_str())),
        Some(_) => {}
    }
    let mut ours = serde_json::Map::new();
    for field in command.fields() {
        let (name, value) = field.unwrap();
        ours.insert(name.into_owned(), value.into_owned().into());
    }
    if has_duplicates(data) {
        return; // a later `null` takes an earlier value away for them, not for us
    }
    assert_eq!(ours.len(), fields.values().filter(|value| !value.is_null()).count());
    for (name, value) in &fields {
        match value {
            Value::Null => {}
            Value::String(_) => assert_eq!(&ours[name], value),
            other => assert_eq!(&serde_json::from_str::<Value>(ours[name].as_str().unwrap()).unwrap(), other),
        }
    }
});

/// Whether some object names a key twice.
fn has_duplicates(data: &[u8]) -> bool {
    struct Unique;
    impl<'de> Visitor<'de> for Unique {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("anything")
        }
        fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_str<E>(self, _: &str) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
            let mut twice = false;
            while let Some(item) = items.next_element::<Duplicates>()? {
                twice |= item.0;
            }
            Ok(twice)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
            let (mut names, mut twice) = (std::collections::HashSet::new(), false);
            while let Some((name, value)) = fields.next_entry::<String, Duplicates>()? {
                twice |= value.0 | !names.insert(name);
            }
            Ok(twice)
        }
    }
    struct Duplicates(bool);
    impl<'de> Deserialize<'de> for Duplicates {
        fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            input.deserialize_any(Unique).map(Self)
        }
    }
    serde_json::from_slice::<Duplicates>(data).is_ok_and(|found| found.0)
}
