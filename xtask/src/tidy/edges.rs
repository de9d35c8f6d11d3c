//! The dependency table: which crate of ours may use which.
//!
//! It is the architecture as a check. A new arrow is a decision: change the table together with `docs/architecture.md`.

use serde_json::Value;

use super::Problems;
use crate::workspace::{packages, text};

const PREFIX: &str = "ferrocket";

/// Crates that nobody depends on and that may depend on anything.
const FREE: [&str; 3] = ["xtask", "ferrocket-benches", "hello-producer"];

/// What every crate may use in its tests.
const FOR_TESTS: [&str; 2] = ["ferrocket", "ferrocket-testkit"];

/// A crate, and the crates that it may depend on. `ferrocket-` is left out before the names; `client` is the umbrella.
const TABLE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("protocol", &["model"]),
    ("backend", &["model"]),
    ("remoting", &["protocol"]),
    ("compression", &[]),
    ("remoting-backend", &["model", "backend", "protocol", "remoting", "compression"]),
    ("route", &["model", "backend"]),
    ("offset-store", &["model", "backend"]),
    ("producer", &["model", "backend", "route", "compression"]),
    ("consumer", &["model", "backend", "route", "offset-store"]),
    (
        "client",
        &["model", "backend", "route", "offset-store", "producer", "consumer", "remoting-backend", "trace", "admin"],
    ),
    ("trace", &["model", "backend", "producer", "consumer"]),
    ("admin", &["model", "backend"]),
    ("otel", &["client"]),
    ("testkit", &["model", "protocol", "compression"]),
    ("cli", &["client", "admin", "testkit"]),
    ("grpc-backend", &["model", "backend"]),
];

/// Every edge between our crates that the table does not have.
pub(super) fn check(metadata: &Value) -> Problems {
    packages(metadata).flat_map(check_package).collect()
}

fn check_package(package: &Value) -> Problems {
    let name = text(package, "name");
    if FREE.contains(&name) {
        return Problems::new();
    }
    let Some((_, allowed)) = TABLE.iter().find(|(row, _)| *row == short(name)) else {
        return vec![format!("crate {name} is not in the dependency table (xtask/src/tidy/edges.rs): add its row")];
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    dependencies
        .filter(|dependency| text(dependency, "name").starts_with(PREFIX))
        .filter(|dependency| !is_allowed(name, allowed, dependency))
        .map(|dependency| {
            let other = text(dependency, "name");
            let kind = dependency["kind"].as_str().unwrap_or("normal");
            format!("crate {name} must not depend on {other} ({kind}): the dependency table has no such arrow")
        })
        .collect()
}

fn is_allowed(name: &str, allowed: &[&str], dependency: &Value) -> bool {
    let other = text(dependency, "name");
    let in_table = allowed.contains(&short(other));
    match dependency["kind"].as_str() {
        // A bug in framing or correlation must not be able to hide on both sides.
        _ if name == "ferrocket-testkit" && other == "ferrocket-remoting" => false,
        // The umbrella's suites and examples set up real brokers by raw requests, and show the lower crates alone.
        Some("dev") if name == PREFIX => true,
        Some("dev") => in_table || FOR_TESTS.contains(&other),
        _ => in_table,
    }
}

/// The crate's name in the table.
fn short(name: &str) -> &str {
    if name == PREFIX { "client" } else { name.strip_prefix("ferrocket-").unwrap_or(name) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(name: &str, dependency: &str, kind: Option<&str>) -> Problems {
        check(&json!({"packages": [
            {"name": name, "dependencies": [{"name": "bytes", "kind": null}, {"name": dependency, "kind": kind}]}
        ]}))
    }

    #[test]
    fn arrows_of_the_table_pass() {
        assert_eq!(problems("ferrocket-producer", "ferrocket-route", None), Problems::new());
        assert_eq!(problems("ferrocket", "ferrocket-remoting-backend", None), Problems::new());
        assert_eq!(problems("ferrocket-cli", "ferrocket", None), Problems::new());
        assert_eq!(problems("ferrocket-benches", "ferrocket-remoting", None), Problems::new());
    }

    #[test]
    fn any_other_arrow_fails() {
        for (name, dependency) in [
            ("ferrocket-producer", "ferrocket-protocol"),
            ("ferrocket-consumer", "ferrocket-remoting"),
            ("ferrocket-consumer", "ferrocket"),
            ("ferrocket-model", "ferrocket-backend"),
            ("ferrocket", "ferrocket-testkit"),
        ] {
            assert_eq!(problems(name, dependency, None).len(), 1, "{name} -> {dependency}");
            assert_eq!(problems(name, dependency, Some("build")).len(), 1, "{name} -> {dependency}");
        }
    }

    #[test]
    fn tests_may_use_the_testkit_and_the_umbrella_only() {
        assert_eq!(problems("ferrocket-producer", "ferrocket-testkit", Some("dev")), Problems::new());
        assert_eq!(problems("ferrocket-producer", "ferrocket", Some("dev")), Problems::new());
        assert_eq!(problems("ferrocket-producer", "ferrocket-remoting", Some("dev")).len(), 1);
    }

    #[test]
    fn the_testkit_never_uses_remoting() {
        for kind in [None, Some("dev"), Some("build")] {
            assert_eq!(problems("ferrocket-testkit", "ferrocket-remoting", kind).len(), 1);
        }
    }

    #[test]
    fn a_crate_without_a_row_fails() {
        assert_eq!(problems("ferrocket-new", "ferrocket-model", None).len(), 1);
    }

    #[test]
    fn the_table_names_only_its_own_rows() {
        for (row, allowed) in TABLE {
            for name in *allowed {
                assert!(TABLE.iter().any(|(other, _)| other == name), "{row} -> {name}");
            }
        }
    }
}
