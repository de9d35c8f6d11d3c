//! `cargo xtask interop mqadmin`: members of groups, looked at and told what to do with the servers' own tool.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::member::{Member, await_until};
use super::mqadmin::{Mqadmin, Report};
use super::program::Program;
use crate::broker::{BROKER_NAME, Running};

const KINDS: [&str; 2] = ["concurrent", "orderly"];
const QUEUES: usize = 4;
const MESSAGES: u64 = 24;
/// What a listener says to the messages that it is to consume directly, by index.
const DIRECT: [&str; 3] = ["CR_SUCCESS", "CR_LATER", "CR_THROW_EXCEPTION"];
/// For what members do every few seconds: commit, and in Java, count.
const LIMIT: Duration = Duration::from_secs(60);

/// Two groups of one member each, one for each kind of listener.
pub(super) fn check(cluster: &Running, program: &Program) -> Result<()> {
    let setup = Setup::new(cluster, program)?;
    let members = KINDS.map(|kind| Subject::start(&setup, program.clone(), kind));
    let mut members = members.into_iter().collect::<Result<Vec<_>>>()?;
    // The tool waits more than it works.
    let side_by_side = |members: &mut [Subject<'_>], checks: fn(&mut Subject<'_>)| {
        std::thread::scope(|scope| members.iter_mut().for_each(|subject| drop(scope.spawn(|| checks(subject)))));
    };
    side_by_side(&mut members, |subject| {
        subject.check("progress", Subject::progress);
        subject.check("status", Subject::status);
        subject.check("judgement", Subject::judgement);
        subject.check("connection", Subject::connection);
        subject.check("offsets as the member knows them", Subject::offsets);
        for (index, result) in DIRECT.iter().enumerate() {
            subject.check(result, |subject| subject.consume_directly(index));
        }
        subject.check("reset by the broker", |subject| subject.reset(2));
    });
    setup.reset_by_members()?;
    side_by_side(&mut members, |subject| {
        subject.check("reset by the member", |subject| subject.reset(3));
        subject.check("progress at the end", Subject::progress);
    });
    let mut failed = Vec::new();
    for mut subject in members {
        failed.append(&mut subject.failed);
        let name = subject.name;
        if let Err(error) = subject.member.stop() {
            failed.push(format!("{name}: stop: {error:#}"));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} checks failed: {}", failed.len(), failed.join("; "))
}

/// What all members need.
struct Setup<'a> {
    cluster: &'a Running,
    mqadmin: Mqadmin,
    language: &'static str,
    home: PathBuf,
    name_server: String,
    topic: String,
    /// Nobody subscribes to it.
    direct_topic: String,
    direct_ids: Vec<String>,
}

impl<'a> Setup<'a> {
    fn new(cluster: &'a Running, program: &Program) -> Result<Self> {
        let (home, name_server) = (cluster.scratch_folder()?, cluster.name_server()?);
        let mqadmin = Mqadmin::new(super::RELEASE.version(), home.join("mqadmin"), name_server.clone())?;
        let [topic, direct_topic] = ["consumed", "direct"].map(|what| format!("mqadmin-{}-{what}", program.name()));
        let mut ids = Vec::new();
        for (topic, count) in [(&topic, MESSAGES), (&direct_topic, DIRECT.len() as u64)] {
            cluster.create_topic(topic)?;
            let sent = program.run(&home, &["produce", &name_server, topic, &count.to_string(), "none"])?;
            ids = sent.iter().filter_map(|line| line["id"].as_str().map(str::to_owned)).collect();
            if ids.len() as u64 != count {
                bail!("only {} of {count} messages were sent to {topic}", ids.len());
            }
        }
        let language = program.language();
        Ok(Self { cluster, mqadmin, language, home, name_server, topic, direct_topic, direct_ids: ids })
    }

    /// From here on the broker tells the members to reset, as releases before 5.0 do.
    fn reset_by_members(&self) -> Result<()> {
        let setting = ["-k", "useServerSideResetOffset", "-v", "false"];
        let report =
            self.mqadmin.run(&[&["updateBrokerConfig", "-b", &self.cluster.broker()?][..], &setting].concat())?;
        let mut problems = Vec::new();
        report.expect("update broker config success", &mut problems);
        problems.first().map_or(Ok(()), |problem| bail!("{problem}"))
    }
}

