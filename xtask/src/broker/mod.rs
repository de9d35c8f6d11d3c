//! `cargo xtask broker`: real Apache RocketMQ servers on this machine, for as long as a command runs.

mod child;
pub(crate) mod cluster;
mod control;
mod ports;
mod process;
mod settings;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};

use cluster::Cluster;
use control::Control;

pub(crate) use settings::BROKER_NAME;

/// A pinned release of Apache RocketMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// The newest one.
    #[value(name = "5.5.0")]
    V5_5_0,
    /// The last 4.x, for compatibility.
    #[value(name = "4.9.7")]
    V4_9_7,
}

impl Release {
    /// All of them, in the order in which they are tested.
    pub(crate) const ALL: [Self; 2] = [Self::V5_5_0, Self::V4_9_7];

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V5_5_0 => "5.5.0",
            Self::V4_9_7 => "4.9.7",
        }
    }
}

/// What can be done with real servers.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Starts a name server and a broker, runs COMMAND beside them, takes them down.
    Run {
        /// The release of Apache RocketMQ.
        #[arg(long, value_enum, default_value = "5.5.0")]
        release: Release,
        /// One more line of the broker's configuration; later ones win.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// What to run; it finds the address in FERROCKET_NAME_SERVER.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// Carries out one of them; COMMAND's exit code becomes ours.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Run { release, set, command } = command;
    let code = with_cluster(*release, set, |cluster| {
        let [program, args @ ..] = command.as_slice() else { unreachable!("clap requires a command") };
        let mut command = std::process::Command::new(program);
        command.args(args);
        cluster.run(&mut command)
    })?;
    Ok(ExitCode::from(code))
}

/// A running cluster, as the commands beside it see it.
pub(crate) struct Running {
    release: Release,
    cluster: Arc<Mutex<Cluster>>,
    control: Control,
}

impl Running {
    /// Runs a command with the cluster's addresses in its environment and returns its exit code.
    pub(crate) fn run(&self, command: &mut std::process::Command) -> Result<u8> {
        command
            .env("FERROCKET_NAME_SERVER", self.name_server()?)
            .env("FERROCKET_RELEASE", self.release.version())
            .env("FERROCKET_BROKER_CONTROL", self.control.address());
        child::run(command)
    }

    /// The name server's address.
    pub(crate) fn name_server(&self) -> Result<String> {
        Ok(control::lock(&self.cluster)?.name_server_address())
    }

    /// The broker's address.
    pub(crate) fn broker(&self) -> Result<String> {
        Ok(control::lock(&self.cluster)?.broker_address().to_string())
    }

    /// How far the members of a group are in a topic, as they say it themselves: what the broker answers, which is not quite JSON.
    pub(crate) fn consumer_status(&self, topic: &str, group: &str) -> Result<String> {
        let broker = control::lock(&self.cluster)?.broker_address();
        wire::consumer_status(broker, topic, group)
    }

    /// A folder for files of the job, which goes away with the cluster.
    pub(crate) fn scratch_folder(&self) -> Result<PathBuf> {
        Ok(control::lock(&self.cluster)?.scratch_folder())
    }

    /// Creates a topic with four queues and waits until the name server has it.
    pub(crate) fn create_topic(&self, topic: &str) -> Result<()> {
        control::lock(&self.cluster)?.create_topic(topic)
    }
}

/// Starts a cluster, runs `job` beside it, and takes it down whatever came of the job.
pub(crate) fn with_cluster<T>(release: Release, set: &[String], job: impl FnOnce(&Running) -> Result<T>) -> Result<T> {
    let cluster = Arc::new(Mutex::new(Cluster::start(release, set)?));
    let control = Control::serve(Arc::downgrade(&cluster)).context("cannot open the control port")?;
    let running = Running { release, cluster, control };
    let result = job(&running);
    let start = Instant::now();
    drop(running);
    eprintln!("broker: taken down in {:.1} s", start.elapsed().as_secs_f32());
    result
}
