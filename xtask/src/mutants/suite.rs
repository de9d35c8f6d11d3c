//! The tests, built and run in the copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Test, Tree};
use crate::chaos::HISTORIES;
use crate::{step, workspace};

/// Its unit tests are built as well.
const CONSUMER: &str = "ferrocket-consumer";
/// The files of tests that are built.
const FILES: [&str; 5] = [HISTORIES, "consumer_mutants", "consumer_faults", "administration", "processes"];
/// A mutant may keep the paused clock from going on: a test that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(900);

pub(super) struct Suite<'a> {
    tree: &'a Tree,
    seeds: u64,
    /// The programs of the last build.
    programs: Mutex<BTreeMap<String, PathBuf>>,
}

/// How a test ended.
pub(super) enum Verdict {
    Passed,
    Failed(String),
}

impl<'a> Suite<'a> {
    pub(super) fn new(tree: &'a Tree, seeds: u64) -> Self {
        Self { tree, seeds, programs: Mutex::default() }
    }

    /// Builds the tests. What does not compile is an error, not a mutant that was noticed.
    pub(super) fn build(&self) -> Result<()> {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(self.tree.root()).env("CARGO_TARGET_DIR", self.tree.target());
        // Nobody debugs these, and each is built once.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        cargo.args(["test", "--quiet", "--no-run", "--message-format", "json-render-diagnostics"]);
        cargo.args(["--package", workspace::UMBRELLA, "--package", CONSUMER, "--all-features", "--lib"]);
        FILES.iter().for_each(|file| _ = cargo.args(["--test", file]));
        let mut programs = BTreeMap::new();
        for line in step::output(&mut cargo)?.lines() {
            let message: Value = serde_json::from_str(line).context("cargo printed something that is not JSON")?;
            if let (Some(name), Some(program)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
                programs.insert(name.to_owned(), program.into());
            }
        }
        *self.programs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = programs;
        Ok(())
    }

    pub(super) fn run(&self, test: Test) -> Result<Verdict> {
        let (file, name) = match test {
            Test::History(name) => (HISTORIES, name),
            Test::Named(file, name) => (file, name),
        };
        let program = self.programs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(file).cloned();
        let mut command = Command::new(program.with_context(|| format!("there is no test {file}"))?);
        command.current_dir(self.tree.root().join("crates/client")).arg(name);
        command.env("FERROCKET_SEEDS", self.seeds.to_string()).env_remove("FERROCKET_SEED").env("RUST_BACKTRACE", "0");
        if matches!(test, Test::Named(..)) {
            command.arg("--exact");
        }
        let printed = self.tree.target().join("printed");
        let output = File::create(&printed).with_context(|| format!("cannot create {}", printed.display()))?;
        command.stdout(Stdio::from(output)).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start `{}`", step::shown(&command)))?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                return Ok(Verdict::Failed(format!("{name} did not end in {LIMIT:?}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let text = std::fs::read_to_string(&printed).unwrap_or_default();
        // A name that nothing has would pass.
        if !text.contains("\nrunning 1 test\n") {
            bail!("{file} has not one test {name}:\n{text}");
        }
        if status.success() {
            return Ok(Verdict::Passed);
        }
        Ok(Verdict::Failed(format!("{name}: {}", reason(&text))))
    }
}

/// What the test said when it failed.
fn reason(text: &str) -> String {
    let said = text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let said: Vec<_> = said.take_while(|line| !line.is_empty() && !line.starts_with("note:")).take(2).collect();
    said.join(" ").chars().take(200).collect()
}
