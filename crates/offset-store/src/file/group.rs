use std::{
    fs::File,
    path::{Path, PathBuf},
};

use ferrocket_model::{Group, MessageQueue};
use parking_lot::Mutex;

use super::{
    disk::{self, BeforeStep},
    error::FileOffsetsError,
    format::{self, Table, Unreadable},
};

/// The file of one group.
///
/// Two locks: `offsets` for a moment, by anybody; `disk` while files are written, by threads that may block. Writes put what they
/// want into `wanted`, and then somebody writes all of it: what comes together is written once, and what was asked later wins, in
/// whatever order threads run.
pub(super) struct GroupFile {
    group: Group,
    path: PathBuf,
    lock: PathBuf,
    ignore_corrupt: bool,
    before_step: Box<BeforeStep>,
    offsets: Mutex<Offsets>,
    /// The lock of the operating system, from the first use on.
    disk: Mutex<Option<File>>,
}

#[derive(Default)]
struct Offsets {
    /// What the file has; `None` until it was read.
    stored: Option<Table>,
    /// What is to be stored.
    wanted: Table,
}

impl GroupFile {
    pub(super) fn new(
        folder: PathBuf,
        group: Group,
        ignore_corrupt: bool,
        before_step: Box<BeforeStep>,
    ) -> Result<Self, FileOffsetsError> {
        // Such names are safe in paths, but for two characters that some systems do not take.
        if let Err(why) = group.check() {
            return Err(FileOffsetsError::InvalidGroup { group, why });
        }
        let name = group.as_str().replace('%', "%25").replace('|', "%7C");
        let path = folder.join(format!("{name}.json"));
        let lock = folder.join(format!("{name}.lock"));
        Ok(Self { group, path, lock, ignore_corrupt, before_step, offsets: Mutex::default(), disk: Mutex::default() })
    }

    /// Where the offsets are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is stored for a queue; the outer `None` when the file was not read yet.
    pub(super) fn known(&self, queue: &MessageQueue) -> Option<Option<u64>> {
        self.offsets.lock().stored.as_ref().map(|stored| stored.get(queue).copied())
    }

    #[cfg(test)]
    pub(super) fn wanted(&self, queue: &MessageQueue) -> Option<u64> {
        self.offsets.lock().wanted.get(queue).copied()
    }

    /// Reads the file unless that was done, and says what is stored for a queue. Blocks.
    pub(super) fn read(&self, queue: &MessageQueue) -> Result<Option<u64>, FileOffsetsError> {
        self.load(&mut self.disk.lock())?;
        Ok(self.known(queue).flatten())
    }

    /// From now on these are wanted, whoever writes them. Does not block.
    pub(super) fn want(&self, offsets: &[(MessageQueue, u64)]) {
        self.offsets.lock().wanted.extend(offsets.iter().cloned());
    }

    /// Wants what is ahead of all that is known, and says how many those are. Blocks.
    pub(super) fn want_ahead(&self, offsets: Table) -> Result<usize, FileOffsetsError> {
        self.load(&mut self.disk.lock())?;
        let mut known = self.offsets.lock();
        let Offsets { stored, wanted } = &mut *known;
        let before = |queue: &MessageQueue| wanted.get(queue).or_else(|| stored.as_ref()?.get(queue)).copied();
        let ahead: Table = offsets.into_iter().filter(|(queue, offset)| before(queue) < Some(*offset)).collect();
        let count = ahead.len();
        wanted.extend(ahead);
        Ok(count)
    }

    /// Writes all that is wanted. Blocks.
    pub(super) fn write(&self) -> Result<(), FileOffsetsError> {
        let mut disk = self.disk.lock();
        self.load(&mut disk)?;
        let (table, wanted) = {
            let offsets = self.offsets.lock();
            if offsets.wanted.is_empty() {
                return Ok(()); // somebody else has written ours
            }
            let mut table = offsets.stored.clone().unwrap_or_default();
            table.extend(offsets.wanted.clone());
            (table, offsets.wanted.clone())
        };
        let text = format::write(&self.group, &table).map_err(|error| self.unwritable(error.into()))?;
        if text.len() as u64 > disk::LONGEST {
            let longest = format!("it would be longer than {} bytes", disk::LONGEST);
            return Err(self.unwritable(std::io::Error::new(std::io::ErrorKind::FileTooLarge, longest)));
        }
        disk::replace(&self.path, &text, &*self.before_step)?;
        let mut offsets = self.offsets.lock();
        offsets.stored = Some(table);
        // What was wanted anew meanwhile stays.
        offsets.wanted.retain(|queue, offset| wanted.get(queue) != Some(offset));
        Ok(())
    }

    /// Takes the lock and reads the file, once both have worked.
    fn load(&self, lock: &mut Option<File>) -> Result<(), FileOffsetsError> {
        if self.offsets.lock().stored.is_some() {
            return Ok(());
        }
        if lock.is_none() {
            if let Some(folder) = self.path.parent() {
                disk::create_folder(folder)?;
            }
            *lock = disk::lock(&self.lock)?;
        }
        if lock.is_none() {
            return Err(FileOffsetsError::InUse { group: self.group.clone(), lock: self.lock.clone() });
        }
        let table = match disk::read(&self.path)? {
            None => Table::new(),
            Some(text) => self.table(&text)?,
        };
        self.offsets.lock().stored = Some(table);
        Ok(())
    }

    fn table(&self, text: &[u8]) -> Result<Table, FileOffsetsError> {
        let (group, path) = (self.group.clone(), self.path.clone());
        match format::read(&self.group, text) {
            Ok(table) => Ok(table),
            Err(Unreadable::Version(version)) => Err(FileOffsetsError::Version { group, path, version }),
            Err(Unreadable::Corrupt(why)) if self.ignore_corrupt => {
                let aside = disk::set_aside(&self.path)?;
                tracing::warn!(%group, file = %path.display(), why, aside = %aside.display(),
                    "the file of offsets cannot be understood; it was put aside, and the group begins anew");
                Ok(Table::new())
            }
            Err(Unreadable::Corrupt(why)) => Err(FileOffsetsError::Corrupt { group, path, why }),
        }
    }

    fn unwritable(&self, source: std::io::Error) -> FileOffsetsError {
        FileOffsetsError::Io { doing: "write", path: self.path.clone(), source }
    }
}
