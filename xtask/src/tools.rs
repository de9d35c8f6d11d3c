//! Tools that are not part of a Rust installation: taken from `PATH`, else installed into the cache.
//!
//! Ready binaries come as Python packages, so a machine with `pip` needs no compile of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::step::{self, Absent};
use crate::workspace;

/// A tool and the release of it that is installed when there is none.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
pub(crate) const HACK: Tool = Tool { name: "cargo-hack", version: "0.6.45" };
pub(crate) const NEXTEST: Tool = Tool { name: "cargo-nextest", version: "0.9.148" };
pub(crate) const FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2" };

/// The oldest compiler that is supported: `rust-version` of the workspace.
pub(crate) const OLDEST_RUST: &str = "1.88";

/// The program of a tool, installed if need be.
pub(crate) fn program(tool: &Tool) -> Result<PathBuf> {
    let Tool { name, version } = tool;
    if runs(Path::new(name), tool) {
        return Ok(name.into());
    }
    let folder = workspace::cache()?.join("tools").join(format!("{name}-{version}"));
    workspace::cached(&folder, |partial| install(tool, partial))
        .map_err(|error| Absent(format!("{name} is not installed and could not be fetched: {error:#}")))?;
    Ok(folder.join("bin").join(name))
}

/// Makes sure that a toolchain is there.
pub(crate) fn toolchain(name: &str) -> Result<()> {
    if !succeeds(Command::new("rustup").arg("--version")) {
        return Err(Absent(format!("rustup is not installed, so there is no toolchain {name}")).into());
    }
    if succeeds(Command::new("rustup").args(["run", name, "rustc", "--version"])) {
        return Ok(());
    }
    step::check(Command::new("rustup").args(["toolchain", "install", name, "--profile", "minimal"])).map_err(|error| {
        Absent(format!("toolchain {name} is not installed and could not be fetched: {error:#}")).into()
    })
}

/// Whether a program of this tool is there. Called as cargo calls it: by the name of its subcommand.
fn runs(program: &Path, tool: &Tool) -> bool {
    let subcommand = tool.name.strip_prefix("cargo-").unwrap_or(tool.name);
    succeeds(Command::new(program).args([subcommand, "--version"])) || succeeds(Command::new(program).arg("--version"))
}

/// Whether a command can be started and ends well. It shows nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn install(tool: &Tool, folder: &Path) -> Result<()> {
    let Tool { name, version } = tool;
    let python = ["python3", "python"]
        .into_iter()
        .find(|python| succeeds(Command::new(python).args(["-m", "pip", "--version"])))
        .context("there is no Python with pip to install it; put the tool on PATH yourself")?;
    let package = format!("astral-dev-toolchain-{name}=={version}");
    step::check(
        Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"])
            .args(["--no-deps", "--target"])
            .arg(folder)
            .arg(&package),
    )?;
    if !runs(&folder.join("bin").join(name), tool) {
        bail!("the package {package} has no program {name} that runs on this machine");
    }
    Ok(())
}
