//! The figures: clients against null servers, interleaved with the null echo. `cargo xtask bench` runs it.
#![allow(clippy::disallowed_methods, reason = "a program that measures the real clock")]

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use ferrocket_benches::{
    child,
    child::Asked,
    compare::{self, Figure, Spec},
    consumers, hello,
    load::{self, Kind},
    null_broker,
    once::{self, Once},
    pairs::{PAIRS, Pair},
    real,
    report::{self, Row, Run},
    sample::Sample,
    serve::{self, Served},
};

#[derive(Parser)]
#[command(about = "Measures what the client costs, against null servers and the null echo of the same run")]
struct Args {
    #[command(subcommand)]
    own: Option<Own>,
    /// Only bars whose id is one of these, such as P1.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds; each measures every pair once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds of one measurement.
    #[arg(long, default_value_t = 2_000)]
    millis: u64,
    /// Few and short rounds: shows that everything runs, the figures mean little.
    #[arg(long)]
    smoke: bool,
    /// Single sends and the accumulator against the real broker of FERROCKET_NAME_SERVER, and nothing else.
    #[arg(long)]
    real: bool,
    /// Writes the run to benches/results/DATE.json.
    #[arg(long)]
    save: bool,
}

/// How this program starts itself.
#[derive(Subcommand)]
enum Own {
    /// Is a null server, until standard input ends.
    Serve(Served),
    /// Is a client that measures for as many milliseconds as each line of standard input says.
    Client(load::Options),
    /// Does something once, and prints the nanoseconds that it took.
    Once { once: Once, address: String },
}

fn main() -> Result<()> {
    let mut args = Args::parse();
    match args.own {
        Some(Own::Serve(served)) => return serve::run(served),
        Some(Own::Client(options)) => return load::run(&options),
        Some(Own::Once { once, address }) => {
            println!("{}", once::run(once, &address)?.as_nanos());
            return Ok(());
        }
        None => {}
    }
    if args.smoke {
        (args.rounds, args.millis) = (2, 200);
    }
    let mut run = Run::begin(child::can_pin());
    if !run.pinned {
        eprintln!("bench: nothing is pinned: no taskset, or one core");
    }
    let begun = Instant::now();
    if args.real {
        run.rows = real::accumulator(args.rounds, Duration::from_millis(args.millis))?;
        return finish(&args, run, begun);
    }
    let mut servers = Servers::default();
    let mut samples = BTreeMap::new();
    pairs(&args, &mut servers, &mut run.rows, &mut samples)?;
    if wanted(&args, "P15") {
        run.rows.push(Row::skipped("P15", "allocations per send", "counted by the program gates, exactly"));
    }
    if wanted(&args, "P16") {
        syscalls(&mut servers, &mut run.rows)?;
    }
    // From here on nothing else runs.
    drop(servers);
    let effort = consumers::Effort {
        rounds: args.rounds,
        length: Duration::from_millis(args.millis),
        idle: if args.smoke { Duration::from_secs(1) } else { Duration::from_secs(30) },
        cached: if args.smoke { 50_000 } else { 1_000_000 },
    };
    run.rows.extend(consumers::rows(&effort, |id| wanted(&args, id))?);
    if wanted(&args, "P27") {
        let what = "clean release build of hello-producer";
        run.rows.push(if args.smoke { Row::skipped("P27", what, "--smoke") } else { hello::build_time()? });
    }
    run.samples = serde_json::to_value(&samples)?;
    finish(&args, run, begun)
}

/// Shows what was measured, and saves it if that is wanted.
fn finish(args: &Args, mut run: Run, begun: Instant) -> Result<()> {
    report::print(&run.rows);
    eprintln!("bench: {:.0} s; load average {} before", begun.elapsed().as_secs_f64(), run.load_before);
    if args.save {
        eprintln!("bench: saved {}", run.save()?.display());
    }
    Ok(())
}

