//! `cargo xtask tidy`: the rules of this project that no other tool knows.

mod crates;
mod edges;
mod text;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace;

/// What is wrong: one sentence each, naming the file or crate and what to do.
type Problems = Vec<String>;

pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    eprintln!("tidy: all good");
    Ok(ExitCode::SUCCESS)
}

/// Fails with every problem that there is.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let metadata = workspace::metadata()?;
    let mut problems = edges::check(&metadata);
    problems.extend(crates::check(&root, &metadata)?);
    problems.extend(text::check(&root)?);
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    bail!("{} problems", problems.len());
}
