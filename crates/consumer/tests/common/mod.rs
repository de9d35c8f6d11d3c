//! Loads golden vectors: `vectors/<file>.json`, see `vectors/README.md`. Unit tests of private parts use it too.
#![allow(dead_code, reason = "each user uses its part")]

use serde_json::Value;

/// The cases of one kind; the file must hold as many cases as it says.
pub(crate) fn cases(file: &str, kind: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut file: Value = serde_json::from_str(&text).expect("vectors are JSON");
    let Value::Array(cases) = file["cases"].take() else { panic!("{path} has no cases") };
    assert_eq!(file["count"].as_u64(), Some(cases.len() as u64), "{path} is not whole");
    cases.into_iter().filter(|case| case["kind"] == kind).collect()
}

/// The case of this name.
pub(crate) fn case(file: &str, kind: &str, name: &str) -> Value {
    let found = cases(file, kind).into_iter().find(|case| case["name"] == name);
    found.unwrap_or_else(|| panic!("{file}.json has no {kind} of the name {name:?}"))
}

/// A list of texts; empty for null.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let values = value.as_array().map(Vec::as_slice).unwrap_or_default();
    values.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// A list of offsets; empty for null.
pub(crate) fn offsets(value: &Value) -> Vec<u64> {
    let values = value.as_array().map(Vec::as_slice).unwrap_or_default();
    values.iter().map(|offset| offset.as_u64().expect("an offset")).collect()
}