/// A group with its member.
struct Subject<'a> {
    setup: &'a Setup<'a>,
    name: String,
    orderly: bool,
    group: String,
    member: Member,
    /// The offsets that the broker has of the group, by queue.
    committed: BTreeMap<usize, u64>,
    failed: Vec<String>,
}

impl<'a> Subject<'a> {
    fn start(setup: &'a Setup<'a>, program: Program, kind: &str) -> Result<Self> {
        let name = format!("{} {kind}", program.name());
        let group = format!("{}-{kind}", setup.topic);
        let member = Member::start(program, &setup.home, &["deliver", &setup.name_server, &setup.topic, &group, kind])?;
        member.await_deliveries(&setup.topic, MESSAGES, 1).with_context(|| name.clone())?;
        Ok(Self {
            setup,
            name,
            orderly: kind == "orderly",
            group,
            member,
            committed: BTreeMap::new(),
            failed: Vec::new(),
        })
    }

    /// Says what came of a check. The next ones run whatever that is.
    fn check(&mut self, what: &str, check: impl FnOnce(&mut Self) -> Result<Vec<String>>) {
        let problems = check(self).unwrap_or_else(|error| vec![format!("{error:#}")]);
        let name = &self.name;
        if problems.is_empty() {
            eprintln!("interop: mqadmin: {name}: {what}: as it must be");
        }
        for problem in &problems {
            eprintln!("interop: mqadmin: {name}: {what}: {problem}");
        }
        if !problems.is_empty() {
            self.failed.push(format!("{name}: {what}"));
        }
    }

    fn run(&self, command: &str, args: &[&str]) -> Result<Report> {
        self.setup.mqadmin.run(&[&[command, "-g", &self.group], args].concat())
    }

    /// Every queue is consumed to its end and committed, by our member (of which the tool asks the member), and nothing was sent back.
    fn progress(&mut self) -> Result<Vec<String>> {
        let heading = ["#Topic", "#Broker Name", "#QID", "#Broker Offset", "#Consumer Offset", "#Client IP"];
        let progress = || self.run("consumerProgress", &["-s", "true"]);
        let mut report = progress()?;
        await_until(LIMIT, || {
            // A queue is not listed before something is committed for it.
            let listed = report.rows(&heading).iter().filter(|row| row[0] == self.setup.topic).count();
            let done = listed == QUEUES && report.value("Consume Diff Total") == Some("0");
            if !done {
                report = progress()?;
            }
            Ok(done)
        })?;
        let mut problems = Vec::new();
        report.expect("Consume Diff Total: 0\n", &mut problems);
        let address = self.member.client_id().split('@').next().unwrap_or_default();
        let rows = report.rows(&heading);
        self.committed.clear();
        for row in &rows {
            let [topic, broker, queue, stored, committed, client, ..] = row[..] else { bail!("a short row: {row:?}") };
            if topic == self.setup.topic {
                self.committed.insert(queue.parse()?, committed.parse()?);
                if (broker, stored, client) != (BROKER_NAME, committed, address) {
                    problems.push(format!(
                        "queue {queue}: {committed} of {stored} is committed, by {client}, not by {address}"
                    ));
                }
            } else if topic != format!("%RETRY%{}", self.group) || stored != "0" {
                problems.push(format!("the group has {stored} messages in queue {queue} of {topic}"));
            }
        }
        if self.committed.len() != QUEUES || self.committed.values().sum::<u64>() != MESSAGES {
            problems.push(format!("not all of {MESSAGES} messages in {QUEUES} queues: {:?}", self.committed));
        }
        Ok(problems)
    }