fn wanted(args: &Args, id: &str) -> bool {
    let of = |wanted: &String| {
        id == wanted
            || id.strip_prefix(wanted.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    args.only.is_empty() || args.only.iter().any(of)
}

/// Null servers on the second core, and unpinned ones. Each is started when it is needed.
#[derive(Default)]
struct Servers {
    running: Vec<(Served, bool, Asked, String)>,
}

impl Servers {
    fn address(&mut self, served: Served, pinned: bool) -> Result<String> {
        let found = self.running.iter().find(|(other, place, ..)| *other == served && *place == pinned);
        if let Some((.., address)) = found {
            return Ok(address.clone());
        }
        let (process, address) = serve::start(served, pinned.then_some(1))?;
        self.running.push((served, pinned, process, address.clone()));
        Ok(address)
    }

    fn of(&mut self, spec: &Spec) -> Result<String> {
        let served = match spec.kind {
            Kind::Echo | Kind::EchoPull => Served::ECHO,
            _ => Served::broker(null_broker::Options { queues: spec.queues, ..null_broker::Options::PLAIN }),
        };
        self.address(served, spec.pinned)
    }
}

fn pairs(
    args: &Args,
    servers: &mut Servers,
    rows: &mut Vec<Row>,
    samples: &mut BTreeMap<String, Vec<(Sample, Sample)>>,
) -> Result<()> {
    let length = Duration::from_millis(args.millis);
    let pairs: Vec<&Pair> = PAIRS.iter().filter(|pair| wanted(args, pair.id)).collect();
    let mut measured: Vec<(Vec<Sample>, Vec<Sample>)> = pairs.iter().map(|_| Default::default()).collect();
    let mut clients: Vec<(Spec, Result<Asked>)> = Vec::new();
    for spec in pairs.iter().flat_map(|pair| [pair.ours, pair.base]) {
        if !clients.iter().any(|(known, _)| *known == spec) {
            clients.push((spec, spec.start(&servers.of(&spec)?)));
        }
    }
    for round in 0..args.rounds {
        for (pair, (ours, base)) in pairs.iter().zip(&mut measured) {
            eprint!("\rbench: round {} of {}, {:4}", round + 1, args.rounds, pair.id);
            let mut take = |spec: &Spec| -> Option<Sample> {
                let (_, client) = clients.iter_mut().find(|(known, _)| known == spec)?;
                let sample = compare::measure(client.as_mut().ok()?, length);
                sample.map_err(|error| *client = Err(error)).ok()
            };
            // A B, then B A: what drifts, drifts for both.
            let (first, second) = if round % 2 == 0 {
                let first = take(&pair.ours);
                (first, take(&pair.base))
            } else {
                let second = take(&pair.base);
                (take(&pair.ours), second)
            };
            if let (Some(first), Some(second)) = (first, second) {
                ours.push(first);
                base.push(second);
            }
        }
    }
    eprintln!();
    for (pair, (ours, base)) in pairs.iter().zip(measured) {
        if ours.is_empty() {
            let problem =
                clients.iter().find(|(spec, client)| (*spec == pair.ours || *spec == pair.base) && client.is_err());
            let problem = problem.and_then(|(_, client)| client.as_ref().err());
            rows.push(Row::skipped(
                pair.id,
                pair.what,
                problem.map_or("no samples".to_owned(), |problem| format!("{problem:#}")),
            ));
            continue;
        }
        for (what, figure, bar) in pair.figures() {
            let mut row = compare::judge(pair.id, what, figure, &ours, &base, bar);
            if bar.is_infinite() {
                (row.bar, row.ratio, row.verdict) = (String::new(), None, report::Verdict::Reported);
            }
            rows.push(row);
        }
        if let Some(bar) = pair.cpu_us {
            let cpu = compare::median(ours.iter().map(Sample::cpu_us).collect());
            rows.push(Row::at_most(pair.id, format!("{}: CPU of a message", pair.ours.name()), cpu, bar, "us"));
        }
        if pair.rate {
            let rates = [&ours, &base].map(|samples| compare::middle(Figure::Rate, samples)).join(" / ");
            rows.push(Row::reported(pair.id, format!("{}: rate", pair.ours.name()), rates));
        }
        samples.insert(
            format!("{} {} : {}", pair.id, pair.ours.name(), pair.base.name()),
            ours.into_iter().zip(base).collect(),
        );
    }
    Ok(())
}

/// Syscalls of a send: two runs of different length, and what they differ by.
fn syscalls(servers: &mut Servers, rows: &mut Vec<Row>) -> Result<()> {
    const COUNTS: [u64; 2] = [5_000, 15_000];
    for (in_flight, bar) in [(64, 0.1), (1, 4.0)] {
        let what = format!("syscalls of a send, {in_flight} in flight");
        if !child::has("strace") {
            rows.push(Row::skipped("P16", what, "no strace"));
            continue;
        }
        let address = servers.address(Served::BROKER, true)?;
        let [less, more] = COUNTS.map(|count| traced(&address, in_flight, count));
        let each = (more? as f64 - less? as f64) / (COUNTS[1] - COUNTS[0]) as f64;
        rows.push(Row::at_most("P16", what, each, bar, "syscalls"));
    }
    Ok(())
}

fn traced(address: &str, in_flight: usize, messages: u64) -> Result<u64> {
    let file = std::env::temp_dir().join(format!("ferrocket-{}.strace", std::process::id()));
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&file).arg(std::env::current_exe()?);
    strace.args(["client", "--kind", "send", "--address", address, "--in-flight", &in_flight.to_string()]);
    strace.args(["--messages", &messages.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = strace.status().context("cannot start strace")?;
    let table = std::fs::read_to_string(&file).context("strace wrote nothing")?;
    let _ = std::fs::remove_file(&file);
    if !status.success() {
        bail!("a traced client failed");
    }
    // `100.00 0.123456 1 4711 12 total`: the errors are left out when there are none.
    let total = table.lines().rev().find(|line| line.trim_end().ends_with("total")).context("strace wrote no total")?;
    total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).context("strace's total is not a number")
}
