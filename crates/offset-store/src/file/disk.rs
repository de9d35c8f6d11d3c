//! What is done to files and folders, on a thread that may block.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::error::FileOffsetsError;

/// A file longer than this is not read, and none is written: some 180,000 queues. What claims to be more is not ours.
pub(super) const LONGEST: u64 = 16 << 20;

/// The steps by which a file gets a new content, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The new text, into a file of its own.
    Write,
    /// To the disk with it.
    Sync,
    /// In the place of the old one, at once.
    Rename,
    /// The new name to the disk.
    SyncFolder,
}

/// Looks at a step before it is done, and may fail it: how tests break off a write.
pub(super) type BeforeStep = dyn Fn(Step) -> io::Result<()> + Send + Sync;

/// Gives a file a new content. Whoever reads it, after a crash too, finds the old content or the new one.
pub(super) fn replace(path: &Path, text: &[u8], before: &BeforeStep) -> Result<(), FileOffsetsError> {
    let new = beside(path, ".new");
    let in_new = |error| failed("write", &new, error);
    before(Step::Write).map_err(in_new)?;
    let mut file = File::create(&new).map_err(in_new)?;
    file.write_all(text).map_err(in_new)?;
    before(Step::Sync).map_err(in_new)?;
    file.sync_all().map_err(in_new)?;
    drop(file);
    let in_place = |error| failed("replace", path, error);
    before(Step::Rename).map_err(in_place)?;
    fs::rename(&new, path).map_err(in_place)?;
    before(Step::SyncFolder).map_err(in_place)?;
    sync_folder(parent(path)).map_err(in_place)
}

/// What a file has, or `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileOffsetsError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text));
    match read {
        Ok(length) if length as u64 > LONGEST => {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {LONGEST} bytes"));
            Err(failed("read", path, error))
        }
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// Makes a folder, and those above it, to the disk.
pub(super) fn create_folder(folder: &Path) -> Result<(), FileOffsetsError> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder);
    if above != folder {
        create_folder(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(above),
    }
    .map_err(|error| failed("make the folder", folder, error))
}

/// Takes the lock that a file stands for, until the value is dropped or the process ends, however it ends. `None`: somebody has it.
pub(super) fn lock(path: &Path) -> Result<Option<File>, FileOffsetsError> {
    let in_lock = |error| failed("lock", path, error);
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(in_lock)?;
    // Not the method of that name, which is the standard library's from Rust 1.89 on.
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(fs4::TryLockError::WouldBlock) => Ok(None),
        Err(fs4::TryLockError::Error(error)) => Err(in_lock(error)),
    }
}

/// Puts a bad file aside, in the place of the one put aside before.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, FileOffsetsError> {
    let aside = beside(path, ".corrupt");
    let renamed = fs::rename(path, &aside).and_then(|()| sync_folder(parent(path)));
    renamed.map(|()| aside).map_err(|error| failed("put aside", path, error))
}

/// A file in the same folder, whose name goes on.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> FileOffsetsError {
    FileOffsetsError::Io { doing, path: path.to_owned(), source }
}

/// The folder that a file or folder is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Windows cannot, and keeps names by itself.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}
