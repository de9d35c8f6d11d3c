//! What every crate must have: a README, a module doc, inherited manifest fields and lints, files of a readable size.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Problems;
use crate::workspace::{packages, text};

/// Fields that are written once, in the root manifest.
const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

/// What the crates of the library say of themselves (S7): nothing that a peer or a user can cause may panic.
const NO_PANICS: &str = "#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, \
    clippy::indexing_slicing, clippy::panic))]";
/// Tests call it, and a test that fails panics.
const MAY_PANIC: &str = "ferrocket-testkit";

/// A source file longer than this, less its unit tests, has more than one job.
const LONGEST_FILE: usize = 700;

pub(super) fn check(root: &Path, metadata: &Value) -> Result<Problems> {
    let mut problems = Problems::new();
    let workspace = read(&root.join("Cargo.toml"))?;
    if !in_section(&workspace, "workspace.lints.rust", "unsafe_code = \"forbid\"") {
        problems.push("Cargo.toml: [workspace.lints.rust] must say unsafe_code = \"forbid\"".to_owned());
    }
    for package in packages(metadata) {
        let manifest = Path::new(text(package, "manifest_path"));
        let folder = manifest.parent().unwrap_or(root);
        let shown = folder.strip_prefix(root).unwrap_or(folder).display();
        problems
            .extend(manifest_problems(&read(manifest)?).into_iter().map(|why| format!("{shown}/Cargo.toml: {why}")));
        if !folder.join("README.md").is_file() {
            problems.push(format!("{shown}: has no README.md"));
        }
        let library = folder.join("src/lib.rs");
        let is_ours = folder.parent() == Some(&root.join("crates")) && text(package, "name") != MAY_PANIC;
        if is_ours && library.is_file() && !read(&library)?.lines().any(|line| line == NO_PANICS) {
            problems.push(format!("{shown}/src/lib.rs: must forbid what may panic, in one line: {NO_PANICS}"));
        }
        for main in ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file)) {
            if main.is_file() && !read(&main)?.starts_with("//!") {
                problems.push(format!("{}: must begin with a module doc (//!)", main.display()));
            }
        }
    }
    for file in sources(&root.join("crates"))? {
        let lines = lines_without_tests(&read(&file)?);
        if lines > LONGEST_FILE {
            let shown = file.strip_prefix(root).unwrap_or(&file).display();
            problems.push(format!("{shown}: {lines} lines without tests, at most {LONGEST_FILE}: split it"));
        }
    }
    Ok(problems)
}

fn manifest_problems(manifest: &str) -> Problems {
    let mut problems = Problems::new();
    for field in INHERITED {
        let forms = [format!("{field}.workspace = true"), format!("{field} = {{ workspace = true }}")];
        if !forms.iter().any(|form| in_section(manifest, "package", form)) {
            problems.push(format!("[package] must say {field}.workspace = true"));
        }
    }
    if !in_section(manifest, "lints", "workspace = true") {
        problems
            .push("must inherit the lints, unsafe_code = \"forbid\" among them: [lints] workspace = true".to_owned());
    }
    problems
}

/// Whether a manifest has this line in this section. Manifests here are written plainly, one field a line.
fn in_section(manifest: &str, section: &str, line: &str) -> bool {
    let header = format!("[{section}]");
    let lines = manifest.lines().map(str::trim);
    lines
        .skip_while(|candidate| *candidate != header)
        .skip(1)
        .take_while(|candidate| !candidate.starts_with('['))
        .any(|candidate| candidate == line)
}

/// Unit tests are last in a file, and do not count.
fn lines_without_tests(source: &str) -> usize {
    let lines = source.lines().map(str::trim_start);
    lines.take_while(|line| !line.starts_with("mod tests {") && !line.starts_with("mod test {")).count()
}

/// The Rust files of `crates/*/src`.
fn sources(crates: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = entries(crates)?.into_iter().map(|folder| folder.join("src")).collect();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What is in a folder; nothing when there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    listed.map(|entry| Ok(entry?.path())).collect()
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_manifest_inherits_everything() {
        assert_eq!(manifest_problems(GOOD), Problems::new());
        assert_eq!(manifest_problems(&GOOD.replace("license.workspace = true", "license = \"MIT\"")).len(), 1);
        assert_eq!(manifest_problems(&GOOD.replace("[lints]", "[badges]")).len(), 1);
        assert_eq!(manifest_problems(&GOOD.replace("edition.workspace", "edition = \"2021\" #")).len(), 1);
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        assert_eq!(lines_without_tests("one\ntwo\n#[cfg(test)]\nmod tests {\n    four\n}\n"), 3);
    }
}
