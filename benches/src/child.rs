//! Processes of our own: this program, started again with an argument, on a core of its own.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};

/// Whether a program can be started.
pub fn has(program: &str) -> bool {
    let quiet = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok()
}

/// Whether processes can be tied to cores: there is `taskset`, and more than one core.
pub fn can_pin() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| has("taskset") && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}

/// This program, to be started again; on this core, if it is given and can be had.
///
/// # Errors
///
/// When the program does not know where it is.
pub fn myself(core: Option<usize>) -> Result<Command> {
    let program = std::env::current_exe().context("where this program is")?;
    Ok(pinned(program, core))
}

fn pinned(program: PathBuf, core: Option<usize>) -> Command {
    match core.filter(|_| can_pin()) {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// A process that is asked line by line. It ends when its input does, and so with this value.
#[derive(Debug)]
pub struct Asked {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Asked {
    /// Starts it, and waits for its first line.
    ///
    /// # Errors
    ///
    /// When it does not start, or says nothing.
    pub fn start(mut command: Command) -> Result<(Self, String)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else { bail!("no pipes") };
        let mut asked = Self { child, input: Some(input), output: BufReader::new(output) };
        let first = asked.line()?;
        Ok((asked, first))
    }

    /// Says a line, and waits for the answer.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn ask(&mut self, line: &str) -> Result<String> {
        if let Some(input) = &mut self.input {
            writeln!(input, "{line}").context("the process has ended")?;
        }
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("a measured process ended without an answer");
        }
        Ok(line.trim().to_owned())
    }

    /// Tells it to end by itself, and waits.
    pub fn finish(mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.input = None;
        // Servers have no other end; clients are not in the middle of anything that must be kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
