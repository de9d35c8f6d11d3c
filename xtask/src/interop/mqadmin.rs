//! `mqadmin` of the servers' own tools: run, and its tables read.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::java;

const MAIN_CLASS: &str = "org.apache.rocketmq.tools.command.MQAdminStartup";

/// The tool, for one cluster.
pub(super) struct Mqadmin {
    class_path: String,
    home: PathBuf,
    name_server: String,
}

impl Mqadmin {
    /// Of a release, for the cluster of a name server. It writes logs and files into `home`.
    pub(super) fn new(release: &str, home: PathBuf, name_server: String) -> Result<Self> {
        std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        Ok(Self { class_path: java::class_path(&java::SERVERS, release)?, home, name_server })
    }

    /// Runs one of its commands. It ends with success whatever happens: only its words say what did.
    pub(super) fn run(&self, args: &[&str]) -> Result<Report> {
        let home = self.home.display();
        let mut command = Command::new(java::tool("java"));
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k", "-Dfile.encoding=UTF-8"]);
        command.args([format!("-Duser.home={home}"), format!("-Drocketmq.home.dir={home}")]);
        command.args(["-cp", &self.class_path, MAIN_CLASS]).args(args).args(["-n", &self.name_server]);
        java::clean_environment(&mut command);
        // One command writes files into the folder that it runs in.
        command.current_dir(&self.home).stdin(Stdio::null());
        eprintln!("interop: mqadmin {}", args.join(" "));
        let output = command.output().context("cannot start mqadmin")?;
        Ok(Report::new(&String::from_utf8_lossy(&output.stdout), &String::from_utf8_lossy(&output.stderr)))
    }
}

/// What it printed.
pub(super) struct Report {
    pub(super) text: String,
    errors: String,
}

impl Report {
    /// Logging of the tool's own set-up is left out.
    fn new(text: &str, errors: &str) -> Self {
        let ours = |text: &str| -> String {
            text.lines().filter(|line| !line.contains(" |-")).map(|line| format!("{}\n", line.trim_end())).collect()
        };
        Self { text: ours(text), errors: ours(errors) }
    }

    /// Adds a problem unless the text holds this.
    pub(super) fn expect(&self, what: &str, problems: &mut Vec<String>) {
        if !self.text.contains(what) {
            problems.push(format!("`{what}` is not in what mqadmin printed{}", self.why()));
        }
    }

    /// What follows `name` and a colon on a line of its own.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    }

    /// The rows below a heading that begins with these columns, cut at blanks, to the next empty line.
    pub(super) fn rows(&self, heading: &[&str]) -> Vec<Vec<&str>> {
        let words = |line: &'_ str| -> Vec<String> { line.split("  ").map(|word| word.trim().to_owned()).collect() };
        let is_heading = |line: &&str| {
            let found: Vec<_> = words(line).into_iter().filter(|word| !word.is_empty()).collect();
            found.len() >= heading.len() && found.iter().zip(heading).all(|(found, wanted)| found == wanted)
        };
        let rows = self.text.lines().skip_while(|line| !is_heading(line)).skip(1).take_while(|line| !line.is_empty());
        rows.map(|row| row.split_whitespace().collect()).collect()
    }

    /// The first line of its errors, to go behind a problem.
    pub(super) fn why(&self) -> String {
        let cause = self.errors.lines().rev().find(|line| line.starts_with("Caused by"));
        match cause.or_else(|| self.errors.lines().next()) {
            Some(line) => format!(" ({line})"),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRESS: &str = "
18:00:55,872 |-INFO in org.apache.rocketmq.logging.ch.qos.logback.classic.LoggerContext[default] - This is logback-classic
#Topic                                                            #Broker Name                      #QID  #Broker Offset
T                                                                 broker-a                          0     6
T                                                                 broker-a                          1     7

Consume TPS: 0.80
Consume Diff Total: 0
";

    #[test]
    fn tables_and_values_are_read() {
        let report = Report::new(PROGRESS, "");
        let heading = ["#Topic", "#Broker Name", "#QID"];
        assert_eq!(report.rows(&heading), [["T", "broker-a", "0", "6"], ["T", "broker-a", "1", "7"]]);
        assert!(report.rows(&["#Topic", "#QID"]).is_empty());
        assert_eq!((report.value("Consume Diff Total"), report.value("Consume")), (Some("0"), None));
        assert!(!report.text.contains("logback"));
    }

    #[test]
    fn what_is_not_there_is_a_problem_with_the_cause() {
        let report =
            Report::new("one\n", "org.x.SubCommandException: failed\n\tat x\nCaused by: MQBrokerException: CODE: 1\n");
        let mut problems = Vec::new();
        report.expect("one", &mut problems);
        assert!(problems.is_empty());
        report.expect("two", &mut problems);
        assert_eq!(problems, ["`two` is not in what mqadmin printed (Caused by: MQBrokerException: CODE: 1)"]);
    }
}
