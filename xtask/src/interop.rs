//! `cargo xtask interop java`: messages from the Java client to ours and back, over a real broker.
//!
//! Both programs print what they sent and what they received, one JSON object a line (`xtask/interop/README.md`).
//! Here they are started and their lines compared.

mod compare;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::broker::{self, Release, Running};
use crate::{examples, java, step, workspace};

const SOURCE: &str = include_str!("../interop/Interop.java");
const RELEASE: Release = Release::V5_5_0;
const SPECS: [&str; 5] = ["none", "zlib", "lz4", "zstd", "batch"];
/// Two rounds of six messages for every spec.
const COUNT: usize = 60;
/// For a consumer, which on a busy machine needs 20 s to get its first message.
const CONSUME_SECONDS: usize = 60;

/// The other client.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// The Java client.
    Java {
        /// Only from Java to Java: shows that the programs and the comparison work.
        #[arg(long)]
        self_check: bool,
    },
}

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sides {
    /// Java to Java.
    JavaOnly,
    /// Java to Rust and Rust to Java.
    Both,
}

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Java { self_check } = command;
    java(if *self_check { Sides::JavaOnly } else { Sides::Both })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the exchanges and fails on any difference.
pub(crate) fn java(sides: Sides) -> Result<()> {
    java::require()?;
    let java = Program::java()?;
    broker::with_cluster(RELEASE, &[], |cluster| {
        if sides == Sides::JavaOnly {
            return exchange(cluster, &java, &java);
        }
        let rust = Program::rust()?;
        exchange(cluster, &java, &rust)?;
        exchange(cluster, &rust, &java)
    })
}

fn exchange(cluster: &Running, from: &Program, to: &Program) -> Result<()> {
    let way = format!("{}-to-{}", from.name(), to.name());
    let topic = format!("interop-{way}");
    cluster.create_topic(&topic)?;
    let name_server = cluster.name_server()?;
    let count = COUNT.to_string();
    let home = cluster.scratch_folder()?;
    let sent = from.run(&home, &[&["produce", &name_server, &topic, &count], SPECS.as_slice()].concat())?;
    let group = format!("interop-group-{way}");
    let received = to.run(&home, &["consume", &name_server, &topic, &group, &count, &CONSUME_SECONDS.to_string()])?;
    let differences = compare::differences(&sent, &received, COUNT);
    if differences.is_empty() {
        eprintln!("interop: {way}: {COUNT} messages are the same on both sides");
        return Ok(());
    }
    for difference in &differences {
        eprintln!("interop: {way}: {difference}");
    }
    bail!("{way}: {} differences", differences.len())
}

/// A program that produces and consumes.
enum Program {
    Java { class_path: String },
    Rust { program: PathBuf },
}

impl Program {
    /// Compiled once for each text of the source.
    fn java() -> Result<Self> {
        let jars = java::class_path(&java::CLIENT, RELEASE.version())?;
        let mut hasher = DefaultHasher::new();
        (SOURCE, RELEASE.version()).hash(&mut hasher);
        let classes = workspace::cache()?.join("interop").join(format!("{:016x}", hasher.finish()));
        workspace::cached(&classes, |folder| {
            let file = folder.join("Interop.java");
            std::fs::write(&file, SOURCE).with_context(|| format!("cannot write {}", file.display()))?;
            let mut javac = Process::new(java::tool("javac"));
            javac.args(["-encoding", "UTF-8", "-proc:none", "-cp", &jars, "-d"]).arg(folder).arg(&file);
            java::clean_environment(&mut javac);
            step::check(&mut javac)
        })?;
        Ok(Self::Java { class_path: format!("{}:{jars}", classes.display()) })
    }

    fn rust() -> Result<Self> {
        let metadata = workspace::metadata()?;
        if !workspace::has_target(&metadata, workspace::UMBRELLA, "example", examples::INTEROP) {
            bail!("the package {} has no example `{}`", workspace::UMBRELLA, examples::INTEROP);
        }
        examples::build()?;
        Ok(Self::Rust { program: examples::program(&metadata, examples::INTEROP) })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Java { .. } => "java",
            Self::Rust { .. } => "rust",
        }
    }

    /// Runs it to its end and returns the lines that it printed. The Java client writes its log below `home`.
    fn run(&self, home: &Path, args: &[&str]) -> Result<Vec<Value>> {
        let mut command = match self {
            Self::Java { class_path } => {
                let mut command = Process::new(java::tool("java"));
                let home = format!("-Duser.home={}", home.display());
                command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", &home]);
                command.args(["-cp", class_path, "Interop"]);
                java::clean_environment(&mut command);
                command
            }
            Self::Rust { program } => Process::new(program),
        };
        eprintln!("interop: {} {}", self.name(), args.join(" "));
        let text = step::output(command.args(args).stdin(Stdio::null()))?;
        let parse = |line| serde_json::from_str(line).with_context(|| format!("{} printed `{line}`", self.name()));
        text.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }
}
