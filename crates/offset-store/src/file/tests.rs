//! Writes that break off at each step, bad files, and who may use what. What needs other processes is in `tests/processes.rs`.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use ferrocket_model::{BoxError, Group, MessageQueue};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::{FileOffsets, FileOffsetsError, disk::Step};
use crate::OffsetStore;

const GROUP: Group = Group::from_static("g");

/// A folder that is not there yet, and is gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("ferrocket-offsets-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(&self.0).expect("a folder");
        fs::write(self.file(name), text).expect("a file");
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    fn open(&self) -> FileOffsets {
        FileOffsets::new(&self.0)
    }

    fn open_with(&self, before: impl Fn(Step) -> io::Result<()> + Send + Sync + 'static) -> FileOffsets {
        FileOffsets { before_step: Some(Arc::new(before)), ..self.open() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn queue(id: u32) -> MessageQueue {
    MessageQueue::new("T", "broker-a", id)
}

/// Runs with threads that may block, which is all that is needed.
fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
}

async fn stored(offsets: &FileOffsets, id: u32) -> Option<u64> {
    offsets.read(&GROUP, &queue(id)).await.expect("reads")
}

fn ours(error: &BoxError) -> &FileOffsetsError {
    error.downcast_ref().expect("our error")
}

#[tokio::test]
async fn nothing_is_there_until_something_is_stored() {
    let folder = Folder::new();
    let offsets = FileOffsets::new(folder.file("deep/er"));
    assert_eq!(folder.names(), [""; 0]);
    assert_eq!(stored(&offsets, 0).await, None);
    offsets.write(&GROUP, &[]).await.expect("writes");
    assert!(!folder.file("deep/er/g.json").exists());
    offsets.write(&GROUP, &[(queue(0), 7), (queue(1), 8)]).await.expect("writes");
    offsets.write(&GROUP, &[(queue(1), 5)]).await.expect("an offset may go back: it was reset");
    assert_eq!((stored(&offsets, 0).await, stored(&offsets, 1).await), (Some(7), Some(5)));
    drop(offsets);
    let offsets = FileOffsets::new(folder.file("deep/er"));
    assert_eq!(
        (stored(&offsets, 0).await, stored(&offsets, 1).await, stored(&offsets, 2).await),
        (Some(7), Some(5), None)
    );
}

#[tokio::test]
async fn a_file_is_written_beside_synced_renamed_and_its_folder_synced() {
    let (folder, steps) = (Folder::new(), Arc::new(Mutex::new(Vec::new())));
    let seen = steps.clone();
    let offsets = folder.open_with(move |step| {
        seen.lock().push(step);
        Ok(())
    });
    offsets.write(&GROUP, &[(queue(0), 1)]).await.expect("writes");
    assert_eq!(*steps.lock(), [Step::Write, Step::Sync, Step::Rename, Step::SyncFolder]);
    assert_eq!(folder.names(), ["g.json", "g.lock"]);
}

/// One life of a process: writes that work, and then perhaps one that breaks off.
#[derive(Clone, Debug)]
struct Life {
    writes: Vec<Vec<(u32, u64)>>,
    breaks: Option<(Step, usize)>,
}

fn life() -> impl Strategy<Value = Life> {
    let write = proptest::collection::vec((0..4_u32, 0..100_u64), 1..4);
    let step = prop::sample::select(vec![Step::Write, Step::Sync, Step::Rename, Step::SyncFolder]);
    let breaks = proptest::option::of((step, 0..400_usize));
    (proptest::collection::vec(write, 1..4), breaks).prop_map(|(writes, breaks)| Life { writes, breaks })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// CON-BUG-10: whatever of the new text is on the disk when the process dies, the table is the one before or the one after.
    #[test]
    fn a_write_that_breaks_off_leaves_the_old_table_or_the_new_one(lives in proptest::collection::vec(life(), 1..4)) {
        let folder = Folder::new();
        run(async {
            let mut table = [None; 4];
            for life in lives {
                let (broken, new) = (Arc::new(Mutex::new(None::<(Step, usize)>)), folder.file("g.json.new"));
                let armed = broken.clone();
                let offsets = folder.open_with(move |step| match *armed.lock() {
                    Some((at, length)) if at == step => {
                        // What was written and not yet synced may be there in part.
                        if step == Step::Sync {
                            let text = fs::read(&new)?;
                            fs::write(&new, &text[..length.min(text.len())])?;
                        }
                        Err(ErrorKind::Other.into())
                    }
                    _ => Ok(()),
                });
                let last = life.writes.len() - 1;
                for (index, write) in life.writes.iter().enumerate() {
                    let breaks = life.breaks.filter(|_| index == last);
                    *broken.lock() = breaks;
                    let mut after = table;
                    for (id, offset) in write {
                        after[*id as usize] = Some(*offset);
                    }
                    let write: Vec<_> = write.iter().map(|(id, offset)| (queue(*id), *offset)).collect();
                    let written = offsets.write(&GROUP, &write).await;
                    assert_eq!(written.is_err(), breaks.is_some());
                    // From the new name on it is the new table.
                    if breaks.is_none_or(|(step, _)| step == Step::SyncFolder) {
                        table = after;
                    }
                }
                drop(offsets);
                let offsets = folder.open();
                for (id, offset) in (0..).zip(table) {
                    assert_eq!(stored(&offsets, id).await, offset, "queue {id}");
                }
            }
        });
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_not_read_and_is_written_with_the_next() {
    let (folder, broken) = (Folder::new(), Arc::new(Mutex::new(true)));
    let fails = broken.clone();
    let offsets = folder.open_with(move |_| if *fails.lock() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) });
    let error = offsets.write(&GROUP, &[(queue(0), 1)]).await.expect_err("the disk is full");
    assert!(matches!(ours(&error), FileOffsetsError::Io { path, .. } if *path == folder.file("g.json.new")), "{error}");
    assert_eq!(stored(&offsets, 0).await, None);
    *broken.lock() = false;
    offsets.write(&GROUP, &[(queue(1), 2)]).await.expect("writes");
    assert_eq!((stored(&offsets, 0).await, stored(&offsets, 1).await), (Some(1), Some(2)));
}

#[test]
fn writes_that_come_together_are_written_once_and_the_later_wins() {
    // With one thread that may block, and that one at work, nothing that comes is done by a thread. Made
    // first, because it waits for that thread when it ends, and that one for the channel.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().expect("a runtime");
    let (folder, writes) = (Folder::new(), Arc::new(AtomicUsize::new(0)));
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (counter, may_go_on) = (writes.clone(), Mutex::new(may_go_on));
    let offsets = Arc::new(folder.open_with(move |step| {
        if step == Step::Write && counter.fetch_add(1, Ordering::Relaxed) == 0 {
            begun.send(()).expect("the test waits");
            may_go_on.lock().recv().expect("the test goes on");
        }
        Ok(())
    }));
    runtime.block_on(async {
        let mut waiting = Vec::new();
        for (id, offset) in [(0, 10), (0, 20), (0, 5)].into_iter().chain((1..50).map(|id| (id, id.into()))) {
            let offsets = offsets.clone();
            let mut write = Box::pin(async move { offsets.write(&GROUP, &[(queue(id), offset)]).await });
            // The order is that of the calls, so each is begun here and ended by a task.
            let begins = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx).is_pending()));
            assert!(begins.await);
            waiting.push(tokio::spawn(write));
            if waiting.len() == 1 {
                has_begun.recv().expect("the first write is at the disk");
            }
        }
        let file = offsets.group(&GROUP).expect("a group");
        assert_eq!(file.known(&queue(0)), Some(None), "nothing is known to be on the disk");
        assert_eq!((file.wanted(&queue(0)), file.wanted(&queue(49))), (Some(5), Some(49)));
        go_on.send(()).expect("the write waits");
        for write in waiting {
            write.await.expect("runs").expect("writes");
        }
        assert_eq!(file.wanted(&queue(0)), None);
    });
    assert_eq!(writes.load(Ordering::Relaxed), 2);
    drop((runtime, offsets));
    let offsets = folder.open();
    assert_eq!(run(stored(&offsets, 0)), Some(5));
    assert_eq!(run(stored(&offsets, 49)), Some(49));
}

