//! `cargo xtask fuzz`: every fuzz target of the protocol crate for some seconds, on the nightly toolchain.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::step::{self, Steps};
use crate::{tools, workspace};

const FOLDER: &str = "crates/protocol/fuzz";
const TOOLCHAIN: &str = "nightly";
/// Longer inputs find nothing new and slow the search down: what is long in a frame is the body, which is opaque.
const LONGEST_INPUT: u32 = 64 * 1024;
/// A decoder that allocates more than this for such an input has believed a length.
const MEMORY_LIMIT_MIB: u32 = 1024;
/// One input may take this long, in seconds.
const INPUT_TIMEOUT: u32 = 10;

/// How long, and which.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut steps = Steps::new("fuzz");
    let mut targets = Vec::new();
    steps.run("set-up", || {
        targets = set_up(args.target.as_deref())?;
        Ok(())
    });
    for target in &targets {
        steps.run(target, || fuzz(target, args.seconds));
    }
    Ok(steps.finish())
}

fn set_up(only: Option<&str>) -> Result<Vec<String>> {
    tools::toolchain(TOOLCHAIN)?;
    let listed = step::output(cargo_fuzz()?.args(["list", "--fuzz-dir", FOLDER]))?;
    let mut targets: Vec<_> = listed.split_whitespace().map(str::to_owned).collect();
    if let Some(only) = only {
        targets.retain(|target| target == only);
    }
    if targets.is_empty() {
        bail!("{FOLDER} has no such target; it has: {}", listed.split_whitespace().collect::<Vec<_>>().join(", "));
    }
    Ok(targets)
}

fn fuzz(target: &str, seconds: u32) -> Result<()> {
    let mut command = cargo_fuzz()?;
    command.args(["run", "--fuzz-dir", FOLDER, "--target", &host()?, target, "--"]).args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={LONGEST_INPUT}"),
        format!("-rss_limit_mb={MEMORY_LIMIT_MIB}"),
        format!("-timeout={INPUT_TIMEOUT}"),
        "-print_final_stats=1".to_owned(),
    ]);
    step::check(&mut command)
}

/// The program itself, told which toolchain to use: as a cargo subcommand it would get the one that runs us.
fn cargo_fuzz() -> Result<Command> {
    let mut command = workspace::in_root(tools::program(&tools::FUZZ)?);
    command.env("RUSTUP_TOOLCHAIN", TOOLCHAIN).env_remove("CARGO").env_remove("RUSTC").env_remove("LD_LIBRARY_PATH");
    Ok(command)
}

/// The machine's own target: the tool may have been built for another one (musl), which sanitizers do not support.
fn host() -> Result<String> {
    let text = step::output(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "-vV"]))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV named no host")
}
