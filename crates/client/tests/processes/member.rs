//! One member of a group in a process of its own, and what it says.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use ferrocket::{Client, ConsumeFrom, ReceivedMessage};
use tokio::sync::mpsc;

pub(crate) const GROUP: &str = "billing";
const MEMBER: &str = "FERROCKET_TEST_MEMBER";
pub(crate) const WORKERS: usize = 4;
/// How long a listener takes.
const WORK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Concurrent,
    Orderly,
}

/// A call of a listener has begun or ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) queue: u32,
    pub(crate) offset: u64,
    pub(crate) ends: bool,
}

impl Said {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("said ")?.split(' ');
        let mut word = || words.next();
        Some(Self { ends: word()? == "ends", queue: word()?.parse().ok()?, offset: word()?.parse().ok()? })
    }
}

/// What this program does as a member, until it is killed or whoever started it has ended.
#[tokio::test]
async fn the_member() {
    let Ok(task) = std::env::var(MEMBER) else { return };
    let (kind, name_servers) = task.split_once(' ').expect("kind and name servers");
    let client = Client::builder().name_servers(name_servers).heartbeat_interval(Duration::from_secs(1));
    let client = client.connect().await.expect("it connects");
    let builder = client.push_consumer(GROUP).subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let builder = builder.commit_interval(Duration::from_millis(500)).concurrency(WORKERS);
    let listener = async |message: ReceivedMessage| {
        println!("\nsaid begins {} {}", message.queue().id(), message.offset());
        tokio::time::sleep(WORK).await;
        println!("\nsaid ends {} {}", message.queue().id(), message.offset());
    };
    let _consumer = match kind {
        "Concurrent" => builder.concurrent(listener).build().await,
        _ => builder.orderly(listener).build().await,
    };
    let input_ends = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(input_ends).await.expect("no panic").expect("reads");
}

/// Where everything arrives that members say.
pub(crate) struct Says {
    sender: mpsc::Sender<(usize, Said)>,
    receiver: mpsc::Receiver<(usize, Said)>,
}

impl Says {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(1 << 16);
        Self { sender, receiver }
    }

    pub(crate) async fn next(&mut self) -> (usize, Said) {
        self.receiver.recv().await.expect("this has a sender, too")
    }
}

pub(crate) struct Member {
    process: Child,
    /// Who has lost its input ends by itself.
    _input: Option<ChildStdin>,
}

impl Member {
    pub(crate) fn start(kind: Kind, number: usize, name_servers: &str, says: &Says) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "member::the_member", "--nocapture"])
            .env(MEMBER, format!("{kind:?} {name_servers}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (output, sender) = (process.stdout.take().expect("piped"), says.sender.clone());
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for said in lines.filter_map(|line| Said::read(&line)) {
                if sender.blocking_send((number, said)).is_err() {
                    return;
                }
            }
        });
        let input = process.stdin.take();
        Self { process, _input: input }
    }

    /// Sends a signal to it, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.process.id().to_string()).status();
        assert!(sent.expect("kill is there").success());
    }
}

/// Killed, without a chance to do anything more.
impl Drop for Member {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }
}
