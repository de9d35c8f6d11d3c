//! The project's only scripts: `cargo xtask COMMAND`.
//!
//! One file per job. Nothing here is published, and nothing here is needed to build or use the library.
//! Unix only: process groups, `sh` and signals hold the real servers that tests run against.

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "a synchronous program: it has no runtime whose clock or timer it could use"
)]

mod bench;
mod broker;
mod chaos;
mod examples;
mod fuzz;
mod interop;
mod java;
mod lint;
mod mutants;
mod step;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, checks and tests Ferrocket.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that needs no test run: format, clippy, tidy, licences, docs, features, oldest compiler.
    Lint,
    /// The rules no other tool knows: dependency arrows, manifests, file sizes.
    Tidy,
    /// All tests: unit, doc, behaviour, examples, gates, real servers, interop with other clients.
    Test(test::Args),
    /// Real Apache RocketMQ servers.
    Broker {
        #[command(subcommand)]
        command: broker::Command,
    },
    /// Messages from another client to ours and back, over a real broker.
    Interop {
        #[command(subcommand)]
        command: interop::Command,
    },
    /// The benchmarks; arguments are passed on.
    Bench(bench::Args),
    /// The fuzz targets of the protocol crate.
    Fuzz(fuzz::Args),
    /// Breaks consumers in one way after the other, in a copy, and expects a test to notice each.
    Mutants(mutants::Args),
    /// Whole groups of consumers under random faults, for as many seeds as wanted.
    Chaos(chaos::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Lint => lint::run(),
        Command::Tidy => tidy::run(),
        Command::Test(args) => test::run(&args),
        Command::Broker { command } => broker::run(&command),
        Command::Interop { command } => interop::run(&command),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::Chaos(args) => chaos::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
