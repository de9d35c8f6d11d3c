//! `cargo xtask interop java|go`: messages from another client to ours and back, over a real broker; and
//! `cargo xtask interop mqadmin`: our consumers under the servers' own tool; and `cargo xtask interop mixed`: groups of
//! consumers of ours and of the Java client.
//!
//! All programs print what they sent and what they received, one JSON object a line (`xtask/interop/README.md`).
//! Here they are started and their lines compared.

mod admin;
mod compare;
mod history;
mod member;
mod mixed;
mod mqadmin;
mod program;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::broker::{self, Release, Running};
use crate::java;
use crate::step::{self, Absent};
use program::{Program, Skill};

pub(crate) use program::require_go;

const RELEASE: Release = Release::V5_5_0;
/// How messages can be sent.
const SPECS: [&str; 7] = ["none", "zlib", "lz4", "zstd", "batch", "delay", "timer"];
/// What is traced in another way than the rest.
const TRACED: [&str; 4] = ["none", "batch", "delay", "transaction"];
/// Two rounds of six messages for every spec.
const MESSAGES_PER_SPEC: usize = 12;
/// The one where the tools look for records, and the broker's setting without which it is not there.
const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
const TRACE_SETTING: &str = "traceTopicEnable=true";
const REQUESTS: usize = 12;
const TRANSACTIONS: usize = 24;
/// For a consumer, which on a busy machine needs 20 s to get its first message.
const SECONDS: usize = 60;

