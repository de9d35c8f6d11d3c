//! The programs that take part: how they are built, and how they are run.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::{self, Absent};
use crate::{examples, java, tools, workspace};

/// Name and text of each source of the Java program.
const JAVA_FILES: [(&str, &str); 4] = [
    ("Deliveries.java", include_str!("../../interop/Deliveries.java")),
    ("Interop.java", include_str!("../../interop/Interop.java")),
    ("Sharing.java", include_str!("../../interop/Sharing.java")),
    ("Traces.java", include_str!("../../interop/Traces.java")),
];
/// Name and text of each file of the Go module.
const GO_FILES: [(&str, &str); 9] = [
    ("main.go", include_str!("../../interop/go/main.go")),
    ("consume.go", include_str!("../../interop/go/consume.go")),
    ("messages.go", include_str!("../../interop/go/messages.go")),
    ("produce.go", include_str!("../../interop/go/produce.go")),
    ("requests.go", include_str!("../../interop/go/requests.go")),
    ("traces.go", include_str!("../../interop/go/traces.go")),
    ("transactions.go", include_str!("../../interop/go/transactions.go")),
    ("go.mod", include_str!("../../interop/go/go.mod")),
    ("go.sum", include_str!("../../interop/go/go.sum")),
];

/// What a program may be able to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Skill {
    /// Sends messages of this spec.
    Send(&'static str),
    /// Receives messages of this spec.
    Receive(&'static str),
    /// Sends requests and gets replies.
    Request,
    /// Replies to requests.
    Reply,
    /// Sends in transactions, and answers when it is asked for their state.
    Transact,
    /// Writes message trace, and has records of its own for messages of this spec.
    Trace(&'static str),
    /// Reads message trace.
    ReadTrace,
}

/// A program that produces and consumes.
#[derive(Clone)]
pub(super) enum Program {
    Java { class_path: String },
    Go { program: PathBuf },
    Rust { program: PathBuf },
}

/// Fails with [`Absent`] when there is no Go.
pub(crate) fn require_go() -> Result<()> {
    if tools::succeeds(Command::new("go").arg("version")) {
        return Ok(());
    }
    Err(Absent("needs Go (1.21 or newer; put go on PATH)".to_owned()).into())
}

impl Program {
    /// Compiled once for each text of its sources.
    pub(super) fn java(release: &str) -> Result<Self> {
        let jars = java::class_path(&java::CLIENT, release)?;
        let classes = folder(&(JAVA_FILES, release))?;
        workspace::cached(&classes, |folder| {
            let mut javac = Command::new(java::tool("javac"));
            javac.args(["-encoding", "UTF-8", "-proc:none", "-cp", &jars, "-d"]).arg(folder);
            javac.args(write(folder, &JAVA_FILES)?);
            java::clean_environment(&mut javac);
            step::check(&mut javac)
        })?;
        Ok(Self::Java { class_path: format!("{}:{jars}", classes.display()) })
    }

    /// Built once for each text of its module. The sums in the checkout say what may be downloaded.
    pub(super) fn go() -> Result<Self> {
        let built = folder(&GO_FILES)?;
        workspace::cached(&built, |folder| {
            write(folder, &GO_FILES)?;
            let mut go = Command::new("go");
            go.args(["build", "-mod=readonly", "-buildvcs=false", "-o", "interop", "."]).current_dir(folder);
            // A workspace or flags of the user's are not ours.
            go.env("GOWORK", "off").env_remove("GOFLAGS");
            step::check(&mut go).context("the Go client could not be built: is a module proxy reachable?")
        })?;
        Ok(Self::Go { program: built.join("interop") })
    }

    pub(super) fn rust() -> Result<Self> {
        let metadata = workspace::metadata()?;
        if !workspace::has_target(&metadata, workspace::UMBRELLA, "example", examples::INTEROP) {
            bail!("the package {} has no example `{}`", workspace::UMBRELLA, examples::INTEROP);
        }
        examples::build()?;
        Ok(Self::Rust { program: examples::program(&metadata, examples::INTEROP) })
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Java { .. } => "java",
            Self::Go { .. } => "go",
            Self::Rust { .. } => "rust",
        }
    }

    /// The language, as brokers list it.
    pub(super) fn language(&self) -> &'static str {
        match self {
            Self::Java { .. } => "JAVA",
            Self::Go { .. } => "GO",
            Self::Rust { .. } => "RUST",
        }
    }

    /// Why it cannot do this, if so.
    pub(super) fn lacks(&self, skill: Skill) -> Option<&'static str> {
        match (self, skill) {
            (Self::Go { .. }, Skill::Send("lz4" | "zstd") | Skill::Receive("lz4" | "zstd")) => {
                Some("the Go client compresses with zlib only, and takes every compressed body for zlib")
            }
            (Self::Go { .. }, Skill::Send("timer")) => Some("the Go client sets no timers"),
            (Self::Go { .. }, Skill::Trace("batch")) => Some("the Go client's record of a batch has no ids"),
            (Self::Go { .. }, Skill::Trace("delay")) => {
                Some("the Go client traces a delayed message as an ordinary one")
            }
            (Self::Go { .. }, Skill::Trace("transaction")) => {
                Some("the Go client traces a half message as an ordinary one, and no ends of transactions")
            }
            (Self::Go { .. }, Skill::ReadTrace) => Some("the Go client cannot read its records"),
            _ => None,
        }
    }

    /// Runs it to its end and returns the lines that it printed.
    pub(super) fn run(&self, home: &Path, args: &[&str]) -> Result<Vec<Value>> {
        let text = step::output(self.command(home, args).stdin(Stdio::null()))?;
        text.lines().filter(|line| !line.is_empty()).map(|line| self.parse(line)).collect()
    }

    /// How it is started. The Java client writes its log below `home`.
    pub(super) fn command(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = match self {
            Self::Java { class_path } => {
                let mut command = Command::new(java::tool("java"));
                let home = format!("-Duser.home={}", home.display());
                command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", &home]);
                command.args(["-cp", class_path, "Interop"]);
                java::clean_environment(&mut command);
                command
            }
            Self::Go { program } | Self::Rust { program } => Command::new(program),
        };
        eprintln!("interop: {} {}", self.name(), args.join(" "));
        command.args(args);
        command
    }

    /// One line that it printed.
    pub(super) fn parse(&self, line: &str) -> Result<Value> {
        serde_json::from_str(line).with_context(|| format!("{} printed `{line}`", self.name()))
    }
}

/// Writes files of these names and texts, and says where they are.
fn write(folder: &Path, files: &[(&str, &str)]) -> Result<Vec<PathBuf>> {
    let write = |(name, text): &(&str, &str)| {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    };
    files.iter().map(write).collect()
}

/// The cache folder for what is built from these texts.
fn folder(texts: &impl Hash) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    Ok(workspace::cache()?.join("interop").join(format!("{:016x}", hasher.finish())))
}