    /// What the member says of itself, when asked by its id (CON-ADM-01).
    fn status(&mut self) -> Result<Vec<String>> {
        let status = || self.run("consumerStatus", &["-i", self.member.client_id()]);
        let mut report = status()?;
        // Java counts every ten seconds.
        let rates = |report: &Report| -> Vec<String> {
            let rows = report.rows(&["#Topic", "#Pull RT", "#Pull TPS"]);
            let row = rows.into_iter().find(|row| row.first() == Some(&self.setup.topic.as_str()));
            row.unwrap_or_default().into_iter().map(str::to_owned).collect()
        };
        await_until(LIMIT, || {
            let counted = rates(&report).get(4).is_some_and(|consumed| consumed != "0.00");
            if !counted && !report.text.is_empty() {
                report = status()?;
            }
            Ok(counted || report.rows(&["#Topic", "#Pull RT"]).is_empty())
        })?;
        let mut problems = Vec::new();
        report.expect("#Consumer Properties#", &mut problems);
        if !problems.is_empty() {
            return Ok(problems);
        }
        problems.extend(self.property_problems(&report));
        for (number, topic) in [("001", format!("%RETRY%{}", self.group)), ("002", self.setup.topic.clone())] {
            report.expect(&format!("{number} Topic: {topic} "), &mut problems);
        }
        problems.extend(self.queue_problems(&report)?);
        match rates(&report).as_slice() {
            [_, _, pulled, _, consumed, failed, failures]
                if pulled != "0.00" && consumed != "0.00" && failed == "0.00" && failures == "0" => {}
            other => problems.push(format!("rates: {other:?}")),
        }
        Ok(problems)
    }

    fn property_problems(&self, report: &Report) -> Vec<String> {
        let mut problems = Vec::new();
        let name_servers = format!("{};", self.setup.name_server);
        let expected = [
            ("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY"),
            ("PROP_CONSUMEORDERLY", if self.orderly { "true" } else { "false" }),
            ("PROP_NAMESERVER_ADDR", &name_servers),
            ("PROP_CLIENT_VERSION", "V5_5_0"),
            ("consumerGroup", &self.group),
            ("messageModel", "CLUSTERING"),
            ("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"),
        ];
        for (name, expected) in expected {
            let value = report.value(name);
            if value != Some(expected) {
                problems.push(format!("property {name} is {value:?}, not {expected:?}"));
            }
        }
        let number = |name| report.value(name).and_then(|value| value.parse::<u64>().ok());
        if number("PROP_THREADPOOL_CORE_SIZE").is_none_or(|size| size == 0) {
            problems.push("property PROP_THREADPOOL_CORE_SIZE is no size".to_owned());
        }
        let began = number("PROP_CONSUMER_START_TIMESTAMP").unwrap_or_default();
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(began);
        if began.elapsed().is_ok_and(|since| since > 10 * LIMIT) {
            problems.push("property PROP_CONSUMER_START_TIMESTAMP is not the time of its start".to_owned());
        }
        problems
    }

