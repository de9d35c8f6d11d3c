//! Java's local offset files, as `vectors/offsetstore.json` has them: what `FileOffsets::import_java` takes out of each.

use std::{fs, path::PathBuf};

use ferrocket_model::{Group, MessageQueue};
use ferrocket_offset_store::{FileOffsets, OffsetStore};
use serde_json::Value;

const GROUP: Group = Group::from_static("g");

/// Where we differ. Java takes these for "nothing stored", and a group loses its place without a word; we say so.
const REFUSED: [&str; 2] = ["main broken, bak missing", "object key as JSON text"];

fn cases(kind: &str) -> Vec<Value> {
    let mut file: Value = serde_json::from_str(include_str!("vectors/offsetstore.json")).expect("vectors are JSON");
    let Value::Array(cases) = file["cases"].take() else { panic!("no cases") };
    assert_eq!(file["count"].as_u64(), Some(cases.len() as u64), "the file is not whole");
    cases.into_iter().filter(|case| case["kind"] == kind).collect()
}

/// Imports the file and its copy into an empty store; the offsets of the queues 0 and 1 of `T` on `broker-a`.
async fn import(test: &str, files: &Value) -> Result<[Option<u64>; 2], String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    for (name, text) in [("offsets.json", &files["main"]), ("offsets.json.bak", &files["bak"])] {
        if let Some(text) = text.as_str() {
            fs::write(folder.join(name), text).expect("a file");
        }
    }
    let offsets = FileOffsets::new(folder.join("ours"));
    let count = offsets.import_java(GROUP, folder.join("offsets.json")).await.map_err(|error| error.to_string())?;
    let mut stored = [None; 2];
    for (id, stored) in (0..).zip(&mut stored) {
        *stored = offsets.read(&GROUP, &MessageQueue::new("T", "broker-a", id)).await.expect("reads");
    }
    assert_eq!(count, stored.iter().flatten().count());
    Ok(stored)
}

// CON-OFF-21
#[tokio::test]
async fn files_that_java_wrote_are_understood() {
    let cases = cases("write");
    for case in &cases {
        let (main, bak) = match case["name"].as_str().expect("a name") {
            "one queue" => ([Some(123), None], None),
            "again, one queue" => ([Some(124), None], Some([Some(123), None])),
            "another queue only" | "empty set" => ([Some(124), Some(7)], Some([Some(124), None])),
            other => panic!("a case that we do not know: {other}"),
        };
        assert_eq!(import("files_that_java_wrote", &case["out"]).await, Ok(main), "{}", case["name"]);
        assert_eq!(case["out"]["bak"].is_string(), bak.is_some());
        if let Some(bak) = bak {
            let only = serde_json::json!({ "bak": case["out"]["bak"] });
            assert_eq!(import("copies_that_java_made", &only).await, Ok(bak), "{}", case["name"]);
        }
    }
    assert_eq!(cases.len(), 4);
}

// CON-OFF-22
#[tokio::test]
async fn the_copy_is_read_when_java_would_read_it() {
    let (cases, mut refused) = (cases("load"), Vec::new());
    for case in &cases {
        let name = case["name"].as_str().expect("a name");
        let java_loads = case["out"]["load"] == "ok";
        let java_reads =
            u64::try_from(case["out"]["readOffset of T broker-a 0"]["READ_FROM_STORE"].as_i64().expect("one")).ok();
        match import("the_copy_is_read", &case["in"]).await {
            Ok(stored) => {
                assert!(java_loads, "{name}");
                assert_eq!(stored, [java_reads, None], "{name}");
            }
            Err(error) if java_loads => {
                assert_eq!(java_reads, None, "{name}: {error}");
                refused.push(name);
            }
            Err(error) => assert!(error.contains("offsets.json"), "{name}: {error}"),
        }
    }
    refused.sort_unstable();
    assert_eq!(refused, REFUSED);
    assert_eq!(cases.len(), 12);
}
