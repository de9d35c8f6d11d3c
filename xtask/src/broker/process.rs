//! One server process, held by a guard: it ends when we stop it, and when we are gone.
//!
//! The JVM is the child of a small shell, which waits for it and reads a pipe whose other end is ours. A line on the pipe
//! is the name of a signal for the JVM. When the pipe closes, because we dropped it or because the system closed it
//! after `kill -9`, the guard kills the JVM.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::java;

const GUARD: &str = r#"
pid_file=$1
shift
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
echo "$server" >"$pid_file"
{ while read -r signal; do kill -s "$signal" "$server"; done; kill -s KILL "$server"; } <&3 2>/dev/null &
guard=$!
exec 3<&-
wait "$server"
code=$?
kill -s KILL "$guard" 2>/dev/null
exit "$code"
"#;

/// Waits for its pipe to close, then for the servers to end, then removes the folder.
const SWEEPER: &str = r#"
while read -r line; do :; done
tries=100
for file in "$1"/*/pid; do
    while [ "$tries" -gt 0 ] && kill -s 0 "$(cat "$file")"; do sleep 0.1; tries=$((tries - 1)); done
done 2>/dev/null
rm -rf "$1"
"#;

/// How long a process may take to be gone after SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A running server.
pub(crate) struct Server {
    name: &'static str,
    home: PathBuf,
    guard: Child,
    pipe: ChildStdin,
}

impl Server {
    /// Starts a JVM whose home, working directory and log folder is `home`.
    pub(crate) fn start(name: &'static str, home: &Path, arguments: &[OsString]) -> Result<Self> {
        std::fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
        let log = File::create(home.join("output.log")).context("cannot create the server's output file")?;
        let mut command = shell(GUARD);
        command.arg(home.join("pid")).arg(java::tool("java")).args(arguments);
        java::clean_environment(&mut command);
        command.current_dir(home).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut guard = command.spawn().with_context(|| format!("cannot start the {name}"))?;
        let pipe = guard.stdin.take().context("the guard has no pipe")?;
        Ok(Self { name, home: home.to_owned(), guard, pipe })
    }

    /// Sends the JVM a signal by name, such as `TERM`.
    pub(crate) fn signal(&mut self, signal: &str) -> Result<()> {
        writeln!(self.pipe, "{signal}").with_context(|| format!("the {} is gone", self.name))
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.guard.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the {} has not ended within {limit:?}", self.name);
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Fails when the process has ended, with the last lines that it wrote.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.guard.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the {} ended with {status}\n{}", self.name, self.last_words()),
        }
    }

    /// The last lines of what the process printed and logged.
    pub(crate) fn last_words(&self) -> String {
        let mut text = last_lines(&self.home.join("output.log"), 15);
        let logs = self.home.join("logs").join("rocketmqlogs");
        for log in ["namesrv.log", "broker.log"] {
            text += &last_lines(&logs.join(log), 8);
        }
        text
    }

    /// Ends the process now. Its store survives that.
    pub(crate) fn kill(&mut self) {
        if !matches!(self.guard.try_wait(), Ok(None)) {
            return;
        }
        // A guard that no longer reads has killed the server already.
        let _ = self.signal("KILL");
        if self.wait(KILL_LIMIT).is_err() {
            eprintln!(
                "broker: the {} did not end; its process id is in {}",
                self.name,
                self.home.join("pid").display()
            );
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of one cluster. It is removed at the end, by a shell of its own if we are gone.
pub(crate) struct WorkFolder {
    path: PathBuf,
    sweeper: Child,
}

impl WorkFolder {
    pub(crate) fn create() -> Result<Self> {
        let base = std::env::temp_dir();
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = base.join(format!("ferrocket-{}-{nanos}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut command = shell(SWEEPER);
        command.arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let sweeper = command.spawn().context("cannot start sh")?;
        Ok(Self { path, sweeper })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // Closes the pipe. The servers have ended by now, so this takes no time.
        self.sweeper.stdin = None;
        let _ = self.sweeper.wait();
    }
}

/// A shell for a script of ours, in a process group of its own: Ctrl-C at a terminal does not end it before its work is done.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "ferrocket-guard"]).process_group(0);
    command
}

/// The last lines of a file, less the servers' notes on how they set up their logging.
fn last_lines(path: &Path, count: usize) -> String {
    let Ok(bytes) = std::fs::read(path) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("|-") && !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(count)..];
    last.iter().map(|line| format!("    {line}\n")).collect()
}