// CON-BUG-10, CON-OFF-23: Java takes it for a new group.
#[tokio::test]
async fn a_broken_file_is_an_error_that_names_it_until_it_is_put_right() {
    let folder = Folder::new();
    for text in ["", "{", "\0\0\0\0", "{\"version\":1,\"group\":\"other\",\"offsets\":[]}"] {
        folder.put("g.json", text);
        let offsets = folder.open();
        let error = offsets.read(&GROUP, &queue(0)).await.expect_err("broken");
        assert!(
            matches!(ours(&error), FileOffsetsError::Corrupt { path, .. } if *path == folder.file("g.json")),
            "{error}"
        );
        assert!(error.to_string().contains("ignore_corrupt"), "{error}");
        offsets.write(&GROUP, &[(queue(0), 1)]).await.expect_err("what is not understood is not overwritten");
        assert_eq!(fs::read(folder.file("g.json")).expect("a file"), text.as_bytes());
        fs::remove_file(folder.file("g.json")).expect("removed");
        assert_eq!(stored(&offsets, 0).await, None);
    }
}

#[tokio::test]
async fn a_broken_file_is_put_aside_when_that_is_asked_for() {
    let folder = Folder::new();
    for text in ["first", "second"] {
        folder.put("g.json", text);
        let offsets = folder.open().ignore_corrupt(true);
        assert_eq!(stored(&offsets, 0).await, None);
        assert_eq!(folder.names(), ["g.json.corrupt", "g.lock"]);
        assert_eq!(fs::read(folder.file("g.json.corrupt")).expect("a file"), text.as_bytes());
    }
    let offsets = folder.open().ignore_corrupt(true);
    offsets.write(&GROUP, &[(queue(0), 1)]).await.expect("writes");
    assert_eq!(stored(&offsets, 0).await, Some(1));
}

