//! `cargo xtask chaos`: the histories of whole consumer groups, for more seeds than the tests play, or for one.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{step, workspace};

/// The test that plays them.
pub(crate) const HISTORIES: &str = "histories";
/// From here on a build of its own pays: optimized, a run takes a fifth of the time.
const MANY: u64 = 2_000;

/// Which.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seeds of each kind of group: 0 up to this, after those that failed once.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Only this one, with everything that happened.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Only groups of this kind.
    #[arg(long)]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Kind {
    Concurrent,
    Orderly,
    Broadcast,
}

impl Kind {
    /// How the names of its tests begin.
    fn filter(self) -> &'static str {
        match self {
            Self::Concurrent => "concurrent_groups",
            Self::Orderly => "orderly_groups",
            Self::Broadcast => "broadcasting_groups",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut cargo = histories();
    if args.seeds >= MANY && args.seed.is_none() {
        cargo.arg("--release");
    }
    cargo.args(["--no-fail-fast", "--", "--nocapture"]).args(args.kind.map(Kind::filter));
    match args.seed {
        Some(seed) => cargo.env("FERROCKET_SEED", seed.to_string()),
        None => cargo.env("FERROCKET_SEEDS", args.seeds.to_string()),
    };
    let Err(error) = step::check(&mut cargo) else { return Ok(ExitCode::SUCCESS) };
    eprintln!("error: {error:#}");
    eprintln!(
        "\nThe message above names the kind and the seed. `cargo xtask chaos --kind KIND --seed SEED` plays it again, alone and the \
         same; put it into crates/client/tests/histories/seeds.rs."
    );
    Ok(ExitCode::FAILURE)
}

/// `cargo test` of the histories.
pub(crate) fn histories() -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--package", workspace::UMBRELLA, "--all-features", "--test", HISTORIES]);
    cargo
}
