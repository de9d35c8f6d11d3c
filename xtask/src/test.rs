//! `cargo xtask test`: everything that shows that the library works.
//!
//! All steps select the whole workspace with all features: another selection would give other features to the same
//! dependencies, and compile them again.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::broker::{self, Release};
use crate::step::{self, Absent, Steps};
use crate::{examples, interop, java, tools, workspace};

/// The suite that runs against every server, ours and the real ones.
const BEHAVIOUR_SUITE: &str = "behaviour";

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leaves out the real servers and the interop with other clients.
    #[arg(long)]
    no_servers: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let metadata = workspace::metadata()?;
    let runner = Runner::find()?;
    let mut steps = Steps::new("test");
    steps.run("unit and behaviour tests", || step::check(&mut runner.all()));
    steps.run("doc tests", || step::check(workspace::cargo().args(["test", "--doc", "--workspace", "--all-features"])));
    steps.run("build of the examples", || {
        examples::check_table(&metadata)?;
        examples::build()
    });
    for name in examples::names(&metadata) {
        steps.run(format!("example {name}"), || examples::run(&metadata, name));
    }
    if workspace::has_target(&metadata, workspace::BENCHES, "bin", "gates") {
        steps.run("gates", gates);
    }
    for release in Release::ALL {
        let name = format!("{BEHAVIOUR_SUITE} suite on Apache RocketMQ {}", release.version());
        steps.run(name, || servers(args).and_then(|()| behaviour_on(release, &runner)));
    }
    steps.run("Java interop", || servers(args).and_then(|()| interop::java(interop::Sides::Both)));
    steps.run("Go interop", || servers(args).and_then(|()| interop::go(interop::Sides::Both)));
    steps.run("mixed groups", || servers(args).and_then(|()| interop::mixed(interop::Sides::Both, Release::V5_5_0)));
    Ok(steps.finish())
}

/// Memory, size and instruction limits, measured on what users build.
fn gates() -> Result<()> {
    let mut cargo = workspace::cargo();
    step::check(cargo.args(["run", "--release", "--package", workspace::BENCHES, "--bin", "gates"]))
}

fn servers(args: &Args) -> Result<()> {
    if args.no_servers {
        return Err(Absent("--no-servers was given".to_owned()).into());
    }
    java::require()
}

fn behaviour_on(release: Release, runner: &Runner) -> Result<()> {
    for (case, missing) in lacking(release) {
        eprintln!("test: SKIPPED {case}: brokers of {} have no {missing}", release.version());
    }
    broker::with_cluster(release, &[], |cluster| {
        // The case that stops the broker runs by itself.
        for part in [Part::Others, Part::Recovery] {
            let mut command = runner.behaviour_suite(part, lacking(release));
            eprintln!("   $ {}", step::shown(&command));
            match cluster.run(&mut command)? {
                0 => {}
                code => bail!("the suite ended with {code}"),
            }
        }
        Ok(())
    })
}

/// Cases for which a broker of 4.9 has no counterpart, each with what it lacks. They are left out there, and said aloud:
/// a case that returns early would count as passed.
const NOT_ON_4: [(&str, &str); 2] = [
    ("producing::an_inner_batch_has_one_receipt_per_message_and_is_consumed_message_by_message", "batch topics"),
    ("producing::a_timer_message_comes_later_and_one_that_is_taken_back_does_not", "timer messages"),
];

fn lacking(release: Release) -> &'static [(&'static str, &'static str)] {
    match release {
        Release::V4_9_7 => &NOT_ON_4,
        Release::V5_5_0 => &[],
    }
}

/// Cases that can run side by side on one broker, and those that stop it.
#[derive(Clone, Copy)]
enum Part {
    Others,
    Recovery,
}

impl Part {
    /// The same cases on every release: what a broker of 4.9 does otherwise, they say themselves.
    fn filter(self) -> &'static str {
        match self {
            Self::Recovery => "test(/^recovery::/)",
            Self::Others => "not test(/^recovery::/)",
        }
    }
}

/// What runs the tests: nextest, or cargo itself where that cannot be had.
enum Runner {
    Nextest(PathBuf),
    Cargo,
}

impl Runner {
    fn find() -> Result<Self> {
        match tools::program(&tools::NEXTEST) {
            Ok(program) => Ok(Self::Nextest(program)),
            Err(error) if step::in_ci() => Err(error),
            Err(error) => {
                eprintln!("test: SKIPPED nextest, cargo test runs the tests: {error:#}");
                Ok(Self::Cargo)
            }
        }
    }

    fn all(&self) -> Command {
        match self {
            Self::Nextest(program) => nextest(program),
            Self::Cargo => cargo_test(),
        }
    }

    fn behaviour_suite(&self, part: Part, left_out: &[(&str, &str)]) -> Command {
        match self {
            Self::Nextest(program) => {
                let mut command = nextest(program);
                let cases = part.filter();
                let mut filter = format!("package({}) & binary({BEHAVIOUR_SUITE}) & ({cases})", workspace::UMBRELLA);
                for (case, _) in left_out {
                    filter.push_str(&format!(" & not test(={case})"));
                }
                command.args(["--filterset", &filter]);
                if let Part::Recovery = part {
                    command.args(["--test-threads", "1"]); // all of them stop the one broker
                }
                command
            }
            Self::Cargo => {
                let mut command = workspace::cargo();
                command.args(["test", "--package", workspace::UMBRELLA, "--all-features", "--no-fail-fast"]);
                command.args(["--test", BEHAVIOUR_SUITE, "--"]);
                match part {
                    Part::Recovery => command.args(["recovery::", "--test-threads", "1"]),
                    Part::Others => command.args(["--skip", "recovery::"]),
                };
                for (case, _) in left_out {
                    command.args(["--skip", case]);
                }
                command
            }
        }
    }
}

fn nextest(program: &PathBuf) -> Command {
    let mut command = workspace::in_root(program);
    command.args(["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]);
    command
}

fn cargo_test() -> Command {
    let mut command = workspace::cargo();
    // Without --doc: those are a step of their own.
    command.args(["test", "--workspace", "--all-features", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not the whole workspace once more per release.
    #[test]
    fn cargo_runs_the_behaviour_suite_and_nothing_else_on_a_real_server() {
        for part in [Part::Others, Part::Recovery] {
            let command = Runner::Cargo.behaviour_suite(part, &NOT_ON_4);
            let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
            let what = words.split(|word| word == "--").next().unwrap();
            assert_eq!(
                what,
                [
                    "test",
                    "--package",
                    workspace::UMBRELLA,
                    "--all-features",
                    "--no-fail-fast",
                    "--test",
                    BEHAVIOUR_SUITE
                ]
            );
        }
    }
}
