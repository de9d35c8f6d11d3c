//! Loads golden vectors: `vectors/<file>.json`, see `vectors/README.md`.

use serde_json::Value;

/// One case of a file.
pub(crate) struct Case {
    value: Value,
}

impl Case {
    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().expect("a case has a name")
    }

    pub(crate) fn input(&self) -> &Value {
        &self.value["in"]
    }

    pub(crate) fn output(&self) -> &Value {
        &self.value["out"]
    }

    /// Whether Java threw.
    pub(crate) fn fails(&self) -> bool {
        self.value["out"].get("error").is_some()
    }
}

/// The cases of one kind; the file must hold as many cases as it says.
pub(crate) fn cases(file: &str, kind: &str) -> Vec<Case> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: Value = serde_json::from_str(&text).expect("vectors are JSON");
    let cases = file["cases"].as_array().expect("a file has cases");
    assert_eq!(file["count"].as_u64(), Some(cases.len() as u64), "{path} is not whole");
    cases.iter().filter(|case| case["kind"] == kind).map(|case| Case { value: case.clone() }).collect()
}

/// A text; `None` for null.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    match &value[key] {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => panic!("{key} is {other}, not a text"),
    }
}
