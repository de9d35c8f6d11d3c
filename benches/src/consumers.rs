//! What consumers cost while nothing is handled, and how long they take for what they do once: P17 to P19 and P22 to P24.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::BytesMut;
use clap::ValueEnum;
use ferrocket_protocol::{
    Command, Frame, HeaderFormat, RequestHead, Response, encode_request, limits::MAX_FRAME_BYTES,
    request::MembersChanged,
};

use crate::{
    child::{self, Asked},
    compare::{self, Spec},
    inputs,
    load::Kind,
    null_broker::Options,
    once::{HANDLER, Once},
    push::GROUP,
    report::{Row, Verdict, shown},
    sample::Sample,
    serve::{self, Served},
};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
/// Topics of a consumer: its own, and its group's retry topic. Members are asked for once for each.
const TOPICS: u64 = 2;
/// Between two notices that the members changed.
const NOTICE_EVERY: Duration = Duration::from_millis(5);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Fresh processes of what is done once.
    pub rounds: usize,
    /// How long each measurement of an idle client is.
    pub length: Duration,
    /// How long the idle client of P18 is watched: heartbeats come every 30 s, and pulls every 15 s.
    pub idle: Duration,
    /// How many messages are cached.
    pub cached: usize,
}

/// All that are wanted.
///
/// # Errors
///
/// When a server does not start, or a client fails.
pub fn rows(effort: &Effort, wanted: impl Fn(&str) -> bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if wanted("P17") {
        rows.push(cached(1024, 1.2, effort)?);
        rows.push(cached(128, 1.5, effort)?);
    }
    if wanted("P18") {
        idle(effort, &mut rows)?;
    }
    if wanted("P19") {
        rows.push(bytes_per_queue(effort)?);
        rows.push(standing(effort)?);
    }
    if wanted("P22") {
        // A start is short, and differs from one to the next.
        let rounds = effort.rounds.max(11);
        rows.push(once("P22", "start to first receipt", Once::Ack, Options::PLAIN, 5.0, rounds)?);
        rows.push(once("P22", "start to first message", Once::Message, Options::PLAIN, 200.0, rounds)?);
    }
    if wanted("P22") {
        let many = Options { queues: 4_096, ..Options::PLAIN };
        let empty = Options { empty: true, ..many };
        for (what, what_once, options) in [
            ("start until 4,096 queues are owned, with messages in all (no bar)", Once::Owned, many),
            ("the same without messages (no bar)", Once::Owned, empty),
            ("the same in order (no bar)", Once::OwnedOrderly, empty),
        ] {
            let mut row = once("P22", what, what_once, options, f64::INFINITY, effort.rounds)?;
            (row.bar, row.ratio) = (String::new(), None);
            if row.verdict == Verdict::Met {
                row.verdict = Verdict::Reported;
            }
            rows.push(row);
        }
    }
    if wanted("P23") {
        rows.push(round(64, Some(1.0), effort)?);
        rows.push(round(1, None, effort)?);
        let group = Options { queues: 16, together: true, ..Options::PLAIN };
        for (what, what_once) in [
            ("8 of 16 queues to a member that joins", Once::Join),
            ("the same, in order", Once::JoinOrderly),
            ("8 of 16 queues from a member that leaves", Once::Leave),
            ("the same, in order", Once::LeaveOrderly),
        ] {
            rows.push(once("P23", what, what_once, group, 500.0, effort.rounds)?);
        }
    }
    if wanted("P24") {
        let empty = Options { queues: 256, empty: true, ..Options::PLAIN };
        rows.push(once("P24", "shutdown, idle, 256 queues", Once::ShutdownIdle, empty, 50.0, effort.rounds)?);
        let bar = HANDLER.as_secs_f64() * 1e3 + 500.0;
        let what = "shutdown, 1,000 in handlers of 500 ms";
        rows.push(once("P24", what, Once::ShutdownBusy, Options::PLAIN, bar, effort.rounds)?);
    }
    Ok(rows)
}

/// A client of a server of its own.
struct Pair {
    client: Asked,
    address: String,
    _server: Asked,
}

impl Pair {
    fn start(spec: Spec, options: Options) -> Result<Self> {
        let (server, address) = serve::start(Served::broker(options), Some(1))?;
        Ok(Self { client: spec.start(&address)?, address, _server: server })
    }

    fn measure(&mut self, length: Duration) -> Result<Sample> {
        compare::measure(&mut self.client, length)
    }
}

/// A client with a producer, and a consumer that owns so many queues, without messages.
fn idle_client(owned: u32, options: Options) -> Result<Pair> {
    Pair::start(Spec::new(Kind::Idle, 1).queues(owned), Options { empty: true, ..options })
}

/// What messages take that wait for their handlers, by what they take on the wire.
fn cached(body: usize, bar: f64, effort: &Effort) -> Result<Row> {
    let spec = Spec { buffered: effort.cached, ..Spec::new(Kind::Cached, 4) };
    let sample = Pair::start(spec, Options { body, ..Options::PLAIN })?.measure(Duration::from_millis(100))?;
    let wire = inputs::stored(0, 1, body).len() as u64 * sample.count;
    let what = format!("{}k messages of {body} bytes cached: RSS", sample.count / 1000);
    let mut row = Row::at_most("P17", what, sample.resident as f64 / wire as f64, bar, "x wire");
    row.figure.push_str(&format!(" ({} MiB)", shown(sample.resident as f64 / MIB)));
    Ok(row)
}

