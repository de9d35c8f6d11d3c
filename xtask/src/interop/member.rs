//! A program that consumes until its input is closed, and what it printed so far.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::program::Program;

/// For a start, for messages to come, and for an end: a busy machine needs a third of it.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// What a member printed so far. It outlives the member.
pub(super) type Lines = Arc<Mutex<Vec<Value>>>;

/// A running member of a group. Dropping it kills it.
pub(super) struct Member {
    name: &'static str,
    process: Child,
    lines: Lines,
    reader: Option<JoinHandle<Result<()>>>,
    client_id: String,
}

impl Member {
    /// Starts it, and waits until it consumes.
    pub(super) fn start(program: Program, home: &Path, args: &[&str]) -> Result<Self> {
        let name = program.name();
        let mut command = program.command(home, args);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name} member"))?;
        let output = process.stdout.take().context("the member has no output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let line = program.parse(&line?)?;
                into.lock().map_err(|_| anyhow!("a reader of the lines panicked"))?.push(line);
            }
            Ok(())
        });
        let mut member = Self { name, process, lines, reader: Some(reader), client_id: String::new() };
        await_until(LIMIT, || {
            member.client_id = member.first(|line| line["client"].as_str().map(str::to_owned))?.unwrap_or_default();
            Ok(!member.client_id.is_empty() || member.process.try_wait()?.is_some())
        })?;
        if member.client_id.is_empty() {
            bail!("the {name} member did not start");
        }
        Ok(member)
    }

    /// The id of its client.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What it printed, and will print.
    pub(super) fn lines(&self) -> Lines {
        Arc::clone(&self.lines)
    }

    /// How often each message of a topic was delivered, by index.
    pub(super) fn deliveries(&self, topic: &str) -> Result<BTreeMap<u64, usize>> {
        let lines = self.lines.lock().map_err(|_| anyhow!("the reader of the lines panicked"))?;
        let mut counts = BTreeMap::new();
        for line in lines.iter().filter(|line| line["topic"] == topic) {
            *counts.entry(line["index"].as_u64().context("a delivery without an index")?).or_default() += 1;
        }
        Ok(counts)
    }

    /// Waits until each of the first messages of a topic was delivered at least this often. Says what is missing, if they do not come.
    pub(super) fn await_deliveries(&self, topic: &str, messages: u64, times: usize) -> Result<()> {
        let missing = || -> Result<Vec<u64>> {
            let counts = self.deliveries(topic)?;
            Ok((0..messages).filter(|index| counts.get(index).copied().unwrap_or(0) < times).collect())
        };
        if await_until(LIMIT, || Ok(missing()?.is_empty()))? {
            return Ok(());
        }
        bail!("after {LIMIT:?} these of {messages} messages were not delivered {times} times: {:?}", missing()?)
    }

    /// Closes its input and waits until it has ended well.
    pub(super) fn stop(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let mut status = None;
        await_until(LIMIT, || {
            status = self.process.try_wait()?;
            Ok(status.is_some())
        })?;
        let Some(status) = status else { bail!("the {} member still runs {LIMIT:?} after its end", self.name) };
        if !status.success() {
            bail!("the {} member ended with {status}", self.name);
        }
        match self.reader.take().map(JoinHandle::join) {
            Some(Ok(read)) => read,
            _ => bail!("the reader of the lines panicked"),
        }
    }

    /// Ends it as a crash would, and waits until all that it printed is read.
    pub(super) fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        // Its last line may be torn.
        let _ = self.reader.take().map(JoinHandle::join);
        Ok(())
    }

    fn first<T>(&self, find: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let lines = self.lines.lock().map_err(|_| anyhow!("the reader of the lines panicked"))?;
        Ok(lines.iter().find_map(find))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Nobody can be told, and of one that has ended there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for a condition, and says whether it came in time.
pub(super) fn await_until(limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        if holds()? {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(POLL);
    }
}
