//! `cargo xtask mutants`: puts one bug after the other into a copy of the sources, and asserts that the tests see it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    step::{self, Steps},
    workspace::{self, UMBRELLA},
};

/// A bug, and the tests of the umbrella crate that must fail with it.
struct Mutant {
    name: &'static str,
    file: &'static str,
    is: &'static str,
    becomes: &'static str,
    test: &'static str,
    case: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the highest offset is stored, not the lowest that is not settled",
        file: "crates/consumer/src/queue/buffer.rs",
        is: "self.entries.front().map_or(self.end, |entry| entry.offset)",
        becomes: "self.end",
        test: "histories",
        case: "concurrent_groups",
    },
    Mutant {
        name: "an order is kept without locks",
        file: "crates/consumer/src/rebalance/mod.rs",
        is: "= if core.needs_locks() {",
        becomes: "= if false && core.needs_locks() {",
        test: "histories",
        case: "orderly_groups",
    },
    Mutant {
        name: "results of queues that were given up count",
        file: "crates/consumer/src/queue/mod.rs",
        is: "!self.source.revocation.is_revoked()",
        becomes: "true",
        test: "histories",
        case: "groups",
    },
    Mutant {
        name: "a message counts as given back, whatever the broker says",
        file: "crates/consumer/src/deliver/retry.rs",
        is: "                Err(self)\n",
        becomes: "                core.settle_offsets(&self.queue, &[self.message.offset()]);\n                Ok(())\n",
        test: "histories",
        case: "concurrent_groups",
    },
    Mutant {
        name: "a listener that took too long is settled, and its message settled again when it is given back",
        file: "crates/consumer/src/deliver/call.rs",
        is: "    let outcome = judge(core, handled);\n",
        becomes: "    let outcome = judge(core, handled);\n    if timed_out {\n        core.settle_offsets(queue, &[message.offset()]);\n    }\n",
        test: "consumer_faults",
        case: "takes_too_long",
    },
    Mutant {
        name: "a member that stood still stores where it was",
        file: "crates/consumer/src/rebalance/standstill.rs",
        is: "paused <= STOOD_STILL",
        becomes: "paused <= STOOD_STILL * 1000",
        test: "processes",
        case: "stores_nothing",
    },
];

pub(crate) fn run() -> Result<ExitCode> {
    let copy = workspace::root().join("target/mutants");
    fill(&copy)?;
    let mut steps = Steps::new("mutants");
    steps.run("the sources as they are", || check(&copy, None));
    for mutant in MUTANTS {
        steps.run(mutant.name, || check(&copy, Some(mutant)));
    }
    Ok(steps.finish())
}

/// Copies what git knows, with all changes that are not committed.
fn fill(copy: &Path) -> Result<()> {
    let files =
        step::output(workspace::in_root("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    for file in files.lines() {
        let (from, to) = (workspace::root().join(file), copy.join(file));
        // One that is deleted and not yet committed is listed, too.
        if from.is_file() && fs::read(&from).ok() != fs::read(&to).ok() {
            let folder = to.parent().context("a file is in a folder")?;
            fs::create_dir_all(folder)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
        }
    }
    Ok(())
}

/// Builds, and runs the tests: they pass without a bug, and fail with it.
fn check(copy: &Path, mutant: Option<&Mutant>) -> Result<()> {
    let Some(mutant) = mutant else {
        for mutant in MUTANTS {
            step::check(tests(copy, mutant).arg(mutant.case))?;
        }
        return Ok(());
    };
    let _bug = Bug::put(copy, mutant)?;
    // What does not compile is seen by nobody.
    step::check(tests(copy, mutant).arg("--no-run"))?;
    let ran = tests(copy, mutant).arg(mutant.case).status()?;
    ensure!(!ran.success(), "no test of `{}` sees it", mutant.test);
    Ok(())
}

fn tests(copy: &Path, mutant: &Mutant) -> Command {
    let mut cargo = workspace::cargo();
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target"));
    cargo.args(["test", "--quiet", "--package", UMBRELLA, "--all-features", "--test", mutant.test]);
    cargo
}

/// A file with a bug, until this is dropped.
struct Bug {
    path: PathBuf,
    whole: String,
}

impl Bug {
    fn put(copy: &Path, mutant: &Mutant) -> Result<Self> {
        let path = copy.join(mutant.file);
        let whole = fs::read_to_string(&path).with_context(|| format!("cannot read {}", mutant.file))?;
        let found = whole.matches(mutant.is).count();
        if found != 1 {
            bail!("{:?} is {found} times in {}: say anew where the bug goes", mutant.is, mutant.file);
        }
        fs::write(&path, whole.replacen(mutant.is, mutant.becomes, 1))?;
        Ok(Self { path, whole })
    }
}

impl Drop for Bug {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.whole) {
            eprintln!("cannot mend {}: {error}", self.path.display());
        }
    }
}
