//! What the smallest program costs: its size (P25), and a clean build of it (P27).

use std::{path::PathBuf, process::Command, process::Stdio, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{cpu, report::Row};

const PACKAGE: &str = "hello-producer";

/// What [`size`] measures.
pub const SIZE: &str = "hello-producer, stripped, without TLS";

/// `cargo`, to be run in the root of the checkout.
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cargo
}

/// P25: built as the profile `small` says, stripped.
///
/// # Errors
///
/// When it does not build.
pub fn size() -> Result<Row> {
    let mut build = cargo();
    build.args(["build", "--profile", "small", "--package", PACKAGE, "--message-format", "json-render-diagnostics"]);
    let output = build.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{PACKAGE} does not build");
    }
    let file = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .find(|file| file.file_stem().is_some_and(|stem| stem == PACKAGE))
        .with_context(|| format!("cargo did not say where {PACKAGE} is"))?;
    let bytes = std::fs::metadata(&file).with_context(|| file.display().to_string())?.len();
    Ok(Row::at_most("P25", SIZE, bytes as f64 / 1e6, 2.5, "MB"))
}

/// P27: a clean release build in a folder of its own; CPU time of cargo and all that it starts, and the time on the clock. What
/// is downloaded already is not downloaded again; a build that must download says little.
///
/// # Errors
///
/// When it does not build.
pub fn build_time() -> Result<Row> {
    let what = "clean release build of hello-producer, without TLS";
    let folder = std::env::temp_dir().join(format!("ferrocket-build-{}", std::process::id()));
    let (before, begun) = (cpu::of_children(), Instant::now());
    let mut build = cargo();
    build.env("CARGO_TARGET_DIR", &folder).args(["build", "--quiet", "--release", "--package", PACKAGE]);
    let status = build.stdin(Stdio::null()).status();
    let (after, took) = (cpu::of_children(), begun.elapsed());
    let _ = std::fs::remove_dir_all(&folder);
    if !status.context("cannot run cargo")?.success() {
        bail!("{PACKAGE} does not build");
    }
    let (Some(before), Some(after)) = (before, after) else { return Ok(Row::skipped("P27", what, "no /proc")) };
    let mut row = Row::at_most("P27", what, (after - before).as_secs_f64(), 75.0, "CPU-s");
    row.figure.push_str(&format!(", {:.0} s on the clock", took.as_secs_f64()));
    Ok(row)
}
