use std::{io, path::PathBuf};

use ferrocket_model::{Group, InvalidName};

/// Why offsets could not be read from, or written to, a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileOffsetsError {
    /// The file is there and makes no sense. Nothing is guessed from it.
    #[error(
        "the offsets of group {group} in {} cannot be understood: {why}. Correct the file or bring back a copy; without it the \
         group begins where `consume_from` says, and `FileOffsets::ignore_corrupt(true)` does that by itself", path.display()
    )]
    Corrupt {
        /// Whose offsets they are.
        group: Group,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file is of a later version of this crate. It is left alone, by [`ignore_corrupt`](crate::FileOffsets::ignore_corrupt) too.
    #[error(
        "the offsets of group {group} in {} are in version {version} of the format; this program knows version 1: it is older \
         than the one that wrote them", path.display()
    )]
    Version {
        /// Whose offsets they are.
        group: Group,
        /// The file.
        path: PathBuf,
        /// The version that it says.
        version: u64,
    },
    /// Somebody else uses the offsets of this group: another process, or another [`FileOffsets`](crate::FileOffsets) in this one.
    #[error(
        "the offsets of group {group} are in use by another process or another FileOffsets: it holds {}. Give each its own folder", lock.display()
    )]
    InUse {
        /// Whose offsets they are.
        group: Group,
        /// The lock file.
        lock: PathBuf,
    },
    /// The name of the group is none, and could be a path.
    #[error("there are no offsets of group {group:?}: {why}")]
    InvalidGroup {
        /// What was given.
        group: Group,
        /// What is wrong with it.
        why: InvalidName,
    },
    /// Java's file, and the copy that Java keeps beside it, make no sense.
    #[error("the offsets of Java's client in {} cannot be understood: {why}", path.display())]
    NotJava {
        /// The file that was read last.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system said no.
    #[error("could not {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}
