//! The command that runs beside the servers. It ends when we are gone, like them.

use std::io::IsTerminal;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use super::process::shell;
use crate::step;

/// Kills what it was told when its pipe closes.
const GUARD: &str = r#"
while read -r line; do :; done
kill -s KILL -- "$1" 2>/dev/null
"#;

/// Runs a command to its end and returns its exit code, as a shell would give it.
///
/// At a terminal it stays in the foreground, so that a shell or a pager works; elsewhere it gets a process group of
/// its own, so that nothing which it started is left running after it.
pub(crate) fn run(command: &mut Command) -> Result<u8> {
    let interactive = std::io::stdin().is_terminal();
    if !interactive {
        command.process_group(0);
    }
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", step::shown(command)))?;
    let target = if interactive { child.id().to_string() } else { format!("-{}", child.id()) };
    let guard = shell(GUARD).arg(target).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut guard = match guard {
        Ok(guard) => guard,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error).context("cannot start sh");
        }
    };
    let status = child.wait().context("cannot wait for the command");
    if interactive {
        // The process is gone, and its number may soon be another's.
        let _ = guard.kill();
    }
    guard.stdin = None;
    let _ = guard.wait();
    Ok(code(status?))
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_passed_on() {
        assert_eq!(run(Command::new("sh").args(["-c", "exit 7"])).unwrap(), 7);
        assert_eq!(run(Command::new("sh").args(["-c", "kill -s TERM $$"])).unwrap(), 143);
        assert!(run(&mut Command::new("/no/such/program")).is_err());
    }
}
