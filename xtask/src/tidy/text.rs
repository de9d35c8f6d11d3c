//! What no file of the checkout may say, and where dependencies may come from.

use std::path::Path;

use anyhow::{Context, Result};

use super::Problems;
use crate::{step, workspace};

/// Texts that name one machine or one way of working, in pieces, so that this file does not have them.
const FORBIDDEN: [(&str, &str); 7] = [
    (concat!("../", "shared"), "a folder outside the checkout"),
    (concat!("/wo", "rk/"), "a folder of one machine"),
    (concat!("repo1.maven", ".org"), "a registry's host"),
    (concat!("repo.maven.", "apache.org"), "a registry's host"),
    (concat!("pypi", ".org"), "a registry's host"),
    (concat!("static.crates", ".io"), "a registry's host"),
    (concat!("index.crates", ".io"), "a registry's host"),
];

/// Where `Cargo.lock` says that a crate came from.
const CRATES_IO: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";

pub(super) fn check(root: &Path) -> Result<Problems> {
    let mut problems = Problems::new();
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let files = step::output(workspace::in_root("git").args(list)).context("tidy needs git and a checkout")?;
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        // A file deleted but not yet committed is still listed; bytes that are not text have nothing to say.
        let Ok(bytes) = std::fs::read(root.join(file)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        problems.extend(forbidden(&text).into_iter().map(|(line, why)| format!("{file}:{line}: names {why}")));
        if file == "Cargo.lock" {
            problems.extend(
                foreign_sources(&text)
                    .into_iter()
                    .map(|source| format!("Cargo.lock: {source} is not crates.io: depend on a published release")),
            );
        }
    }
    Ok(problems)
}

fn forbidden(text: &str) -> Vec<(usize, &'static str)> {
    let found = |line: &str| FORBIDDEN.iter().find(|(pattern, _)| line.contains(pattern)).map(|(_, why)| *why);
    text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, found(line)?))).collect()
}

fn foreign_sources(lock: &str) -> Vec<&str> {
    lock.lines().filter_map(|line| line.strip_prefix("source = ")).filter(|source| *source != CRATES_IO).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_text_is_found_with_its_line() {
        let text = format!("fine\nsee {}/file\n", FORBIDDEN[0].0);
        assert_eq!(forbidden(&text), [(2, "a folder outside the checkout")]);
        assert_eq!(forbidden("network/work is fine\n"), []);
    }

    #[test]
    fn only_crates_io_is_a_source() {
        let lock = format!("source = {CRATES_IO}\nsource = \"git+https://example.org/x\"\n");
        assert_eq!(foreign_sources(&lock), ["\"git+https://example.org/x\""]);
    }
}
