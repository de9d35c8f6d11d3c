//! `cargo xtask bench`: the benchmarks, built as users build.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{step, workspace};

/// Arguments of the benchmark program.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on; `--help` after `--` shows what there is.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !workspace::has_target(&workspace::metadata()?, workspace::BENCHES, "bin", "bench") {
        bail!("the package {} has no program `bench`", workspace::BENCHES);
    }
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--release", "--package", workspace::BENCHES, "--bin", "bench", "--"]).args(&args.args);
    step::check(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}
