//! The copy of the checkout that is broken.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Mutant;
use crate::{step, workspace};

/// A copy of everything that belongs to the checkout. Files that have not changed keep their times, so that cargo builds only what
/// has to be built.
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn copy() -> Result<Self> {
        let from = workspace::root();
        let root = Self::folder().join("tree");
        let listed = step::output(workspace::in_root("git").args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let files: HashSet<_> =
            listed.split('\0').filter(|name| !name.is_empty() && from.join(name).is_file()).collect();
        if !files.contains("Cargo.lock") {
            bail!("the checkout has no Cargo.lock: is it one of git?");
        }
        for name in &files {
            let content = fs::read(from.join(name)).with_context(|| format!("cannot read {name}"))?;
            write(&root.join(name), &content)?;
        }
        remove_others(&root, &root, &files)?;
        Ok(Self { root })
    }

    /// Where everything of this job is.
    fn folder() -> PathBuf {
        workspace::root().join("target/mutants")
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn target(&self) -> PathBuf {
        Self::folder().join("build")
    }

    /// Fails when a change does not fit, so that no refactoring can disarm it unseen.
    pub(super) fn check(&self, mutant: &Mutant) -> Result<()> {
        self.changed(mutant).map(drop)
    }

    /// Does something while the mutant is in place.
    pub(super) fn with<T>(&self, mutant: &Mutant, action: impl FnOnce() -> Result<T>) -> Result<T> {
        let files = self.changed(mutant)?;
        for (path, _, after) in &files {
            write(path, after.as_bytes())?;
        }
        let done = action();
        for (path, before, _) in &files {
            write(path, before.as_bytes())?;
        }
        done
    }

    /// The files that a mutant changes, before and after.
    fn changed(&self, mutant: &Mutant) -> Result<Vec<(PathBuf, String, String)>> {
        let mut files: Vec<(PathBuf, String, String)> = Vec::new();
        for change in mutant.changes {
            let path = self.root.join(change.file);
            let index = match files.iter().position(|(known, ..)| *known == path) {
                Some(index) => index,
                None => {
                    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", change.file))?;
                    files.push((path, text.clone(), text));
                    files.len() - 1
                }
            };
            let after = &mut files[index].2;
            let times = after.matches(change.from).count();
            if times != 1 {
                bail!(
                    "mutant {}: {} has this {times} times instead of once; say in xtask/src/mutants/list.rs how to break what \
                     is there now:\n{}",
                    mutant.name,
                    change.file,
                    change.from
                );
            }
            *after = after.replacen(change.from, change.to, 1);
        }
        Ok(files)
    }
}

/// Writes a file unless it is as wanted already.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|known| known == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes what is no longer part of the checkout.
fn remove_others(root: &Path, folder: &Path, files: &HashSet<&str>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            remove_others(root, &path, files)?;
        } else if !files.contains(name.as_str()) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::list::MUTANTS;

    #[test]
    fn every_mutant_fits_the_checkout_as_it_is() {
        let tree = Tree { root: workspace::root() };
        for mutant in MUTANTS {
            tree.check(mutant).unwrap();
        }
    }
}