#[tokio::test]
async fn a_file_of_a_later_version_is_never_put_aside() {
    let folder = Folder::new();
    folder.put("g.json", "{\"version\":2}");
    let error = folder.open().ignore_corrupt(true).read(&GROUP, &queue(0)).await.expect_err("later");
    assert!(matches!(ours(&error), FileOffsetsError::Version { version: 2, .. }), "{error}");
    assert_eq!(folder.names(), ["g.json", "g.lock"]);
}

#[tokio::test]
async fn a_huge_file_is_refused_and_none_is_written() {
    let folder = Folder::new();
    folder.put("g.json", "");
    fs::File::options().write(true).open(folder.file("g.json")).and_then(|file| file.set_len(1 << 33)).expect("grows");
    let error = folder.open().ignore_corrupt(true).read(&GROUP, &queue(0)).await.expect_err("8 GiB");
    assert!(
        matches!(ours(&error), FileOffsetsError::Io { source, .. } if source.kind() == ErrorKind::FileTooLarge),
        "{error}"
    );

    fs::remove_file(folder.file("g.json")).expect("removed");
    let offsets = folder.open();
    let queue = MessageQueue::new("T".repeat(17 << 20), "b", 0);
    let error = offsets.write(&GROUP, &[(queue, 1)]).await.expect_err("too long");
    assert!(
        matches!(ours(&error), FileOffsetsError::Io { source, .. } if source.kind() == ErrorKind::FileTooLarge),
        "{}",
        error.to_string().len()
    );
    assert_eq!(folder.names(), ["g.lock"]);
}

#[tokio::test]
async fn folders_in_the_place_of_files_and_files_in_the_place_of_folders_are_errors() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file("g.json")).expect("a folder");
    let error = folder.open().read(&GROUP, &queue(0)).await.expect_err("a folder");
    assert!(matches!(ours(&error), FileOffsetsError::Io { .. }), "{error}");
    folder.put("file", "");
    let error = FileOffsets::new(folder.file("file")).read(&GROUP, &queue(0)).await.expect_err("a file");
    assert!(matches!(ours(&error), FileOffsetsError::Io { .. }), "{error}");
    FileOffsets::new("").read(&GROUP, &queue(0)).await.expect_err("no name at all");
}

#[tokio::test]
async fn a_group_cannot_be_a_path() {
    let folder = Folder::new();
    let offsets = FileOffsets::new(folder.file("in"));
    for name in ["../g", "/tmp/g", "a/b", "a\\b", "..", "", "g.json", "a\0"] {
        let error = offsets.write(&name.into(), &[(queue(0), 1)]).await.expect_err("no group");
        assert!(matches!(ours(&error), FileOffsetsError::InvalidGroup { .. }), "{error}");
    }
    assert_eq!(folder.names(), [""; 0]);
    offsets.write(&"%a|b".into(), &[(queue(0), 1)]).await.expect("writes");
    assert!(folder.file("in/%25a%7Cb.json").is_file());
}

