//! Tables, verdicts, and the JSON of a run.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use crate::cpu;

/// How a figure stands to its bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The bar is met.
    Met,
    /// It is not.
    Missed,
    /// The interval of the figure covers the bar.
    Unclear,
    /// There is no bar, only a figure.
    Reported,
    /// It could not be measured.
    Skipped,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The bar's id.
    pub id: String,
    /// What was measured.
    pub what: String,
    /// The bar, as text.
    pub bar: String,
    /// The figure, as text, with its unit.
    pub figure: String,
    /// The figure by the bar: above 1 is missed; `None` where there is no bar.
    pub ratio: Option<f64>,
    /// How it stands.
    pub verdict: Verdict,
}

impl Row {
    /// A figure that must not exceed its bar.
    pub fn at_most(id: &str, what: impl Into<String>, figure: f64, bar: f64, unit: &str) -> Self {
        Self {
            id: id.to_owned(),
            what: what.into(),
            bar: format!("<= {bar} {unit}"),
            figure: format!("{} {unit}", shown(figure)),
            ratio: Some(figure / bar),
            verdict: if figure <= bar { Verdict::Met } else { Verdict::Missed },
        }
    }

    /// A figure without a bar.
    pub fn reported(id: &str, what: impl Into<String>, figure: impl Into<String>) -> Self {
        let (what, figure) = (what.into(), figure.into());
        Self { id: id.to_owned(), what, bar: String::new(), figure, ratio: None, verdict: Verdict::Reported }
    }

    /// What could not be measured, and why.
    pub fn skipped(id: &str, what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let mut row = Self::reported(id, what, format!("skipped: {why}"));
        row.verdict = Verdict::Skipped;
        row
    }
}

/// A number with as many digits as it deserves.
pub fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Prints a table.
pub fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(["id", "what", "bar", "figure", "of bar", "verdict"]);
    for row in rows {
        let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let verdict = match row.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::Unclear => "unclear",
            Verdict::Reported => "",
            Verdict::Skipped => "skipped",
        };
        table.add_row([&row.id, &row.what, &row.bar, &row.figure, &ratio, verdict]);
    }
    println!("{table}");
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Run {
    /// The commit that was measured; with a `+` behind it when files were changed since.
    pub commit: String,
    /// When, UTC.
    pub date: String,
    /// Processor and number of cores.
    pub machine: String,
    /// The kernel.
    pub kernel: String,
    /// Load averages before.
    pub load_before: String,
    /// Load averages after.
    pub load_after: String,
    /// Whether processes had cores of their own.
    pub pinned: bool,
    /// The table.
    pub rows: Vec<Row>,
    /// Every sample behind it.
    pub samples: serde_json::Value,
}

impl Run {
    /// A run that begins now.
    pub fn begin(pinned: bool) -> Self {
        let changed = !output("git", &["status", "--porcelain"]).is_empty();
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        Self {
            commit: output("git", &["rev-parse", "HEAD"]) + if changed { "+" } else { "" },
            date: output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            machine: format!("{cores} x {}", processor.trim_start_matches(['\t', ' ', ':'])),
            kernel: output("uname", &["-sr"]),
            load_before: cpu::load_average(),
            load_after: String::new(),
            pinned,
            rows: Vec::new(),
            samples: serde_json::Value::Null,
        }
    }

    /// Writes it to `benches/results/DATE.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&mut self) -> Result<PathBuf> {
        self.load_after = cpu::load_average();
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.json", self.date.replace(':', "-")));
        fs::write(&file, serde_json::to_string_pretty(self)? + "\n").with_context(|| file.display().to_string())?;
        Ok(file)
    }
}

/// What a program prints; empty when it cannot be run.
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
