//! The control port: a line protocol by which a test stops and starts the broker that it runs against.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, Weak};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use super::cluster::Cluster;

/// The longest line that is read: commands are short.
const LONGEST_LINE: u64 = 256;

/// The open control port. It serves for as long as the cluster exists; it does not keep it alive.
pub(crate) struct Control {
    address: String,
}

impl Control {
    pub(crate) fn serve(cluster: Weak<Mutex<Cluster>>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?.to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let cluster = Weak::clone(&cluster);
                thread::spawn(move || {
                    // A test that hung up has nothing to be told.
                    let _ = answer(&stream, &cluster);
                });
            }
        });
        Ok(Self { address })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

/// The cluster, which one command at a time may change.
pub(crate) fn lock(cluster: &Mutex<Cluster>) -> Result<MutexGuard<'_, Cluster>> {
    cluster.lock().map_err(|_| anyhow!("a control command panicked"))
}

fn answer(stream: &TcpStream, cluster: &Weak<Mutex<Cluster>>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if std::io::Read::take(&mut reader, LONGEST_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = match carry_out(line.trim(), cluster) {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => format!("error: {}\n", format!("{error:#}").replace('\n', " ")),
        };
        let mut stream = stream;
        stream.write_all(answer.as_bytes())?;
    }
}

fn carry_out(command: &str, cluster: &Weak<Mutex<Cluster>>) -> Result<()> {
    let cluster = cluster.upgrade().context("the servers are being taken down")?;
    let mut cluster = lock(&cluster)?;
    match command {
        "stop" => cluster.stop_broker(),
        "kill" => cluster.kill_broker(),
        "start" => cluster.start_broker(),
        "move" => cluster.move_broker(),
        "pause" => cluster.signal_broker("STOP"),
        "resume" => cluster.signal_broker("CONT"),
        _ => bail!("`{command}` is not a command: send stop, kill, move, start, pause or resume"),
    }
}
