//! `cargo xtask lint`: all checks that run no test.
//!
//! Flags are given to the programs, never by `RUSTFLAGS`: another value of it would build every dependency again.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::step::{self, Steps};
use crate::{tidy, tools, workspace};

/// Features that are on together in one combination; more find nothing that two did not.
const POWERSET_DEPTH: &str = "2";
/// Unpublished packages: users do not build them, so they may need a newer compiler.
const UNPUBLISHED: [&str; 2] = ["xtask", workspace::BENCHES];

pub(crate) fn run() -> Result<ExitCode> {
    let mut steps = Steps::new("lint");
    steps.run("format", || step::check(workspace::cargo().args(["fmt", "--all", "--check"])));
    steps.run("tidy", tidy::check);
    steps.run("clippy", || {
        let mut clippy = workspace::cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--all-features", "--locked"]);
        step::check(clippy.args(["--", "-D", "warnings"]))
    });
    steps.run("licences, bans and sources", deny);
    steps.run("documentation", || {
        let mut doc = workspace::cargo();
        doc.args(["doc", "--workspace", "--all-features", "--no-deps", "--locked"]);
        step::check(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run("feature combinations", features);
    steps.run(format!("Rust {}", tools::OLDEST_RUST), oldest_rust);
    Ok(steps.finish())
}

/// Without advisories: those need a database from the network and change without a change of ours.
fn deny() -> Result<()> {
    let mut deny = workspace::in_root(tools::program(&tools::DENY)?);
    step::check(deny.args(["--workspace", "--all-features", "--locked", "check", "bans", "licenses", "sources"]))
}

/// Of every published crate that has features. Only libraries are checked, and the resolver keeps the features of
/// dev-dependencies away from those, so that they need not be taken out of the manifests.
fn features() -> Result<()> {
    let metadata = workspace::metadata()?;
    let with_features: Vec<_> = workspace::packages(&metadata)
        .filter(|package| package["features"].as_object().is_some_and(|features| !features.is_empty()))
        .map(|package| workspace::text(package, "name"))
        .filter(|name| !UNPUBLISHED.contains(name))
        .collect();
    if with_features.is_empty() {
        eprintln!("   no crate has features");
        return Ok(());
    }
    let mut hack = workspace::in_root(tools::program(&tools::HACK)?);
    // Clippy, so that what a combination leaves unused is an error, too.
    hack.args(["hack", "clippy", "--feature-powerset", "--depth", POWERSET_DEPTH]);
    for name in with_features {
        hack.args(["--package", name]);
    }
    hack.args(["--", "--deny", "warnings"]);
    step::check(&mut hack)
}

/// Libraries and programs that users build, with the oldest compiler that we promise.
fn oldest_rust() -> Result<()> {
    let declared = workspace::metadata()?;
    for package in workspace::packages(&declared) {
        let version = workspace::text(package, "rust_version");
        if version != tools::OLDEST_RUST && version != format!("{}.0", tools::OLDEST_RUST) {
            let name = workspace::text(package, "name");
            bail!("{name} declares rust-version {version}, but {} is what is checked", tools::OLDEST_RUST);
        }
    }
    tools::toolchain(tools::OLDEST_RUST)?;
    let mut check = workspace::in_root("rustup");
    check.args(["run", tools::OLDEST_RUST, "cargo", "check", "--workspace", "--lib", "--bins", "--all-features"]);
    check.args(["--locked", "--target-dir", "target/msrv"]);
    for name in UNPUBLISHED {
        check.args(["--exclude", name]);
    }
    step::check(without_our_toolchain(&mut check))
}

/// `cargo run` set these for us; another toolchain must not see them.
fn without_our_toolchain(command: &mut Command) -> &mut Command {
    ["CARGO", "RUSTC", "RUSTDOC", "LD_LIBRARY_PATH"].into_iter().fold(command, |command, name| command.env_remove(name))
}
