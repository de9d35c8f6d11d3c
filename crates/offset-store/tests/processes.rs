//! Processes that are killed while they write, and two with one folder. The test's own program is the other process.

use std::{
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use ferrocket_model::{Group, MessageQueue};
use ferrocket_offset_store::{FileOffsets, FileOffsetsError, OffsetStore};

const GROUP: Group = Group::from_static("g");
const FOLDER: &str = "FERROCKET_TEST_OFFSETS";

fn queue(id: u32) -> MessageQueue {
    MessageQueue::new("T", "broker-a", id)
}

/// What the other process does: it stores one number in two queues, says so, and takes the next, until it is killed.
#[tokio::test]
async fn the_other_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let offsets = FileOffsets::new(folder);
    let first = offsets.read(&GROUP, &queue(0)).await.expect("reads").unwrap_or(0);
    for number in first + 1.. {
        offsets.write(&GROUP, &[(queue(0), number), (queue(1), number)]).await.expect("writes");
        println!("\nstored {number}");
    }
}

struct Other {
    process: Child,
    /// Kept, because who cannot say anything more ends by itself.
    _says: Lines<BufReader<ChildStdout>>,
    /// The last number that it said was stored.
    acknowledged: u64,
}

impl Other {
    /// Starts the other process, and waits until it has stored so many numbers.
    fn start(folder: &Path, numbers: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut says = BufReader::new(process.stdout.take().expect("piped")).lines();
        let stored = says.by_ref().map_while(Result::ok).filter_map(|line| line.strip_prefix("stored ")?.parse().ok());
        let acknowledged = stored.take(numbers).last().expect("it does not end by itself");
        Self { process, _says: says, acknowledged }
    }
}

/// Killed, without a chance to do anything more.
impl Drop for Other {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }
}

#[tokio::test]
async fn what_a_killed_process_has_stored_is_there_and_whole() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("killed");
    let _ = std::fs::remove_dir_all(&folder);
    let mut before = 0;
    for life in 0..12 {
        let other = Other::start(&folder, 1 + life * 3);
        let acknowledged = other.acknowledged;

        // CON-OFF-24: two of Java's would overwrite each other's file.
        let offsets = FileOffsets::new(&folder);
        let error = offsets.read(&GROUP, &queue(0)).await.expect_err("the other process has it");
        assert!(matches!(error.downcast_ref(), Some(FileOffsetsError::InUse { .. })), "{error}");

        drop(other);
        let stored = offsets.read(&GROUP, &queue(0)).await.expect("no lock outlives its process").expect("is stored");
        assert!(before < acknowledged && acknowledged <= stored, "{before} < {acknowledged} <= {stored}");
        assert_eq!(offsets.read(&GROUP, &queue(1)).await.expect("reads"), Some(stored));
        before = stored;
    }
}
