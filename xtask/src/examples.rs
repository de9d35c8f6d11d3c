//! The examples as tests: each must end well, in time.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step;
use crate::workspace::{self, packages, targets, text};

/// The limit of an example that the table does not name.
const LIMIT: Duration = Duration::from_secs(60);

/// How an example is run. One that is not in the table runs without arguments within [`LIMIT`].
struct Example {
    name: &'static str,
    args: &'static [&'static str],
    limit: Duration,
    /// Why it is not run as an example, if so.
    elsewhere: Option<&'static str>,
}

const TABLE: &[Example] = &[
    Example {
        name: INTEROP,
        args: &[],
        limit: LIMIT,
        elsewhere: Some("the other side of `cargo xtask interop java`, which runs it"),
    },
    counted("batch", &["--messages", "8"]),
    counted("batch_listener", &["--messages", "40"]),
    counted("blocking_handler", &["--messages", "4"]),
    counted("bounded_window", &["--messages", "300"]),
    counted("hello_consumer", &["--messages", "3"]),
    counted("hello_producer", &["--messages", "3"]),
    counted("one_way", &["--messages", "5"]),
    counted("ordered_by_key", &["--messages", "5"]),
    counted("quickstart", &["--messages", "1000"]),
    counted("request_reply", &["--messages", "3"]),
    counted("stream_send", &["--messages", "300"]),
    counted("two_clusters", &["--messages", "3"]),
];

/// An example with other counts than its own: small ones, which no default stands in for by chance.
const fn counted(name: &'static str, args: &'static [&'static str]) -> Example {
    Example { name, args, limit: LIMIT, elsewhere: None }
}

/// The program that speaks for us in `cargo xtask interop`.
pub(crate) const INTEROP: &str = "interop";

/// Builds the examples of the whole workspace with the features of the tests, so that nothing is compiled twice.
pub(crate) fn build() -> Result<()> {
    step::check(workspace::cargo().args(["build", "--workspace", "--examples", "--all-features"]))
}

/// The program of an example that was built.
pub(crate) fn program(metadata: &Value, name: &str) -> PathBuf {
    PathBuf::from(text(metadata, "target_directory")).join("debug").join("examples").join(name)
}

/// The examples that there are.
pub(crate) fn names(metadata: &Value) -> Vec<&str> {
    packages(metadata).flat_map(|package| targets(package, "example")).collect()
}

/// Runs one example to its end.
pub(crate) fn run(metadata: &Value, name: &str) -> Result<()> {
    let entry = TABLE.iter().find(|example| example.name == name);
    if let Some(why) = entry.and_then(|example| example.elsewhere) {
        eprintln!("   not run here: {why}");
        return Ok(());
    }
    let (args, limit) = entry.map_or(([].as_slice(), LIMIT), |example| (example.args, example.limit));
    let mut command = workspace::in_root(program(metadata, name));
    command.args(args);
    let status = within(&mut command, limit)?;
    if !status.success() {
        bail!("`{}` ended with {status}", step::shown(&command));
    }
    Ok(())
}

/// Every name in the table is an example's: a renamed one would otherwise run without its arguments.
pub(crate) fn check_table(metadata: &Value) -> Result<()> {
    let names = names(metadata);
    match TABLE.iter().find(|example| !names.contains(&example.name)) {
        Some(stale) => bail!("xtask/src/examples.rs lists `{}`, and there is no such example", stale.name),
        None => Ok(()),
    }
}

/// Runs a command, and kills it and all that it started when its time is over.
fn within(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    eprintln!("   $ {}", step::shown(command));
    command.stdin(Stdio::null()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", step::shown(command)))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            let _ = Command::new("kill").args(["-s", "KILL", "--", &format!("-{}", child.id())]).status();
            let _ = child.kill();
            child.wait()?;
            bail!("`{}` was killed: it had not ended within {limit:?}", step::shown(command));
        }
        sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let start = Instant::now();
        let error =
            within(Command::new("sh").args(["-c", "sleep 60 & sleep 60"]), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_command_that_ends_is_not() {
        assert!(within(&mut Command::new("true"), Duration::from_secs(10)).unwrap().success());
    }
}