    fn queue_problems(&self, report: &Report) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        let mut offsets = BTreeMap::new();
        for row in report.rows(&["#Topic", "#Broker Name", "#QID", "#Consumer Offset"]) {
            let [topic, broker, queue, offset] = row[..] else { bail!("not four columns: {row:?}") };
            if (topic, broker) == (self.setup.topic.as_str(), BROKER_NAME) {
                offsets.insert(queue.parse()?, offset.parse()?);
            }
        }
        if offsets != self.committed {
            problems.push(format!("the member says {offsets:?}, the broker {:?}", self.committed));
        }
        let mut details = 0;
        for row in report.rows(&["#Topic", "#Broker Name", "#QID", "#ProcessQueueInfo"]) {
            if row.first() != Some(&self.setup.topic.as_str()) {
                continue;
            }
            details += 1;
            let detail = row.join(" ");
            let locked = if self.orderly { "locked=true" } else { "" };
            for expected in
                ["cachedMsgMinOffset=0,", "cachedMsgCount=0,", "transactionMsgCount=0,", locked, "droped=false"]
            {
                if !detail.contains(expected) {
                    problems.push(format!("`{expected}` is not in `{detail}`"));
                }
            }
            // Times that were never set.
            if ["lastPullTimestamp=1970", "lastConsumeTimestamp=1970"].iter().any(|never| detail.contains(never)) {
                problems.push(format!("a time is missing in `{detail}`"));
            }
        }
        if details != QUEUES {
            problems.push(format!("details of {details} queues, not {QUEUES}"));
        }
        Ok(problems)
    }

    /// What the tool thinks of the whole group (CON-ADM-02).
    fn judgement(&mut self) -> Result<Vec<String>> {
        let report = self.run("consumerStatus", &[])?;
        let mut problems = Vec::new();
        report.expect(self.member.client_id(), &mut problems);
        report.expect("Same subscription in the same group of consumer", &mut problems);
        report.expect("Rebalance OK", &mut problems);
        let complaints = ["can't lock for a while", "still failed", "can't consume for a while"];
        problems.extend(
            report
                .text
                .lines()
                .filter(|line| complaints.iter().any(|complaint| line.contains(complaint)))
                .map(str::to_owned),
        );
        Ok(problems)
    }

    /// What the broker knows of the group.
    fn connection(&mut self) -> Result<Vec<String>> {
        let report = self.run("consumerConnection", &[])?;
        let mut problems = Vec::new();
        let rows = report.rows(&["#ClientId", "#ClientAddr", "#Language", "#Version"]);
        match rows.as_slice() {
            [row] if row.len() == 4 => {
                if [row[0], row[2], row[3]] != [self.member.client_id(), self.setup.language, "V5_5_0"] {
                    problems.push(format!("the member is listed as {row:?}"));
                }
            }
            other => problems.push(format!("not one member: {other:?}{}", report.why())),
        }
        let mut subscriptions = report.rows(&["#Topic", "#SubExpression"]);
        subscriptions.sort();
        let retry = format!("%RETRY%{}", self.group);
        if subscriptions != [[retry.as_str(), "*"], [self.setup.topic.as_str(), "*"]] {
            problems.push(format!("subscriptions: {subscriptions:?}"));
        }
        for line in [
            "ConsumeType: CONSUME_PASSIVELY",
            "MessageModel: CLUSTERING",
            "ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET",
        ] {
            report.expect(line, &mut problems);
        }
        Ok(problems)
    }

    /// Of this the tool has no command: the broker is asked itself, and asks the member (CON-ADM-06).
    fn offsets(&mut self) -> Result<Vec<String>> {
        let text = self.setup.cluster.consumer_status(&self.setup.topic, &self.group)?;
        let mut expected = vec![format!("\"{}\":{{", self.member.client_id())];
        for (queue, offset) in &self.committed {
            let topic = &self.setup.topic;
            expected.push(format!(
                "{{\"brokerName\":\"{BROKER_NAME}\",\"queueId\":{queue},\"topic\":\"{topic}\"}}:{offset}"
            ));
        }
        expected.retain(|expected| !text.contains(expected));
        Ok(expected.into_iter().map(|missing| format!("`{missing}` is not in `{text}`")).collect())
    }

    /// One message, past the queues (CON-ADM-03).
    fn consume_directly(&mut self, index: usize) -> Result<Vec<String>> {
        let (id, topic) = (&self.setup.direct_ids[index], &self.setup.direct_topic);
        let report = self.run("queryMsgByUniqueKey", &["-i", id, "-t", topic, "-d", self.member.client_id()])?;
        let mut problems = Vec::new();
        let (result, order) = (DIRECT[index], self.orderly);
        report.expect(&format!("[order={order}, autoCommit=true, consumeResult={result}, remark="), &mut problems);
        if result == "CR_THROW_EXCEPTION" && report.text.contains("remark=null") {
            problems.push("nothing says why".to_owned());
        }
        let delivered = self.member.deliveries(topic)?.get(&(index as u64)).copied();
        if delivered != Some(1) {
            problems.push(format!("the listener got it {} times", delivered.unwrap_or(0)));
        }
        Ok(problems)
    }

    /// To the beginning: everything comes once more (CON-ADM-04, and by the broker itself).
    fn reset(&mut self, times: usize) -> Result<Vec<String>> {
        let report = self.run("resetOffsetByTime", &["-t", &self.setup.topic, "-s", "0"])?;
        let mut problems = Vec::new();
        let mut rows = report.rows(&["#brokerName", "#queueId", "#offset"]);
        rows.sort();
        let expected: Vec<_> =
            (0..QUEUES).map(|queue| [BROKER_NAME.to_owned(), queue.to_string(), "0".to_owned()]).collect();
        if rows != expected {
            problems.push(format!("queues that were reset: {rows:?}{}", report.why()));
        }
        if let Err(error) = self.member.await_deliveries(&self.setup.topic, MESSAGES, times) {
            problems.push(format!("{error:#}"));
        }
        Ok(problems)
    }
}
