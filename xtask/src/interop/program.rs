//! The programs that take part: how they are built, and how they are run.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::{self, Absent};
use crate::{examples, java, tools, workspace};

const JAVA_SOURCE: &str = include_str!("../../interop/Interop.java");
/// Name and text of each file of the Go module.
const GO_FILES: [(&str, &str); 3] = [
    ("main.go", include_str!("../../interop/go/main.go")),
    ("go.mod", include_str!("../../interop/go/go.mod")),
    ("go.sum", include_str!("../../interop/go/go.sum")),
];

/// What every client can send and receive.
const SPECS: [&str; 7] = ["none", "zlib", "lz4", "zstd", "batch", "delay", "timer"];
/// The Go client takes every compressed body for zlib, and knows no timers.
const GO_SPECS: [&str; 4] = ["none", "zlib", "batch", "delay"];

/// What a program can do besides producing and consuming.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Skill {
    /// Sends requests and gets replies.
    Request,
    /// Replies to requests.
    Reply,
    /// Sends in transactions, and answers when it is asked for their state.
    Transact,
}

/// A program that produces and consumes.
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
    /// Compiled once for each text of the source.
    pub(super) fn java(release: &str) -> Result<Self> {
        let jars = java::class_path(&java::CLIENT, release)?;
        let classes = folder(&(JAVA_SOURCE, release))?;
        workspace::cached(&classes, |folder| {
            let file = folder.join("Interop.java");
            std::fs::write(&file, JAVA_SOURCE).with_context(|| format!("cannot write {}", file.display()))?;
            let mut javac = Command::new(java::tool("javac"));
            javac.args(["-encoding", "UTF-8", "-proc:none", "-cp", &jars, "-d"]).arg(folder).arg(&file);
            java::clean_environment(&mut javac);
            step::check(&mut javac)
        })?;
        Ok(Self::Java { class_path: format!("{}:{jars}", classes.display()) })
    }

    /// Built once for each text of its module. The sums in the checkout say what may be downloaded.
    pub(super) fn go() -> Result<Self> {
        let built = folder(&GO_FILES)?;
        workspace::cached(&built, |folder| {
            for (name, text) in GO_FILES {
                let file = folder.join(name);
                std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            }
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

    /// The specs that it can send, and read when others send them.
    pub(super) fn specs(&self) -> &'static [&'static str] {
        match self {
            Self::Go { .. } => &GO_SPECS,
            Self::Java { .. } | Self::Rust { .. } => &SPECS,
        }
    }

    /// Whether it can do this.
    pub(super) fn can(&self, skill: Skill) -> bool {
        match (self, skill) {
            (Self::Java { .. } | Self::Rust { .. }, Skill::Request | Skill::Reply | Skill::Transact) => true,
            (Self::Go { .. }, _) => false,
        }
    }

    /// Runs it to its end and returns the lines that it printed. The Java client writes its log below `home`.
    pub(super) fn run(&self, home: &Path, args: &[&str]) -> Result<Vec<Value>> {
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
        let text = step::output(command.args(args).stdin(Stdio::null()))?;
        let parse = |line| serde_json::from_str(line).with_context(|| format!("{} printed `{line}`", self.name()));
        text.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }
}

/// The cache folder for what is built from these texts.
fn folder(texts: &impl Hash) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    Ok(workspace::cache()?.join("interop").join(format!("{:016x}", hasher.finish())))
}
