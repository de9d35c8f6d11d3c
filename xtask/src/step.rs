//! Steps of a long job: a heading and a time for each, all of them run, one summary at the end.

use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Something this machine lacks. A step that fails with it is skipped, except in CI, where it has failed.
#[derive(Debug)]
pub(crate) struct Absent(pub(crate) String);

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// Whether this run must not skip anything.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The steps of one job, in the order in which they ran.
pub(crate) struct Steps {
    job: &'static str,
    ci: bool,
    done: Vec<(String, Outcome, Duration)>,
}

impl Steps {
    pub(crate) fn new(job: &'static str) -> Self {
        Self { job, ci: in_ci(), done: Vec::new() }
    }

    /// Runs one step. A failure is noted and shown, and the next step still runs.
    pub(crate) fn run(&mut self, name: impl Into<String>, step: impl FnOnce() -> Result<()>) {
        let name = name.into();
        eprintln!("\n== {}: {name}", self.job);
        let start = Instant::now();
        let outcome = match step() {
            Ok(()) => Outcome::Passed,
            Err(error) if error.downcast_ref::<Absent>().is_some() && !self.ci => Outcome::Skipped(error.to_string()),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        let took = start.elapsed();
        match &outcome {
            Outcome::Passed => eprintln!("== {name}: passed in {:.1} s", took.as_secs_f32()),
            Outcome::Failed(why) => eprintln!("== {name}: FAILED after {:.1} s: {why}", took.as_secs_f32()),
            Outcome::Skipped(why) => eprintln!("== {name}: SKIPPED: {why}"),
        }
        self.done.push((name, outcome, took));
    }

    /// Prints what ran, what was skipped and why, and how long all took.
    pub(crate) fn finish(self) -> ExitCode {
        let total: Duration = self.done.iter().map(|(_, _, took)| *took).sum();
        let mut failed = 0;
        let mut text = format!("\n{} summary:\n", self.job);
        for (name, outcome, took) in &self.done {
            let (word, why) = match outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Failed(why) => {
                    failed += 1;
                    ("FAILED", why.lines().next().unwrap_or_default())
                }
                Outcome::Skipped(why) => ("SKIPPED", why.as_str()),
            };
            let colon = if why.is_empty() { "" } else { ": " };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {word:<8}{:>7.1} s  {name}{colon}{why}", took.as_secs_f32());
        }
        let verdict = if failed == 0 { "all good".to_owned() } else { format!("{failed} failed") };
        println!("{text}{}: {verdict} in {:.0} s", self.job, total.as_secs_f32());
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Runs a command to its end, showing it first; anything but success is an error.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    eprintln!("   $ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is not UTF-8", shown(command)))
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent() -> Result<()> {
        Err(Absent("no such tool".to_owned()).into())
    }

    #[test]
    fn what_is_absent_is_skipped_by_hand_and_fails_in_ci() {
        for (ci, expected) in [(false, ExitCode::SUCCESS), (true, ExitCode::FAILURE)] {
            let mut steps = Steps { job: "test", ci, done: Vec::new() };
            steps.run("needs a tool", absent);
            assert_eq!(format!("{:?}", steps.finish()), format!("{expected:?}"));
        }
    }

    #[test]
    fn a_failure_does_not_keep_the_next_step_from_running() {
        let mut steps = Steps { job: "test", ci: false, done: Vec::new() };
        steps.run("fails", || bail!("broken"));
        let mut ran = false;
        steps.run("runs", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert_eq!(format!("{:?}", steps.finish()), format!("{:?}", ExitCode::FAILURE));
    }
}
