//! The JDK and Maven: where they are, and sets of jars resolved with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::{self, Absent};
use crate::{tools, workspace};

/// Pinned, so that a run does not depend on which plug-in is the newest.
const COPY_GOAL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// A set of jars: what is named here and all that it needs.
pub(crate) struct JarSet {
    pub(crate) name: &'static str,
    pub(crate) artifacts: &'static [&'static str],
}

/// The two servers.
pub(crate) const SERVERS: JarSet = JarSet { name: "base", artifacts: &["rocketmq-namesrv", "rocketmq-broker"] };
/// The Java client.
pub(crate) const CLIENT: JarSet = JarSet { name: "client", artifacts: &["rocketmq-client"] };

/// Fails with [`Absent`] when a JDK or Maven is missing.
pub(crate) fn require() -> Result<()> {
    let mut missing = Vec::new();
    if !tools::succeeds(Command::new(tool("java")).arg("-version"))
        || !tools::succeeds(Command::new(tool("javac")).arg("-version"))
    {
        missing.push("a JDK (17 or newer; set JAVA_HOME or put java and javac on PATH)");
    }
    if !tools::succeeds(Command::new("mvn").arg("-version")) {
        missing.push("Maven (put mvn on PATH)");
    }
    if missing.is_empty() { Ok(()) } else { Err(Absent(format!("needs {}", missing.join(" and "))).into()) }
}

/// A program of the JDK: of `JAVA_HOME` when that is set, else from `PATH`.
pub(crate) fn tool(name: &str) -> PathBuf {
    match std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
        Some(home) => Path::new(&home).join("bin").join(name),
        None => name.into(),
    }
}

/// Keeps the caller's own Java and RocketMQ settings away from a process.
pub(crate) fn clean_environment(command: &mut Command) {
    for name in ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "NAMESRV_ADDR", "ROCKETMQ_HOME"] {
        command.env_remove(name);
    }
}

/// The class path of a set of one release, resolved when it is not in the cache yet.
pub(crate) fn class_path(set: &JarSet, release: &str) -> Result<String> {
    let folder = workspace::cache()?.join("rocketmq").join(format!("{release}-{}", set.name));
    workspace::cached(&folder, |partial| resolve(set, release, partial))?;
    Ok(format!("{}/lib/*", folder.display()))
}

fn resolve(set: &JarSet, release: &str, folder: &Path) -> Result<()> {
    require()?;
    eprintln!("java: resolving {} {release} with Maven", set.artifacts.join(" and "));
    let pom = folder.join("pom.xml");
    std::fs::write(&pom, pom_text(set, release)).with_context(|| format!("cannot write {}", pom.display()))?;
    let lib = folder.join("lib");
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", "-Dstyle.color=never", "--strict-checksums", "--file"])
        .arg(&pom)
        .arg(COPY_GOAL);
    maven.arg(format!("-DoutputDirectory={}", lib.display())).arg("-DincludeScope=runtime");
    // A failed look-up is remembered by Maven; the second try asks again.
    if let Err(first) = step::check(&mut maven) {
        eprintln!("java: {first:#}; trying once more");
        step::check(maven.arg("--update-snapshots"))
            .context("Maven could not fetch the jars: is a repository reachable?")?;
    }
    let jars = std::fs::read_dir(&lib).with_context(|| format!("Maven made no {}", lib.display()))?.count();
    if jars < set.artifacts.len() {
        bail!("Maven copied only {jars} jars into {}", lib.display());
    }
    Ok(())
}

fn pom_text(set: &JarSet, release: &str) -> String {
    let dependencies: String = set
        .artifacts
        .iter()
        .map(|artifact| {
            format!(
                "    <dependency><groupId>org.apache.rocketmq</groupId><artifactId>{artifact}</artifactId>\
                 <version>{release}</version></dependency>\n"
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>ferrocket</groupId><artifactId>{}</artifactId><version>1</version><packaging>pom</packaging>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n",
        set.name
    )
}
