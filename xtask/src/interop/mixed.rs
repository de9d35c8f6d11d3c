//! `cargo xtask interop mixed`: consumers of ours and of the Java client share the queues of a topic, while members come, leave
//! and are killed, and producers of both send all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use super::history::{Change, End, History, Mate, Micros, Stable, Verdict, average};
use super::member::{Lines, Member, await_until};
use super::program::Program;
use crate::broker::Running;

const TOPIC: &str = "mixed";
const QUEUES: u64 = 4;
/// Each of the two producers sends a message, and waits this long.
const SEND_EVERY_MILLIS: &str = "20";
/// A group, how long its listeners take, and what happens to it. In a concurrent one something is always in flight; in order a queue
/// of which nobody took anything for a minute is worked off soon.
const GROUPS: [Plan; 3] = [
    Plan { name: "concurrent", kind: "concurrent", handle_millis: "100", story: come_and_go },
    Plan { name: "orderly", kind: "orderly", handle_millis: "5", story: come_and_go },
    Plan { name: "orderly-crashes", kind: "orderly", handle_millis: "5", story: crash },
];
/// The deliveries of each queue that make a time of quiet.
const QUIET: usize = 5;
/// A killed member's locks live for 60 s; those that did not get one try again later.
const LIMIT: Duration = Duration::from_secs(100);
/// Of many problems of one kind the first ones tell enough.
const SHOWN: usize = 5;

struct Plan {
    name: &'static str,
    kind: &'static str,
    handle_millis: &'static str,
    story: fn(&mut Group<'_>, &Program, &Program) -> Result<()>,
}

/// Runs the groups side by side, and fails when anything is not as it must be.
pub(super) fn check(cluster: &Running, java: &Program, rust: &Program) -> Result<()> {
    cluster.create_topic(TOPIC)?;
    let (home, server) = (cluster.scratch_folder()?, cluster.name_server()?);
    let flow = |program| Member::start(Program::clone(program), &home, &["flow", &server, TOPIC, SEND_EVERY_MILLIS]);
    let flows = side_by_side([java, rust], flow)?;
    let groups = GROUPS.iter().map(|plan| Group::new(cluster, plan)).collect::<Result<Vec<_>>>()?;
    let groups = side_by_side(groups, |mut group| {
        (group.plan.story)(&mut group, java, rust)?;
        Ok(group)
    })?;
    let mut sent = BTreeSet::new();
    for flow in flows {
        let lines = flow.lines();
        flow.stop()?;
        let lines = lines.lock().map_err(|_| anyhow!("the reader of the lines panicked"))?;
        let before = sent.len();
        sent.extend(lines.iter().filter_map(|line| line["id"].as_str().map(str::to_owned)));
        if sent.len() == before {
            bail!("a producer sent nothing");
        }
    }
    let groups = side_by_side(groups, |mut group| {
        group.finish(&sent)?;
        Ok(group)
    })?;
    let mut failed = Vec::new();
    for group in groups {
        let history = &group.history;
        failed.extend(group.report("consumption", history.consumed()));
        failed.extend(group.report("shares", history.shared()));
        failed.extend(match group.plan.kind {
            "orderly" => group.report("order", history.ordered()),
            _ => group.report("repetitions", history.repeated()),
        });
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} checks failed: {}", failed.len(), failed.join("; "))
}

/// Members of both clients join and leave, beside members of both, and in the end two crash.
fn come_and_go(group: &mut Group<'_>, java: &Program, rust: &Program) -> Result<()> {
    group.join(&[java, rust])?;
    group.join(&[java])?;
    group.join(&[rust])?;
    group.leave(0)?;
    group.leave(1)?;
    group.join(&[java, rust])?;
    if group.plan.kind == "orderly" {
        return Ok(());
    }
    group.kill(&[2])?;
    group.kill(&[3])
}

/// One member of each client crashes. Both at once, for it takes as long as a lock lives.
fn crash(group: &mut Group<'_>, java: &Program, rust: &Program) -> Result<()> {
    group.join(&[java, rust, java, rust])?;
    group.kill(&[0, 1])
}

/// A group, its members, and what is known of it.
struct Group<'a> {
    cluster: &'a Running,
    plan: &'static Plan,
    name: String,
    home: PathBuf,
    name_server: String,
    members: Vec<Subject>,
    history: History,
}

