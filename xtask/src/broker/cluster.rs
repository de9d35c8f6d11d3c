//! One name server and one broker: started, awaited, restarted, stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Release;
use super::ports::Ports;
use super::process::{Server, WorkFolder};
use super::{settings, wire};
use crate::java;

/// One start of 5.5.0 in six registers ten seconds late, and a busy machine needs longer for all of it.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A clean stop takes 3 to 17 s on an idle machine.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How often a start is tried when somebody took one of the ports in between.
const ATTEMPTS: u32 = 3;
const POLL: Duration = Duration::from_millis(50);

/// A running name server with a broker, which may be down. Dropping it kills both and removes the store.
pub(crate) struct Cluster {
    release: Release,
    class_path: String,
    more_settings: Vec<String>,
    ports: Ports,
    // Fields are dropped in this order: the broker first, the folder last.
    broker: Option<Server>,
    name_server: Option<Server>,
    folder: WorkFolder,
}

impl Cluster {
    /// Starts both servers and waits until the broker is registered.
    pub(crate) fn start(release: Release, more_settings: &[String]) -> Result<Self> {
        java::require()?;
        if let Some(bad) = more_settings.iter().find(|line| !line.contains('=')) {
            bail!("`{bad}` is not a setting: write --set KEY=VALUE");
        }
        let class_path = java::class_path(&java::SERVERS, release.version())?;
        let mut attempt = 1;
        loop {
            match Self::try_start(release, &class_path, more_settings) {
                Err(error) if attempt < ATTEMPTS && port_was_taken(&error) => {
                    attempt += 1;
                    eprintln!("broker: somebody took a port, trying others");
                }
                other => return other,
            }
        }
    }

    fn try_start(release: Release, class_path: &str, more_settings: &[String]) -> Result<Self> {
        let start = Instant::now();
        let mut cluster = Self {
            release,
            class_path: class_path.to_owned(),
            more_settings: more_settings.to_vec(),
            ports: Ports::free()?,
            broker: None,
            name_server: None,
            folder: WorkFolder::create()?,
        };
        cluster.start_name_server()?;
        cluster.start_broker()?;
        eprintln!(
            "broker: Apache RocketMQ {} is ready after {:.1} s, name server {}, broker {}{}",
            release.version(),
            start.elapsed().as_secs_f32(),
            cluster.name_server_address(),
            cluster.broker_address(),
            if release == Release::V4_9_7 { " (4.9.7 listens on every interface)" } else { "" },
        );
        Ok(cluster)
    }

    fn start_name_server(&mut self) -> Result<()> {
        let home = self.folder.path().join("name-server");
        let config = settings::name_server(&home, self.ports);
        let arguments = settings::prepare(settings::NAME_SERVER, self.release, &self.class_path, &home, &config)?;
        let mut server = Server::start(settings::NAME_SERVER.name, &home, &arguments)?;
        let address = self.name_server_address().parse()?;
        await_ready(&mut server, || wire::brokers(address).is_ok())?;
        self.name_server = Some(server);
        Ok(())
    }

    /// Starts the broker, on the store that it left if it ran before, and waits until it is registered.
    pub(crate) fn start_broker(&mut self) -> Result<()> {
        if let Some(broker) = &mut self.broker
            && broker.check_alive().is_ok()
        {
            bail!("the broker is running");
        }
        self.await_unlisted()?;
        let home = self.folder.path().join("broker");
        let config = settings::broker(&home, self.ports, &self.more_settings);
        let arguments = settings::prepare(settings::BROKER, self.release, &self.class_path, &home, &config)?;
        let mut server = Server::start(settings::BROKER.name, &home, &arguments)?;
        await_ready(&mut server, || self.is_listed().unwrap_or(false))?;
        self.broker = Some(server);
        Ok(())
    }

    /// Stops the broker by SIGTERM and waits until it has ended.
    pub(crate) fn stop_broker(&mut self) -> Result<()> {
        let broker = self.running_broker()?;
        broker.signal("TERM")?;
        broker.wait(STOP_LIMIT)?;
        self.broker = None;
        self.await_unlisted()
    }

    /// Ends the broker by SIGKILL.
    pub(crate) fn kill_broker(&mut self) -> Result<()> {
        self.running_broker()?.kill();
        self.broker = None;
        self.await_unlisted()
    }

    /// Gives a broker that is down other ports, which it has from its next start on.
    pub(crate) fn move_broker(&mut self) -> Result<()> {
        if self.broker.is_some() {
            bail!("the broker is running: stop it before it moves");
        }
        let others = Ports::free()?;
        self.ports = Ports { name_server: self.ports.name_server, ..others };
        Ok(())
    }

    /// Sends the broker a signal that does not end it.
    pub(crate) fn signal_broker(&mut self, signal: &str) -> Result<()> {
        self.running_broker()?.signal(signal)
    }

    /// Creates a topic with four queues and waits until the name server has it.
    pub(crate) fn create_topic(&self, topic: &str) -> Result<()> {
        let name_server: SocketAddr = self.name_server_address().parse()?;
        wire::create_topic(self.broker_address(), topic, 4).with_context(|| format!("cannot create topic {topic}"))?;
        let deadline = Instant::now() + READY_LIMIT;
        while !wire::has_route(name_server, topic)? {
            if Instant::now() > deadline {
                bail!("the name server has no route for topic {topic} after {READY_LIMIT:?}");
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Where clients connect.
    pub(crate) fn name_server_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.name_server)
    }

    /// Where the broker listens.
    pub(crate) fn broker_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.broker).into()
    }

    /// A folder for files of others.
    pub(crate) fn scratch_folder(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    fn running_broker(&mut self) -> Result<&mut Server> {
        self.broker.as_mut().context("the broker is not running")
    }

    /// Whether the name server lists the broker, by name, id and address.
    fn is_listed(&self) -> Result<bool> {
        let listed = wire::brokers(self.name_server_address().parse()?)?;
        let address = self.broker_address().to_string();
        Ok(listed.iter().any(|(name, id, at)| name == settings::BROKER_NAME && id == "0" && *at == address))
    }

    /// Else a restarted broker could be taken for its predecessor.
    fn await_unlisted(&self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while self.is_listed()? {
            if Instant::now() > deadline {
                bail!("the name server still lists the broker {READY_LIMIT:?} after its end");
            }
            sleep(POLL);
        }
        Ok(())
    }
}

fn await_ready(server: &mut Server, mut is_ready: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    while !is_ready() {
        server.check_alive()?;
        if Instant::now() > deadline {
            bail!("not ready after {READY_LIMIT:?}; its last words:\n{}", server.last_words());
        }
        sleep(POLL);
    }
    // Somebody else's server on that port would be ready too.
    server.check_alive()
}

fn port_was_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("Address already in use") || text.contains("BindException")
}