#[tokio::test]
async fn a_group_has_one_user_and_a_folder_many_groups() {
    let (folder, other) = (Folder::new(), Group::from("other"));
    let (first, second) = (folder.open(), folder.open());
    first.write(&GROUP, &[(queue(0), 1)]).await.expect("writes");
    for error in [
        second.read(&GROUP, &queue(0)).await.expect_err("in use"),
        second.write(&GROUP, &[(queue(0), 0)]).await.expect_err("in use"),
    ] {
        assert!(
            matches!(ours(&error), FileOffsetsError::InUse { lock, .. } if *lock == folder.file("g.lock")),
            "{error}"
        );
        assert!(error.to_string().contains("g.lock"), "{error}");
    }
    second.write(&other, &[(queue(0), 2)]).await.expect("another group");
    drop(first);
    assert_eq!(stored(&second, 0).await, Some(1));
}

fn java(folder: &Folder, path: &str, topic: &str, offset: u64) -> PathBuf {
    let path = folder.file(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let text =
        format!("{{\"offsetTable\":{{{{\"brokerName\":\"broker-a\",\"queueId\":0,\"topic\":\"{topic}\"}}:{offset}}}}}");
    fs::write(&path, text).expect("a file");
    path
}

#[tokio::test]
async fn an_import_never_lowers_an_offset_and_is_stored() {
    let folder = Folder::new();
    let offsets = folder.open();
    let path = java(&folder, "java/offsets.json", "T", 5);
    assert_eq!(offsets.import_java(GROUP, &path).await.expect("imports"), 1);
    assert_eq!(offsets.import_java(GROUP, &path).await.expect("imports"), 0, "there already");
    offsets.write(&GROUP, &[(queue(0), 7)]).await.expect("writes");
    assert_eq!(offsets.import_java(GROUP, &path).await.expect("imports"), 0, "behind");
    assert_eq!(offsets.import_java(GROUP, java(&folder, "java/offsets.json", "T", 8)).await.expect("imports"), 1);
    drop(offsets);
    assert_eq!(stored(&folder.open(), 0).await, Some(8));
}

#[tokio::test]
async fn an_import_does_not_lower_what_is_still_to_be_written() {
    let (folder, broken) = (Folder::new(), Arc::new(Mutex::new(true)));
    let fails = broken.clone();
    let offsets = folder.open_with(move |_| if *fails.lock() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) });
    offsets.write(&GROUP, &[(queue(0), 7)]).await.expect_err("the disk is full");
    *broken.lock() = false;
    assert_eq!(offsets.import_java(GROUP, java(&folder, "java/offsets.json", "T", 5)).await.expect("imports"), 0);
    assert_eq!(stored(&offsets, 0).await, Some(7));
}

#[tokio::test]
async fn an_import_of_nothing_is_no_error_but_of_an_empty_file_it_is() {
    let folder = Folder::new();
    let offsets = folder.open();
    assert_eq!(offsets.import_java(GROUP, folder.file("offsets.json")).await.expect("imports"), 0);
    assert_eq!(folder.names(), ["g.lock"]);
    folder.put("offsets.json", "");
    offsets.import_java(GROUP, folder.file("offsets.json")).await.expect_err("Java was writing when it died");
}

#[test]
fn the_folder_stays_where_it_was_when_the_process_moves() {
    let here = std::env::current_dir().expect("a folder");
    assert_eq!(FileOffsets::new("offsets").folder, here.join("offsets"));
}

#[tokio::test]
async fn an_import_takes_a_namespace_off() {
    let folder = Folder::new();
    let offsets = folder.open();
    let path = java(&folder, "N%g/offsets.json", "N%T", 5);
    assert_eq!(offsets.import_java(GROUP, path).await.expect("imports"), 1);
    assert_eq!(stored(&offsets, 0).await, Some(5));
}

#[tokio::test]
async fn an_import_of_what_cannot_be_read_changes_nothing() {
    let folder = Folder::new();
    let offsets = folder.open();
    offsets.write(&GROUP, &[(queue(0), 1)]).await.expect("writes");
    folder.put("offsets.json", [0xff, 0xfe]);
    let refused = |error: FileOffsetsError, path: &Path| matches!(error, FileOffsetsError::NotJava { path: named, .. } if named == path);
    let path = folder.file("offsets.json");
    assert!(refused(offsets.import_java(GROUP, &path).await.expect_err("no text"), &path));
    folder.put("offsets.json.bak", "{\"offsetTable\":{");
    let error = offsets.import_java(GROUP, &path).await.expect_err("cut short");
    assert!(refused(error, &folder.file("offsets.json.bak")));
    assert_eq!(stored(&offsets, 0).await, Some(1));
}
