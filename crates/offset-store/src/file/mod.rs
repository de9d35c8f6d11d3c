mod disk;
mod error;
mod format;
mod group;
mod java;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use error::FileOffsetsError;
use ferrocket_backend::BoxFuture;
use ferrocket_model::{BoxError, Group, MessageQueue, Namespace};
use parking_lot::Mutex;

use self::group::GroupFile;
use crate::OffsetStore;

/// Offsets in files, one per group, in a folder of your choice: what broadcast consumers use, of which each is on its own.
///
/// A write is on the disk when it returns, and is done whole or not at all: after a crash at any moment the file has the offsets from
/// before or those from after. A group without a file has nothing stored. A file that cannot be understood is an error that
/// names it, and no consumer starts from a guess (unless you say so: [`ignore_corrupt`](Self::ignore_corrupt)).
///
/// A group's file has one user at a time, which a lock sees to. Two processes that consume the same group need two folders, and a
/// process that comes back, perhaps elsewhere, needs the folder that it had: neither client id nor address is part of the
/// path.
///
/// The files are `<group>.json`, with a line per queue. `<group>.lock` is empty and stays. Files are read once, at the first use.
///
/// ```
/// use ferrocket_model::MessageQueue;
/// use ferrocket_offset_store::{FileOffsets, OffsetStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let folder = std::env::temp_dir().join(format!("ferrocket-file-offsets-{}", std::process::id()));
/// # let _ = std::fs::remove_dir_all(&folder);
/// let offsets = FileOffsets::new(&folder); // "/var/lib/app/offsets"
/// let (group, queue) = ("cache-reload".into(), MessageQueue::new("CacheEvents", "broker-a", 0));
/// assert_eq!(offsets.read(&group, &queue).await?, None);
///
/// offsets.write(&group, &[(queue.clone(), 42)]).await?;
/// drop(offsets); // the process ends
///
/// let offsets = FileOffsets::new(&folder);
/// assert_eq!(offsets.read(&group, &queue).await?, Some(42));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[doc(alias = "LocalFileOffsetStore")]
pub struct FileOffsets {
    folder: PathBuf,
    ignore_corrupt: bool,
    groups: Mutex<HashMap<Group, Arc<GroupFile>>>,
    #[cfg(test)]
    before_step: Option<Arc<disk::BeforeStep>>,
}

impl FileOffsets {
    /// Offsets in this folder. It is made when it is first needed, with those above it; nothing is read or written before.
    #[doc(alias = "rocketmq.client.localOffsetStoreDir")]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            // Whoever changes the folder of the process later does not mean this one.
            folder: std::path::absolute(&folder).unwrap_or(folder),
            ignore_corrupt: false,
            groups: Mutex::default(),
            #[cfg(test)]
            before_step: None,
        }
    }

    /// What happens to a file that cannot be understood. `false`, the default: reads and writes of its group fail, and say
    /// so, until somebody has corrected or removed it. `true`: it is renamed to `<group>.json.corrupt`, with a warning, and the
    /// group begins as if nothing were stored: where `consume_from` says.
    ///
    /// A file that a later version of this crate has written is an error in both cases. So is one that cannot be read at all.
    pub fn ignore_corrupt(mut self, ignore: bool) -> Self {
        self.ignore_corrupt = ignore;
        self
    }

    /// Takes the offsets over that Java's client has stored for a broadcast group, and says how many. An offset that we have already
    /// is never lowered, so that this may be called at each start, and for several files.
    ///
    /// Java's files are `~/.rocketmq_offsets/<client id>/<group>/offsets.json`. As Java, this reads the copy `offsets.json.bak`
    /// if the file is missing, empty or broken. If there is neither, nothing is taken over, and a warning says so. A namespace of the
    /// first kind (`legacy_namespace`) is part of the folder's name; if it is, it is taken off the topics.
    ///
    /// # Errors
    ///
    /// When what is there is empty or cannot be understood, where Java would begin anew if there is no copy; and as writes.
    pub fn import_java(
        &self,
        group: impl Into<Group>,
        file: impl Into<PathBuf>,
    ) -> BoxFuture<'_, Result<usize, FileOffsetsError>> {
        let (group, path) = (group.into(), file.into());
        Box::pin(async move {
            let file = self.group(&group)?;
            on_thread(file, move |ours| {
                let count = ours.want_ahead(java_table(&group, &path)?)?;
                ours.write()?;
                tracing::info!(%group, file = %path.display(), count, "offsets of Java's client taken over");
                Ok(count)
            })
            .await
        })
    }

    fn group(&self, group: &Group) -> Result<Arc<GroupFile>, FileOffsetsError> {
        let mut groups = self.groups.lock();
        if let Some(file) = groups.get(group) {
            return Ok(file.clone());
        }
        let file = GroupFile::new(self.folder.clone(), group.clone(), self.ignore_corrupt, self.before_step())?;
        let file = Arc::new(file);
        groups.insert(group.clone(), file.clone());
        Ok(file)
    }

    #[cfg(not(test))]
    fn before_step(&self) -> Box<disk::BeforeStep> {
        Box::new(|_| Ok(()))
    }

    #[cfg(test)]
    fn before_step(&self) -> Box<disk::BeforeStep> {
        let before = self.before_step.clone();
        Box::new(move |step| before.as_ref().map_or(Ok(()), |before| before(step)))
    }
}

