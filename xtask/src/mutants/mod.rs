//! `cargo xtask mutants`: breaks consumers in one way after the other, and expects a test to notice each.
//!
//! Everything happens in a copy of the checkout under `target/mutants`, with a target folder of its own.

mod list;
mod suite;
mod tree;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use list::MUTANTS;
use suite::{Suite, Verdict};
use tree::Tree;

/// Which, and how thoroughly.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these. `--list` shows them all.
    names: Vec<String>,
    /// Shows what there is, and runs nothing.
    #[arg(long)]
    list: bool,
    /// Seeds that the histories of each kind play at most.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
}

/// One way to break consumers.
struct Mutant {
    name: &'static str,
    what: &'static str,
    changes: &'static [Change],
    /// One of them has to fail.
    tests: &'static [Test],
}

/// A piece of text that is there once, and what comes in its place.
struct Change {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// What has to notice a mutant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Test {
    /// The histories of one kind, by how the name of their test begins.
    History(&'static str),
    /// One test, where histories cannot see it: its file and its name.
    Named(&'static str, &'static str),
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(unknown) = args.names.iter().find(|name| !MUTANTS.iter().any(|mutant| mutant.name == **name)) {
        bail!("there is no mutant {unknown:?}; `cargo xtask mutants --list` shows what there is");
    }
    let wanted = |mutant: &&Mutant| args.names.is_empty() || args.names.iter().any(|name| name == mutant.name);
    let mutants: Vec<_> = MUTANTS.iter().filter(wanted).collect();
    if args.list {
        mutants.iter().for_each(|mutant| println!("{:<24} {}", mutant.name, mutant.what));
        return Ok(ExitCode::SUCCESS);
    }
    let tree = Tree::copy()?;
    // All of them: one that no longer fits is told before anything is built.
    for mutant in MUTANTS {
        tree.check(mutant)?;
    }
    let suite = Suite::new(&tree, args.seeds);
    eprintln!("\n== mutants: none, which has to pass");
    let began = Instant::now();
    suite.build()?;
    let mut tests: Vec<_> = mutants.iter().flat_map(|mutant| mutant.tests).copied().collect();
    let mut seen = Vec::new();
    tests.retain(|test| {
        !seen.contains(test) && {
            seen.push(*test);
            true
        }
    });
    for test in tests {
        if let Verdict::Failed(how) = suite.run(test)? {
            bail!("without any mutant {how}");
        }
    }
    let mut lines = vec![format!("  {:<24} passed in {:.0} s", "(none)", began.elapsed().as_secs_f32())];
    let mut survived = 0;
    for mutant in mutants {
        eprintln!("\n== mutants: {}: {}", mutant.name, mutant.what);
        let line = tree.with(mutant, || judge(&suite, mutant))?;
        survived += usize::from(line.is_none());
        let line = line.unwrap_or_else(|| format!("SURVIVED: {}", mutant.what));
        eprintln!("== {}: {line}", mutant.name);
        lines.push(format!("  {:<24} {line}", mutant.name));
    }
    println!("\nmutants summary:\n{}\nmutants: {survived} survived", lines.join("\n"));
    Ok(if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says which test noticed the mutant, and when. `None`: none did.
fn judge(suite: &Suite<'_>, mutant: &Mutant) -> Result<Option<String>> {
    suite.build()?;
    for test in mutant.tests {
        let began = Instant::now();
        if let Verdict::Failed(how) = suite.run(*test)? {
            return Ok(Some(format!("caught after {:.1} s: {how}", began.elapsed().as_secs_f32())));
        }
    }
    Ok(None)
}