fn idle(effort: &Effort, rows: &mut Vec<Row>) -> Result<()> {
    for (queues, cpu_bar) in [(256, 0.1), (16, 0.02)] {
        let sample = idle_client(queues, Options { queues, ..Options::PLAIN })?.measure(effort.idle)?;
        let what = format!("idle, 1 producer, 1 consumer, {queues} queues");
        if queues == 256 {
            rows.push(Row::at_most("P18", format!("{what}: RSS"), sample.resident as f64 / MIB, 8.0, "MiB"));
        }
        let percent = sample.cpu_ns as f64 * 100.0 / sample.wall_ns.max(1) as f64;
        rows.push(Row::at_most("P18", format!("{what}: CPU"), percent, cpu_bar, "% of a core"));
    }
    Ok(())
}

/// What a queue takes with its pull out, from what 4,096 take more than 16.
fn bytes_per_queue(effort: &Effort) -> Result<Row> {
    let resident = |queues| -> Result<f64> {
        let sample = idle_client(queues, Options { queues, ..Options::PLAIN })?.measure(effort.length)?;
        Ok(sample.resident as f64)
    };
    let (many, few) = (resident(4_096)?, resident(16)?);
    Ok(Row::at_most("P19", "idle, RSS of each queue, 4,096 less 16", (many - few) / 4_080.0 / KIB, 4.0, "KiB"))
}

/// What a consumer of many queues costs while its handlers stand still and its buffers are full.
fn standing(effort: &Effort) -> Result<Row> {
    let queues = 4_096;
    let spec = Spec { buffered: 20_000, ..Spec::new(Kind::Cached, 1).queues(queues) };
    let mut pair = Pair::start(spec, Options { queues, ..Options::PLAIN })?;
    // Every queue may pull once.
    pair.measure(effort.length)?;
    let sample = pair.measure(effort.length)?;
    let percent = sample.cpu_ns as f64 * 100.0 / sample.wall_ns.max(1) as f64;
    let what = "4,096 queues, buffers full, handlers stand still: CPU (no bar)";
    Ok(Row::reported("P19", what, format!("{} % of a core", shown(percent))))
}

/// What a rebalance costs that changes nothing, from the notice on, with the questions to the broker.
fn round(members: u32, bar: Option<f64>, effort: &Effort) -> Result<Row> {
    let queues = 4_096;
    let mut pair = idle_client(queues / members, Options { queues, members, ..Options::PLAIN })?;
    let mut control = Control::connect(&pair.address)?;
    let is_over = AtomicBool::new(false);
    let (sample, rounds) = std::thread::scope(|scope| -> Result<(Sample, u64)> {
        let notifying = scope.spawn(|| -> Result<u64> {
            let before = control.notify()?;
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(NOTICE_EVERY);
                control.notify()?;
            }
            Ok(control.notify()? - before)
        });
        let sample = pair.measure(effort.length);
        is_over.store(true, Ordering::Relaxed);
        let asked = notifying.join().ok().context("the notices")??;
        Ok((sample?, asked / TOPICS))
    })?;
    let cpu_ms = sample.cpu_ns as f64 / 1e6 / rounds.max(1) as f64;
    let what = format!("a rebalance, 4,096 queues, {members} members, {} of them ours: CPU", queues / members);
    let mut row = match bar {
        Some(bar) => Row::at_most("P23", what, cpu_ms, bar, "ms"),
        None => Row::reported("P23", what + " (no bar)", format!("{} ms", shown(cpu_ms))),
    };
    row.figure.push_str(&format!(" ({rounds} rounds)"));
    Ok(row)
}

/// Makes a null broker tell the members of the group that there was a change.
struct Control {
    stream: TcpStream,
    input: BytesMut,
}

impl Control {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).context("the null broker")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::new() })
    }

    /// How often somebody asked for members so far.
    fn notify(&mut self) -> Result<u64> {
        let mut out = BytesMut::new();
        let request = MembersChanged::new(GROUP);
        let _ = encode_request(&request, &RequestHead::new(1, HeaderFormat::Json), &[], &mut out)?;
        self.stream.write_all(&out)?;
        let mut chunk = [0; 1024];
        loop {
            if let Some(frame) = Frame::decode(&mut self.input, MAX_FRAME_BYTES)? {
                return Ok(u64::read(Command::read(frame)?)?);
            }
            let read = self.stream.read(&mut chunk)?;
            anyhow::ensure!(read > 0, "the null broker has ended");
            self.input.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

/// Fresh processes with fresh brokers, one after the other; the median.
fn once(id: &str, what: &str, once: Once, options: Options, bar: f64, rounds: usize) -> Result<Row> {
    let name = once.to_possible_value().context("no name")?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let (_server, address) = serve::start(Served::broker(options), None)?;
        let output = child::myself(None)?.args(["once", name.get_name(), &address]).output()?;
        if !output.status.success() {
            return Ok(Row::skipped(id, what, String::from_utf8_lossy(&output.stderr).trim()));
        }
        times.push(String::from_utf8_lossy(&output.stdout).trim().parse::<f64>()? / 1e6);
    }
    let longest = times.iter().copied().fold(0.0, f64::max);
    let mut row = Row::at_most(id, what, compare::median(times), bar, "ms");
    row.figure.push_str(&format!(" (longest {})", shown(longest)));
    Ok(row)
}
