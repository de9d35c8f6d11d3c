//! Limits on what does not move from run to run: instructions, allocations, packages, bytes. `cargo xtask test` runs it; it
//! fails when a bar is missed, when one that is known to be (`OPEN`) got worse, and when it is met by now.
#![allow(clippy::disallowed_methods, reason = "a program that measures the real clock")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ferrocket::HeaderFormat;
use ferrocket_benches::{
    alloc::{self, Counter, INSTRUMENTED_SYSTEM, StatsAlloc},
    callgrind, child, hello, load,
    ops::Op,
    report::{self, Row, Verdict},
    serve::{self, Served},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

#[derive(Parser)]
#[command(about = "Checks the limits on instructions, allocations, packages and size")]
struct Args {
    #[command(subcommand)]
    own: Option<Own>,
    /// Leaves out what needs a build: the size of the hello producer.
    #[arg(long)]
    no_build: bool,
    /// Also measures a clean release build of the hello producer (P27), which takes a minute and more.
    #[arg(long)]
    build_time: bool,
    /// Keeps callgrind's files in this folder, for callgrind_annotate.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// How this program starts itself.
#[derive(Subcommand)]
#[command(hide = true)]
enum Own {
    /// Does one operation this often.
    Op { op: Op, times: usize },
    /// Is a null server.
    Serve(Served),
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match args.own {
        Some(Own::Op { op, times }) => op.run(times, || {}),
        Some(Own::Serve(served)) => serve::run(served)?,
        None => return check(&args),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &Args) -> Result<ExitCode> {
    let mut rows = Vec::new();
    instructions(args.keep.as_deref(), &mut rows)?;
    allocations(&mut rows)?;
    rows.push(send_allocations(1)?);
    rows.push(send_allocations(64)?);
    rows.push(packages()?);
    rows.push(if args.no_build { Row::skipped("P25", hello::SIZE, "--no-build") } else { hello::size()? });
    if args.build_time {
        rows.push(hello::build_time()?);
    }
    report::print(&rows);
    let missed = || rows.iter().filter(|row| row.verdict == Verdict::Missed);
    for row in missed().filter(|row| is_open(row)) {
        eprintln!("gates: OPEN {} ({}): {} where the bar is {}", row.id, row.what, row.figure, row.bar);
    }
    let worse: Vec<_> = missed().filter(|row| !is_open(row)).map(|row| row.id.as_str()).collect();
    let stale = stale(&rows);
    for what in &stale {
        eprintln!("gates: {what} is OPEN, and no bar of this name is missed: remove the line");
    }
    if !worse.is_empty() {
        eprintln!("gates: missed {}", worse.join(", "));
    }
    Ok(if worse.is_empty() && stale.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Bars that are not reached yet, and how far above each the figure may be until it is: what was measured, plus 2 %. They are
/// work to do, shown in every run, and may only get better. A line whose bar is met, or gone, fails the run: remove it.
const OPEN: [(&str, f64); 2] = [("encode SEND_V2, binary", 1.12), (hello::SIZE, 1.04)];
/// What P26 counts.
const PACKAGES: &str = "third-party packages";

/// Whether a bar that was missed is known to be, and the figure is not worse than it was.
fn is_open(row: &Row) -> bool {
    OPEN.iter().any(|(what, limit)| row.what == *what && row.ratio.is_some_and(|ratio| ratio <= *limit))
}

/// The names in `OPEN` that no missed bar has any more. Of what was not measured nobody knows.
fn stale(rows: &[Row]) -> Vec<&'static str> {
    let is_known = |what: &str| {
        rows.iter().any(|row| row.what == what && matches!(row.verdict, Verdict::Missed | Verdict::Skipped))
    };
    OPEN.iter().map(|(what, _)| *what).filter(|what| !is_known(what)).collect()
}

fn instructions(keep: Option<&Path>, rows: &mut Vec<Row>) -> Result<()> {
    const BARS: [(&str, Op, &str, Option<f64>); 18] = [
        ("P12", Op::EncodeJson, "encode SEND_V2, JSON", Some(4_000.0)),
        ("P12", Op::EncodeJsonExtra, "the same with bname merged in", Some(4_000.0)),
        ("P12", Op::EncodeBinary, "encode SEND_V2, binary", Some(1_000.0)),
        ("P13", Op::DecodeAnswer, "decode SEND answer, JSON, from frame to values", Some(6_000.0)),
        ("P13", Op::DecodeAnswerFrame, "of it: the frame", None),
        ("P13", Op::DecodeAnswerHeader, "of it: frame and header", None),
        ("P14", Op::DecodePulled, "decode pulled message, 1 KiB, no CRC", Some(600.0)),
        ("P14", Op::DecodePulledCrc, "the same with CRC", Some(1_150.0)),
        // No demand of somebody else: what was measured, plus 10 % (M2: 20 %, its hash map is seeded at random). Whoever makes one
        // better lowers its bar.
        ("M1", Op::ChooseQueue, "choose a queue of 16", Some(60.0)),
        ("M2", Op::ChooseQueueTroubled, "the same past a slow broker and a failed one", Some(750.0)),
        ("M3", Op::QueueOfKey, "the queue of a sharding key", Some(241.0)),
        ("M4", Op::ReadRoute, "read a route, 4 brokers, 16 queues", Some(42_900.0)),
        ("M5", Op::Call, "a call in memory, 64 in flight", Some(6_730.0)),
        ("M6", Op::Allocate, "a share of 1,000 queues, 8 members", Some(5_310.0)),
        ("P23", Op::AllocateMany, "a share of 4,096 queues, 64 members", Some(3_670.0)),
        ("P23", Op::AllocateByHash, "the same by consistent hashing", None),
        ("M7", Op::BuildMessage, "build and check a message, 4 properties", Some(4_920.0)),
        ("M8", Op::FindProperty, "find a property in 88 bytes", Some(815.0)),
    ];
    if !child::has("valgrind") {
        rows.extend(BARS.map(|(id, _, what, _)| Row::skipped(id, what, "no valgrind")));
        return Ok(());
    }
    for (id, op, what, bar) in BARS {
        let figure = callgrind::instructions(op, keep)?;
        rows.push(match bar {
            Some(bar) => Row::at_most(id, what, figure.round(), bar, "instructions"),
            None => Row::reported(id, what, format!("{figure:.0} instructions")),
        });
    }
    Ok(())
}

fn allocations(rows: &mut Vec<Row>) -> Result<()> {
    const BARS: [(&str, Op, &str, f64); 14] = [
        ("P12", Op::EncodeJson, "encode SEND_V2, JSON", 0.0),
        ("P12", Op::EncodeBinary, "encode SEND_V2, binary", 0.0),
        ("P13", Op::DecodeAnswer, "decode SEND answer, JSON", 1.0),
        ("P14", Op::DecodePulled, "decode pulled message, no CRC", 0.0),
        ("P14", Op::DecodePulledCrc, "the same with CRC", 0.0),
        ("M1", Op::ChooseQueue, "choose a queue of 16", 0.0),
        ("M2", Op::ChooseQueueTroubled, "the same past a slow broker and a failed one", 0.0),
        ("M3", Op::QueueOfKey, "the queue of a sharding key", 0.0),
        ("M4", Op::ReadRoute, "read a route, 4 brokers, 16 queues", 40.0),
        ("M5", Op::Call, "a call in memory, 64 in flight", 1.1),
        ("M6", Op::Allocate, "a share of 1,000 queues, 8 members", 1.0),
        ("P23", Op::AllocateMany, "a share of 4,096 queues, 64 members", 1.0),
        ("M7", Op::BuildMessage, "build and check a message, 4 properties", 7.0),
        ("M8", Op::FindProperty, "find a property in 88 bytes", 0.0),
    ];
    for (id, op, what, bar) in BARS {
        let figure = alloc::of_op(op);
        // One that is shared by hundreds, such as the handle of a read buffer, is none.
        let count = (figure.count * 100.0).round() / 100.0;
        let mut row = Row::at_most(id, what, count, bar, "allocations");
        row.ratio = row.ratio.filter(|ratio| ratio.is_finite());
        rows.push(row);
    }
    Ok(())
}

/// What a send allocates from the call to the dropped receipt, the connection's part included. The broker is another process.
fn send_allocations(in_flight: usize) -> Result<Row> {
    const SENDS: usize = 6_400;
    let (server, address) = serve::start(Served::BROKER, None)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let allocated = runtime.block_on(async {
        let client = load::client(&address, HeaderFormat::Json).await?;
        let producer = load::producer(&client).await?;
        let send = async |count: usize| -> Result<alloc::Allocated> {
            let mut messages: Vec<_> = (0..count).map(|_| load::message()).collect();
            let mut sends = Vec::with_capacity(in_flight);
            let counter = Counter::start();
            while !messages.is_empty() {
                if in_flight == 1 {
                    if let Some(message) = messages.pop() {
                        producer.send(message).await?;
                    }
                    continue;
                }
                let from = messages.len().saturating_sub(in_flight);
                sends.extend(messages.drain(from..).map(|message| producer.send(message)));
                std::future::poll_fn(|cx| {
                    sends.retain_mut(|send| std::pin::Pin::new(send).poll(cx).is_pending());
                    if sends.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
            }
            Ok(counter.per(count))
        };
        send(SENDS).await?;
        send(SENDS).await
    });
    server.finish();
    let allocated = allocated?;
    // Buffers that hundreds of sends share show as hundredths.
    let count = (allocated.count * 10.0).round() / 10.0;
    let mut row = Row::at_most("P15", format!("a send, {in_flight} in flight"), count, 6.0, "allocations");
    row.bar.push_str(", 1024 bytes");
    row.figure.push_str(&format!(", {:.0} bytes", allocated.bytes));
    row.ratio = row.ratio.map(|ratio| ratio.max(allocated.bytes / 1024.0));
    if allocated.bytes > 1024.0 {
        row.verdict = Verdict::Missed;
    }
    Ok(row)
}

/// Third-party packages in the normal tree of the umbrella crate.
fn packages() -> Result<Row> {
    let what = PACKAGES;
    let output = hello::cargo()
        .args(["tree", "--package", "ferrocket", "--edges", "normal", "--prefix", "none", "--no-dedupe", "--locked"])
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        return Ok(Row::skipped("P26", what, String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let packages: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| *name != "ferrocket" && !name.starts_with("ferrocket-"))
        .map(|(name, rest)| (name, rest.split(' ').next()))
        .collect();
    Ok(Row::at_most("P26", what, packages.len() as f64, 48.0, "packages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(figure: f64) -> Vec<Row> {
        OPEN.iter().map(|(what, _)| Row::at_most("P0", *what, figure, 1.0, "units")).collect()
    }

    #[test]
    fn a_bar_that_is_open_may_be_missed_and_not_be_met_or_gone() {
        let missed = rows(1.01);
        assert!(stale(&missed).is_empty() && missed.iter().all(is_open));
        assert!(!rows(2.0).iter().any(is_open), "worse than it was");
        let all: Vec<_> = OPEN.iter().map(|(what, _)| *what).collect();
        assert_eq!(stale(&rows(1.0)), all, "met");
        assert_eq!(stale(&[]), all, "gone");
    }

    /// One name may be on two rows, with two units.
    #[test]
    fn what_was_not_measured_may_still_be_open() {
        let skipped = OPEN.iter().map(|(what, _)| Row::skipped("P0", *what, "no tool"));
        assert!(stale(&rows(1.0).into_iter().chain(skipped).collect::<Vec<_>>()).is_empty());
    }
}