/// What a member is beside what the history has of it.
struct Subject {
    /// As long as it lives.
    running: Option<Member>,
    client_id: String,
    lines: Lines,
    read: usize,
}

impl<'a> Group<'a> {
    fn new(cluster: &'a Running, plan: &'static Plan) -> Result<Self> {
        let (home, name_server) = (cluster.scratch_folder()?, cluster.name_server()?);
        let name = format!("mixed-{}", plan.name);
        let (members, history) = (Vec::new(), History::default());
        Ok(Self { cluster, plan, name, home, name_server, members, history })
    }

    /// Members of these programs join at once.
    fn join(&mut self, programs: &[&Program]) -> Result<()> {
        let from = now();
        let args = ["share", &self.name_server, TOPIC, &self.name, self.plan.kind, self.plan.handle_millis];
        let home = &self.home;
        let start = |program: &&Program| Member::start(Program::clone(program), home, &args);
        let started = side_by_side(programs, start)?;
        let first = self.members.len();
        for (program, member) in programs.iter().zip(started) {
            let name = format!("{} {}", program.name(), self.members.len() + 1);
            self.history.members.push(Mate { name, is_ours: program.name() == "rust", end: End::Lives });
            let (client_id, lines) = (member.client_id().to_owned(), member.lines());
            self.members.push(Subject { running: Some(member), client_id, lines, read: 0 });
        }
        let names = self.names(first..self.members.len());
        self.settle(from, format!("{names} joined"))
    }

    fn leave(&mut self, number: usize) -> Result<()> {
        let from = now();
        self.take(number)?.stop()?;
        self.history.members[number].end = End::Left(from, now());
        self.settle(from, format!("{} left", self.names([number])))
    }

    fn kill(&mut self, numbers: &[usize]) -> Result<()> {
        let from = now();
        for number in numbers {
            self.take(*number)?.kill()?;
            self.history.members[*number].end = End::Killed(now());
        }
        self.settle(from, format!("{} killed", self.names(numbers.iter().copied())))
    }

    fn take(&mut self, number: usize) -> Result<Member> {
        let running = self.members.get_mut(number).and_then(|member| member.running.take());
        running.with_context(|| format!("there is no member {number}"))
    }

    fn names(&self, numbers: impl IntoIterator<Item = usize>) -> String {
        let names: Vec<_> = numbers.into_iter().map(|number| self.history.members[number].name.as_str()).collect();
        names.join(" and ")
    }

    /// Says what came of a check, and returns what is to be said at the end if it failed.
    fn report(&self, what: &str, verdict: Verdict) -> Option<String> {
        let (kind, Verdict { seen, problems }) = (self.plan.name, verdict);
        let said = if problems.is_empty() { "as it must be" } else { "WRONG" };
        eprintln!("interop: mixed: {kind}: {what}: {said} ({seen})");
        for problem in problems.iter().take(SHOWN) {
            eprintln!("interop: mixed: {kind}: {what}: {problem}");
        }
        (!problems.is_empty()).then(|| format!("{kind}: {what}: {} problems", problems.len()))
    }

    /// Waits until every member has its share by its own account, and handles what comes; and then for a time of quiet.
    fn settle(&mut self, from: Micros, what: String) -> Result<()> {
        let share = self.share();
        let mut view = String::new();
        let agreed = await_until(LIMIT, || {
            view = match self.cluster.consumer_status(TOPIC, &self.name) {
                Ok(view) => view,
                Err(error) => format!("{error:#}"),
            };
            Ok(self.owners(&view) == share)
        })?;
        let described = format!("{}: {what}", self.plan.name);
        if !agreed {
            bail!("{described}: after {LIMIT:?} the members do not have the shares {share:?}, but `{view}`");
        }
        let agreed = now();
        self.await_deliveries(agreed, &share, 1).with_context(|| described.clone())?;
        let to = now();
        self.await_deliveries(to, &share, QUIET).with_context(|| described.clone())?;
        eprintln!("interop: mixed: {described}, and the queues were shared after {} ms", (to - from) / 1_000);
        self.history.changes.push(Change { what, from, to });
        self.history.stables.push(Stable { from: to, to: now(), share });
        Ok(())
    }

