//! Instructions per operation: callgrind over this program, with two counts of repetitions; what they differ by is the loop.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::ops::Op;

/// Repetitions of the shorter and the longer run; multiples of a batch.
const COUNTS: [usize; 2] = [320, 1_920];

/// Counts the instructions of one repetition. The program must take `op NAME COUNT`.
///
/// # Errors
///
/// When valgrind fails.
pub fn instructions(op: Op, keep: Option<&Path>) -> Result<f64> {
    let program = std::env::current_exe().context("where this program is")?;
    let name = op.to_possible_value().context("an operation without a name")?.get_name().to_owned();
    let [less, more] = COUNTS.map(|count| -> Result<u64> {
        let file = std::env::temp_dir().join(format!("ferrocket-{}-{name}-{count}.callgrind", std::process::id()));
        let mut option = std::ffi::OsString::from("--callgrind-out-file=");
        option.push(&file);
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--quiet"]).arg(option).arg(&program).args(["op", &name, &count.to_string()]);
        let output = command.stdin(Stdio::null()).output().context("cannot start valgrind")?;
        if !output.status.success() {
            bail!("valgrind failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        if let Some(folder) = keep {
            fs::create_dir_all(folder)?;
            fs::copy(&file, folder.join(format!("{name}-{count}.callgrind")))?;
        }
        let _ = fs::remove_file(&file);
        let total =
            text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
        total.and_then(|total| total.trim().parse().ok()).context("callgrind wrote no total")
    });
    let [fewer, most] = COUNTS;
    Ok((more? as f64 - less? as f64) / (most - fewer) as f64)
}
