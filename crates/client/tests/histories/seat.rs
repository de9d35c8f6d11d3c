//! Where a member of a broadcasting group keeps its progress. It survives the process, and another process goes on from it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket::{BoxError, ConsumeFrom, FileOffsets, Group, MessageQueue, OffsetStore};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::history::History;

/// How often offsets are stored.
pub(crate) const COMMIT_INTERVAL: Duration = Duration::from_millis(700);

/// A place for one process at a time.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) number: usize,
    pub(crate) history: Arc<Mutex<History>>,
    disk: Arc<Disk>,
}

struct Disk {
    offsets: Mutex<BTreeMap<MessageQueue, u64>>,
    /// A real one.
    folder: Option<PathBuf>,
    /// How many reads and writes fail from now on.
    failing: AtomicUsize,
    failed: Mutex<Option<Instant>>,
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Seat {
    pub(crate) fn new(number: usize, history: Arc<Mutex<History>>, has_folder: bool) -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let folder = has_folder.then(|| {
            let name = format!("seat-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::SeqCst));
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
        });
        let (offsets, failing, failed) = (Mutex::default(), AtomicUsize::new(0), Mutex::new(None));
        Self { number, history, disk: Arc::new(Disk { offsets, folder, failing, failed }) }
    }

    /// Some keep an order, and some begin at the end.
    pub(crate) fn is_orderly(&self) -> bool {
        self.number.is_multiple_of(3)
    }

    pub(crate) fn begins(&self) -> ConsumeFrom {
        if self.number.is_multiple_of(4) { ConsumeFrom::Latest } else { ConsumeFrom::Earliest }
    }

    /// So many reads and writes fail from now on (R20).
    pub(crate) fn fail(&self, times: usize) {
        self.disk.failing.store(times, Ordering::SeqCst);
    }

    /// The store of a process.
    pub(crate) fn store(&self, is_dead: &Arc<AtomicBool>) -> SeatStore {
        let file = self.disk.folder.as_ref().map(FileOffsets::new);
        SeatStore { seat: self.clone(), is_dead: is_dead.clone(), file }
    }

    /// Its process has ended: what that has settled by `then` must be stored.
    pub(crate) fn ended(&self, began: Instant, then: Instant) {
        let failed = *self.disk.failed.lock();
        if failed.is_none_or(|failed| failed + 5 * COMMIT_INTERVAL < then) {
            self.history.lock().process_ended(began, then);
        }
    }
}

pub(crate) struct SeatStore {
    seat: Seat,
    is_dead: Arc<AtomicBool>,
    file: Option<FileOffsets>,
}

impl SeatStore {
    fn check(&self) -> Result<(), BoxError> {
        if self.is_dead.load(Ordering::SeqCst) {
            return Err("the process is dead".into());
        }
        let disk = &self.seat.disk;
        let fewer = |times: usize| times.checked_sub(1);
        if disk.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok() {
            *disk.failed.lock() = Some(Instant::now());
            return Err("a fault of this test".into());
        }
        Ok(())
    }
}

impl OffsetStore for SeatStore {
    async fn read(&self, group: &Group, queue: &MessageQueue) -> Result<Option<u64>, BoxError> {
        self.check()?;
        let found = match &self.file {
            Some(file) => file.read(group, queue).await?,
            None => self.seat.disk.offsets.lock().get(queue).copied(),
        };
        self.seat.history.lock().begins_anew(self.seat.number, queue, found.unwrap_or(0));
        Ok(found)
    }

    async fn write(&self, group: &Group, offsets: &[(MessageQueue, u64)]) -> Result<(), BoxError> {
        if !self.is_dead.load(Ordering::SeqCst) {
            let mut history = self.seat.history.lock();
            offsets.iter().for_each(|(queue, offset)| history.commits(self.seat.number, queue.clone(), *offset));
        }
        self.check()?;
        if let Some(file) = &self.file {
            file.write(group, offsets).await?;
        }
        self.seat.disk.offsets.lock().extend(offsets.iter().cloned());
        let mut history = self.seat.history.lock();
        offsets.iter().for_each(|(queue, offset)| history.stored(self.seat.number, queue, *offset));
        Ok(())
    }
}