    /// Whose each queue must be.
    fn share(&self) -> BTreeMap<u64, usize> {
        let members = self.members.iter().enumerate().filter(|(_, member)| member.running.is_some());
        average(members.map(|(number, member)| (member.client_id.as_str(), number)).collect(), QUEUES)
    }

    /// Whose each queue is, as the members say themselves. No map, but for those that are owned twice.
    fn owners(&self, view: &str) -> BTreeMap<u64, usize> {
        let ids = self.members.iter().enumerate();
        let mut starts: Vec<_> =
            ids.filter_map(|(number, m)| Some((view.find(&format!("\"{}\":{{", m.client_id))?, number))).collect();
        starts.sort_unstable();
        let mut owners = BTreeMap::new();
        for (place, (start, number)) in starts.iter().enumerate() {
            let end = starts.get(place + 1).map_or(view.len(), |(next, _)| *next);
            for queue in view[*start..end].split("\"queueId\":").skip(1) {
                let digits = queue.find(|c: char| !c.is_ascii_digit()).unwrap_or(queue.len());
                if let Ok(queue) = queue[..digits].parse()
                    && owners.insert(queue, *number).is_some()
                {
                    return BTreeMap::new();
                }
            }
        }
        owners
    }

    /// Waits until each owner has handled so many messages of each of its queues from their begin after a time.
    fn await_deliveries(&mut self, after: Micros, share: &BTreeMap<u64, usize>, count: usize) -> Result<()> {
        let came = await_until(LIMIT, || {
            self.read()?;
            let mut counts = BTreeMap::new();
            for delivery in self.history.deliveries().iter().rev().filter(|d| d.begin >= after && d.end.is_some()) {
                if share.get(&delivery.queue) == Some(&delivery.member) {
                    *counts.entry(delivery.queue).or_insert(0) += 1;
                }
            }
            Ok(share.keys().all(|queue| counts.get(queue).is_some_and(|found| *found >= count)))
        })?;
        if !came {
            bail!("after {LIMIT:?} the owners of the queues do not consume");
        }
        Ok(())
    }

    /// Waits until everything was handled, and ends the members.
    fn finish(&mut self, sent: &BTreeSet<String>) -> Result<()> {
        let from = now();
        // What does not come is what a check says.
        await_until(LIMIT, || {
            self.read()?;
            Ok(self.history.missing(sent.iter().map(String::as_str)).is_empty())
        })?;
        let handled = now();
        for number in 0..self.members.len() {
            if let Some(member) = self.members[number].running.take() {
                let from = now();
                member.stop()?;
                self.history.members[number].end = End::Left(from, now());
            }
        }
        self.read()?;
        self.history.sent.clone_from(sent);
        eprintln!("interop: mixed: {}: the rest was handled in {} ms", self.plan.name, (handled - from) / 1_000);
        self.history.changes.push(Change { what: "the last ones left".to_owned(), from: handled, to: now() });
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        for (number, member) in self.members.iter_mut().enumerate() {
            let lines = member.lines.lock().map_err(|_| anyhow!("the reader of the lines panicked"))?;
            for line in &lines[member.read..] {
                self.history.take(number, line)?;
            }
            member.read = lines.len();
        }
        Ok(())
    }
}

/// Does this with all of them at once.
fn side_by_side<T: Send, U: Send>(
    all: impl IntoIterator<Item = T>,
    job: impl Fn(T) -> Result<U> + Sync,
) -> Result<Vec<U>> {
    std::thread::scope(|scope| {
        let job = &job;
        let running: Vec<_> = all.into_iter().map(|one| scope.spawn(move || job(one))).collect();
        running.into_iter().map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("one of them panicked")))).collect()
    })
}

fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}