/// The other client.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// The Java client.
    Java {
        /// Only from Java to Java: shows that the programs and the comparison work.
        #[arg(long)]
        self_check: bool,
    },
    /// The Go client.
    Go {
        /// Only from Go to Go: shows that the programs and the comparison work.
        #[arg(long)]
        self_check: bool,
    },
    /// Consumers of ours and of the Java client in one group, while members come, leave and are killed.
    Mixed {
        /// Only consumers of the Java client: shows that the checks work, and what that client does.
        #[arg(long)]
        self_check: bool,
        /// The release of Apache RocketMQ.
        #[arg(long, value_enum, default_value = "5.5.0")]
        release: Release,
    },
    /// The tool of the servers looks at a consumer of ours, resets it and lets it consume.
    Mqadmin {
        /// A consumer of the Java client instead of ours: shows that the checks work.
        #[arg(long)]
        self_check: bool,
    },
}

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sides {
    /// The other client to itself.
    OtherOnly,
    /// The other to Rust and Rust to the other.
    Both,
}

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let sides = |self_check: bool| if self_check { Sides::OtherOnly } else { Sides::Both };
    let outcome = match command {
        Command::Java { self_check } => java(sides(*self_check)),
        Command::Go { self_check } => go(sides(*self_check)),
        Command::Mixed { self_check, release } => mixed(sides(*self_check), *release),
        Command::Mqadmin { self_check } => mqadmin(*self_check),
    };
    match outcome {
        Err(error) if error.downcast_ref::<Absent>().is_some() && !step::in_ci() => {
            eprintln!("interop: SKIPPED: {error}");
            Ok(ExitCode::SUCCESS)
        }
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

/// Runs the exchanges with the Java client and fails on any difference.
pub(crate) fn java(sides: Sides) -> Result<()> {
    java::require()?;
    exchanges(&Program::java(RELEASE.version())?, sides)
}

/// Runs the exchanges with the Go client and fails on any difference.
pub(crate) fn go(sides: Sides) -> Result<()> {
    require_go()?;
    java::require()?; // for the broker
    exchanges(&Program::go()?, sides)
}

/// Looks at a consumer of ours (or of the Java client) with the servers' tool, and fails when anything is not as it must be.
pub(crate) fn mqadmin(self_check: bool) -> Result<()> {
    java::require()?;
    let program = if self_check { Program::java(RELEASE.version())? } else { Program::rust()? };
    broker::with_cluster(RELEASE, &[], |cluster| admin::check(cluster, &program))
}

/// Lets consumers of ours and of the Java client share queues, and fails when anything is not as it must be.
pub(crate) fn mixed(sides: Sides, release: Release) -> Result<()> {
    java::require()?;
    let java = Program::java(RELEASE.version())?;
    let ours = if sides == Sides::OtherOnly { java.clone() } else { Program::rust()? };
    broker::with_cluster(release, &[], |cluster| mixed::check(cluster, &java, &ours))
}

fn exchanges(other: &Program, sides: Sides) -> Result<()> {
    broker::with_cluster(RELEASE, &[TRACE_SETTING.to_owned()], |cluster| {
        if sides == Sides::OtherOnly {
            return every_exchange(cluster, other, other);
        }
        let rust = Program::rust()?;
        every_exchange(cluster, other, &rust)?;
        every_exchange(cluster, &rust, other)
    })
}

/// Whatever these two can do, in this direction. What one of them cannot do is said.
fn every_exchange(cluster: &Running, from: &Program, to: &Program) -> Result<()> {
    messages(cluster, from, to)?;
    if can(from, to, "requests", &[(from, Skill::Request), (to, Skill::Reply)]) {
        requests(cluster, from, to)?;
    }
    if can(from, to, "transactions", &[(from, Skill::Transact)]) {
        transactions(cluster, from, to)?;
    }
    if can(from, to, "trace", &[(to, Skill::ReadTrace)]) {
        traces(cluster, from, to)?;
    }
    Ok(())
}

/// Whether everybody has the skill that `what` asks of it. Else says who has not, and why.
fn can(from: &Program, to: &Program, what: &str, asked: &[(&Program, Skill)]) -> bool {
    let Some(why) = asked.iter().find_map(|(program, skill)| program.lacks(*skill)) else { return true };
    eprintln!("interop: {}-to-{}: SKIPPED {what}: {why}", from.name(), to.name());
    false
}

fn messages(cluster: &Running, from: &Program, to: &Program) -> Result<()> {
    let way = Way::new(cluster, from, to, "messages")?;
    let known = |spec: &&'static str| can(from, to, spec, &[(from, Skill::Send(spec)), (to, Skill::Receive(spec))]);
    let specs: Vec<_> = SPECS.into_iter().filter(known).collect();
    let messages = MESSAGES_PER_SPEC * specs.len();
    let count = messages.to_string();
    let sent = from.run(&way.home, &[&["produce", &way.name_server, &way.topic, &count], specs.as_slice()].concat())?;
    let received = way.consume(to, &count)?;
    way.compare(&sent, &received, &(0..messages as u64).collect(), &specs.join(", "))
}

fn requests(cluster: &Running, from: &Program, to: &Program) -> Result<()> {
    let way = Way::new(cluster, from, to, "requests")?;
    let count = REQUESTS.to_string();
    let (server, topic, seconds) = (way.name_server.as_str(), way.topic.as_str(), SECONDS.to_string());
    let answering = ["reply", server, topic, &way.group, &count, &seconds];
    let (requested, replied) = std::thread::scope(|scope| {
        let replying = scope.spawn(|| to.run(&way.home, &answering));
        (from.run(&way.home, &["request", server, topic, &count]), replying.join())
    });
    let Ok(replied) = replied else { bail!("{}: the replies panicked", way.name) };
    way.compare(&requested?, &replied?, &(0..REQUESTS as u64).collect(), "requests and replies")
}

/// Of six messages two are committed at once and one when the broker asks; three are rolled back, and must not come.
fn transactions(cluster: &Running, from: &Program, to: &Program) -> Result<()> {
    let way = Way::new(cluster, from, to, "transactions")?;
    let (count, seconds) = (TRANSACTIONS.to_string(), SECONDS.to_string());
    let sent = from.run(&way.home, &["transact", &way.name_server, &way.topic, &count, &seconds])?;
    let committed: BTreeSet<u64> = (0..TRANSACTIONS as u64).filter(|index| index % 3 == 0 || index % 6 == 2).collect();
    let received = way.consume(to, &committed.len().to_string())?;
    way.compare(&sent, &received, &committed, "committed messages")
}

/// One side sends with message trace on; the other reads the records.
fn traces(cluster: &Running, from: &Program, to: &Program) -> Result<()> {
    let way = Way::new(cluster, from, to, "traces")?;
    let known = |spec: &&'static str| can(from, to, &format!("trace of {spec}"), &[(from, Skill::Trace(spec))]);
    let specs: Vec<_> = TRACED.into_iter().filter(known).collect();
    let (count, seconds) = ((MESSAGES_PER_SPEC * specs.len()).to_string(), SECONDS.to_string());
    let tracing = ["trace", &way.name_server, &way.topic, TRACE_TOPIC, &count, &seconds];
    let mut written = from.run(&way.home, &[tracing.as_slice(), specs.as_slice()].concat())?;
    let broker = cluster.broker()?;
    // There is one only, and no client tells its user where a message went.
    written.iter_mut().for_each(|line| line["store_host"] = json!(broker));
    let count = written.len().to_string();
    let read =
        to.run(&way.home, &["read-trace", &way.name_server, &way.topic, TRACE_TOPIC, &way.group, &count, &seconds])?;
    let differences = compare::record_differences(&written, &read);
    way.report(&differences, &format!("{count} records"), &format!("trace of {}", specs.join(", ")))
}

/// A direction, with a topic and a group of its own.
struct Way {
    name: String,
    name_server: String,
    topic: String,
    group: String,
    home: PathBuf,
}

impl Way {
    fn new(cluster: &Running, from: &Program, to: &Program, what: &str) -> Result<Self> {
        let name = format!("{}-to-{}", from.name(), to.name());
        let topic = format!("interop-{name}-{what}");
        cluster.create_topic(&topic)?;
        let group = format!("interop-group-{name}-{what}");
        Ok(Self { name, name_server: cluster.name_server()?, topic, group, home: cluster.scratch_folder()? })
    }

    fn consume(&self, by: &Program, count: &str) -> Result<Vec<Value>> {
        let seconds = SECONDS.to_string();
        by.run(&self.home, &["consume", &self.name_server, &self.topic, &self.group, count, &seconds])
    }

    fn compare(&self, sent: &[Value], received: &[Value], expected: &BTreeSet<u64>, what: &str) -> Result<()> {
        let differences = compare::differences(sent, received, expected);
        self.report(&differences, &format!("{} messages", expected.len()), what)
    }

    fn report(&self, differences: &[String], count: &str, what: &str) -> Result<()> {
        let way = &self.name;
        if differences.is_empty() {
            eprintln!("interop: {way}: {count} are the same on both sides ({what})");
            return Ok(());
        }
        for difference in differences {
            eprintln!("interop: {way}: {difference}");
        }
        bail!("{way}, {what}: {} differences", differences.len())
    }
}