impl OffsetStore for FileOffsets {
    async fn read(&self, group: &Group, queue: &MessageQueue) -> Result<Option<u64>, BoxError> {
        let file = self.group(group)?;
        if let Some(known) = file.known(queue) {
            return Ok(known);
        }
        let queue = queue.clone();
        Ok(on_thread(file, move |file| file.read(&queue)).await?)
    }

    async fn write(&self, group: &Group, offsets: &[(MessageQueue, u64)]) -> Result<(), BoxError> {
        let file = self.group(group)?;
        file.want(offsets);
        Ok(on_thread(file, GroupFile::write).await?)
    }
}

impl fmt::Debug for FileOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, ignore_corrupt, .. } = self;
        f.debug_struct("FileOffsets")
            .field("folder", folder)
            .field("ignore_corrupt", ignore_corrupt)
            .finish_non_exhaustive()
    }
}

/// What Java has stored, from its file or from the copy (CON-OFF-22).
fn java_table(group: &Group, path: &Path) -> Result<format::Table, FileOffsetsError> {
    // `<namespace>%<group>` is the group as Java's servers know it, and names the folder.
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let namespace = folder.strip_suffix(group.as_str()).and_then(|rest| rest.strip_suffix('%'));
    let namespace = namespace.filter(|name| !name.is_empty()).map(Namespace::new);
    let mut broken = None;
    for path in [path.to_owned(), disk::beside(path, ".bak")] {
        let text = match disk::read(&path) {
            Ok(None) => continue,
            Ok(Some(text)) => text,
            Err(error) => {
                broken = Some(error);
                continue;
            }
        };
        let text = String::from_utf8(text).map_err(|error| error.to_string());
        match text.and_then(|text| java::read(&text, namespace.as_ref())) {
            Ok(table) => return Ok(table),
            Err(why) => broken = Some(FileOffsetsError::NotJava { path, why }),
        }
    }
    match broken {
        Some(error) => Err(error),
        None => {
            tracing::warn!(%group, file = %path.display(), "there are no offsets of Java's client to take over");
            Ok(format::Table::new())
        }
    }
}

/// Files are read and written where waiting harms nobody.
async fn on_thread<T: Send + 'static>(
    file: Arc<GroupFile>,
    work: impl FnOnce(&GroupFile) -> Result<T, FileOffsetsError> + Send + 'static,
) -> Result<T, FileOffsetsError> {
    let path = file.path().to_owned();
    match tokio::task::spawn_blocking(move || work(&file)).await {
        Ok(done) => done,
        // The runtime ends.
        Err(stopped) => {
            Err(FileOffsetsError::Io { doing: "finish the work on", path, source: std::io::Error::other(stopped) })
        }
    }
}
