//! `cargo xtask interop java|go`: messages from another client to ours and back, over a real broker.
//!
//! All programs print what they sent and what they received, one JSON object a line (`xtask/interop/README.md`).
//! Here they are started and their lines compared.

mod compare;
mod program;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::broker::{self, Release, Running};
use crate::java;
use crate::step::{self, Absent};
use program::Program;

pub(crate) use program::require_go;

const RELEASE: Release = Release::V5_5_0;
/// Two rounds of six messages for every spec.
const MESSAGES_PER_SPEC: usize = 12;
/// For a consumer, which on a busy machine needs 20 s to get its first message.
const CONSUME_SECONDS: usize = 60;

/// The other client.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// The Java client.
    Java {
        /// Only from Java to Java: shows that the programs and the comparison work.
        #[arg(long)]
        self_check: bool,
    },
    /// The Go client.
    Go {
        /// Only from Go to Go: shows that the programs and the comparison work.
        #[arg(long)]
        self_check: bool,
    },
}

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sides {
    /// The other client to itself.
    OtherOnly,
    /// The other to Rust and Rust to the other.
    Both,
}

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let sides = |self_check: bool| if self_check { Sides::OtherOnly } else { Sides::Both };
    let outcome = match command {
        Command::Java { self_check } => java(sides(*self_check)),
        Command::Go { self_check } => go(sides(*self_check)),
    };
    match outcome {
        Err(error) if error.downcast_ref::<Absent>().is_some() && !step::in_ci() => {
            eprintln!("interop: SKIPPED: {error}");
            Ok(ExitCode::SUCCESS)
        }
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

/// Runs the exchanges with the Java client and fails on any difference.
pub(crate) fn java(sides: Sides) -> Result<()> {
    java::require()?;
    exchanges(&Program::java(RELEASE.version())?, sides)
}

/// Runs the exchanges with the Go client and fails on any difference.
pub(crate) fn go(sides: Sides) -> Result<()> {
    require_go()?;
    java::require()?; // for the broker
    exchanges(&Program::go()?, sides)
}

fn exchanges(other: &Program, sides: Sides) -> Result<()> {
    broker::with_cluster(RELEASE, &[], |cluster| {
        if sides == Sides::OtherOnly {
            return exchange(cluster, other, other);
        }
        let rust = Program::rust()?;
        exchange(cluster, other, &rust)?;
        exchange(cluster, &rust, other)
    })
}

fn exchange(cluster: &Running, from: &Program, to: &Program) -> Result<()> {
    let way = format!("{}-to-{}", from.name(), to.name());
    let topic = format!("interop-{way}");
    cluster.create_topic(&topic)?;
    let name_server = cluster.name_server()?;
    let specs: Vec<_> = from.specs().iter().copied().filter(|spec| to.specs().contains(spec)).collect();
    let messages = MESSAGES_PER_SPEC * specs.len();
    let count = messages.to_string();
    let home = cluster.scratch_folder()?;
    let sent = from.run(&home, &[&["produce", &name_server, &topic, &count], specs.as_slice()].concat())?;
    let group = format!("interop-group-{way}");
    let received = to.run(&home, &["consume", &name_server, &topic, &group, &count, &CONSUME_SECONDS.to_string()])?;
    let differences = compare::differences(&sent, &received, messages);
    if differences.is_empty() {
        eprintln!("interop: {way}: {messages} messages are the same on both sides ({})", specs.join(", "));
        return Ok(());
    }
    for difference in &differences {
        eprintln!("interop: {way}: {difference}");
    }
    bail!("{way}: {} differences", differences.len())
}
