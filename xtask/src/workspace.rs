//! Where things are: the checkout, its packages, the cache outside of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step;

/// The umbrella crate: examples and the behaviour suite are its.
pub(crate) const UMBRELLA: &str = "ferrocket";
/// The benchmarks' package.
pub(crate) const BENCHES: &str = "ferrocket-benches";

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// `cargo`, to be run in the root. The one on `PATH`, so that `+TOOLCHAIN` works.
pub(crate) fn cargo() -> Command {
    in_root("cargo")
}

/// Any program, to be run in the root.
pub(crate) fn in_root(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// What cargo knows about the workspace's packages.
pub(crate) fn metadata() -> Result<Value> {
    let text = step::output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("cargo metadata printed something that is not JSON")
}

/// The packages of a metadata value.
pub(crate) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// A text field of a metadata value; empty when it is not there.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Whether a package has a target of this kind (`bin`, `example`, `test`) and name.
pub(crate) fn has_target(metadata: &Value, package: &str, kind: &str, name: &str) -> bool {
    packages(metadata)
        .filter(|candidate| text(candidate, "name") == package)
        .flat_map(|package| targets(package, kind))
        .any(|target| target == name)
}

/// The names of a package's targets of one kind.
pub(crate) fn targets<'a>(package: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a str> {
    package["targets"].as_array().into_iter().flatten().filter_map(move |target| {
        let kinds = target["kind"].as_array()?;
        kinds.iter().any(|candidate| candidate == kind).then(|| text(target, "name"))
    })
}

/// The folder for jars and tools, outside the checkout: `FERROCKET_CACHE`, else `ferrocket` in the user's cache folder.
pub(crate) fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("FERROCKET_CACHE") {
        return std::path::absolute(folder).context("FERROCKET_CACHE does not name a folder");
    }
    let user = variable("XDG_CACHE_HOME").or_else(|| {
        let home = variable("HOME")?;
        Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    });
    match user {
        Some(folder) => Ok(folder.join("ferrocket")),
        None => bail!("there is no cache folder: set FERROCKET_CACHE to a folder outside the checkout"),
    }
}

/// Fills a cache folder once: `fill` works in a sibling, which is renamed when it is done.
///
/// A killed run therefore leaves no half-filled folder, and of two runs at once one wins.
pub(crate) fn cached(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let stamp = folder.join("complete");
    if stamp.is_file() {
        return Ok(());
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let partial = folder.with_file_name(format!("{name}.partial-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&partial);
    std::fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let filled = fill(&partial).and_then(|()| {
        std::fs::write(partial.join("complete"), format!("{name}\n")).context("cannot write the stamp file")
    });
    if let Err(error) = filled {
        let _ = std::fs::remove_dir_all(&partial);
        return Err(error);
    }
    if !stamp.is_file() {
        // What is there without its stamp was damaged by hand: nothing of ours leaves it so.
        let _ = std::fs::remove_dir_all(folder);
        match std::fs::rename(&partial, folder) {
            Err(_) if stamp.is_file() => {}
            other => other.with_context(|| format!("cannot move {} into place", partial.display()))?,
        }
    }
    let _ = std::fs::remove_dir_all(&partial);
    Ok(())
}
