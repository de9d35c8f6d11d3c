//! What the members of a group did, and whether that is how a group must share a topic.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use serde_json::Value;

/// Microseconds since 1970. All members are on this machine, and have one clock.
pub(super) type Micros = u64;

/// How old the last commit of a member that was killed may be: it commits every five seconds, and a busy machine is late.
const COMMIT_INTERVAL: Micros = 6_000_000;
/// How old the commit of a member that gives a queue up may be when the next owner begins: that one may be told of the change
/// first, and goes by what was committed with the last pull.
const HAND_OVER: Micros = 4_000_000;

/// Everything that is known of one group when all is over.
#[derive(Default)]
pub(super) struct History {
    pub(super) members: Vec<Mate>,
    pub(super) changes: Vec<Change>,
    pub(super) stables: Vec<Stable>,
    /// The ids of the messages that brokers took.
    pub(super) sent: BTreeSet<String>,
    /// In the order in which they were read.
    deliveries: Vec<Delivery>,
    /// By member and message. A member that breaks the rules handles a message twice at once.
    running: HashMap<(usize, String), Vec<usize>>,
}

/// A member; its place in the list is its number.
pub(super) struct Mate {
    pub(super) name: String,
    pub(super) is_ours: bool,
    pub(super) end: End,
}

/// How a member ended. Its last delivery does not outlast that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Lives,
    /// It began to leave, and was gone.
    Left(Micros, Micros),
    Killed(Micros),
}

/// Somebody comes or goes, until the queues are shared anew.
pub(super) struct Change {
    pub(super) what: String,
    pub(super) from: Micros,
    pub(super) to: Micros,
}

/// A time in which nobody comes or goes, and the member to which each queue then belongs.
pub(super) struct Stable {
    pub(super) from: Micros,
    pub(super) to: Micros,
    pub(super) share: BTreeMap<u64, usize>,
}

/// One call of a listener.
pub(super) struct Delivery {
    pub(super) member: usize,
    pub(super) id: String,
    pub(super) queue: u64,
    pub(super) offset: u64,
    attempt: u64,
    pub(super) begin: Micros,
    pub(super) end: Option<Micros>,
}

/// What came of a check: what it saw, and what is not as it must be.
pub(super) struct Verdict {
    pub(super) seen: String,
    pub(super) problems: Vec<String>,
}

impl History {
    /// Takes a line of a member.
    pub(super) fn take(&mut self, member: usize, line: &Value) -> Result<()> {
        let (Some(event), Some(id)) = (line["event"].as_str(), line["id"].as_str()) else { return Ok(()) };
        let number = |name: &str| line[name].as_u64().with_context(|| format!("no {name} in {line}"));
        let key = (member, id.to_owned());
        if event == "begin" {
            self.running.entry(key).or_default().push(self.deliveries.len());
            self.deliveries.push(Delivery {
                member,
                id: id.to_owned(),
                queue: number("queue")?,
                offset: number("offset")?,
                attempt: number("attempt")?,
                begin: number("at")?,
                end: None,
            });
        } else {
            let delivery = self.running.get_mut(&key).and_then(Vec::pop);
            let delivery = delivery.with_context(|| format!("an end without a begin: {line}"))?;
            self.deliveries[delivery].end = Some(number("at")?);
        }
        Ok(())
    }

    pub(super) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// What was sent and not handled yet.
    pub(super) fn missing<'a>(&self, sent: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let handled: BTreeSet<_> = self.deliveries.iter().filter(|d| d.end.is_some()).map(|d| d.id.as_str()).collect();
        sent.filter(|id| !handled.contains(id)).collect()
    }

    /// Every message was handled to its end at least once, and none was sent back.
    pub(super) fn consumed(&self) -> Verdict {
        let missing = self.missing(self.sent.iter().map(String::as_str)).into_iter();
        let mut problems: Vec<_> = missing.map(|id| format!("{id} was never consumed")).collect();
        let again = self.deliveries.iter().filter(|delivery| delivery.attempt != 1);
        problems.extend(again.map(|d| format!("{} came with attempt {}: nobody failed", self.shown(d), d.attempt)));
        Verdict { seen: format!("{} messages in {} deliveries", self.sent.len(), self.deliveries.len()), problems }
    }

    /// While nobody came or went, each queue was its owner's alone.
    pub(super) fn shared(&self) -> Verdict {
        let (mut problems, mut count) = (Vec::new(), 0);
        for stable in &self.stables {
            let within = |delivery: &&Delivery| (stable.from..=stable.to).contains(&delivery.begin);
            let mut idle: BTreeSet<_> = stable.share.keys().collect();
            for delivery in self.deliveries.iter().filter(within) {
                count += 1;
                idle.remove(&delivery.queue);
                let owner = stable.share.get(&delivery.queue);
                if owner != Some(&delivery.member) {
                    let owner = owner.map_or("nobody", |member| &self.members[*member].name);
                    problems.push(format!("{}, but it is {owner}'s", self.shown(delivery)));
                }
            }
            problems.extend(idle.into_iter().map(|queue| format!("queue {queue} was nobody's at {}", stable.from)));
        }
        Verdict { seen: format!("{count} deliveries in {} times of quiet", self.stables.len()), problems }
    }

    /// A message comes again only when members come and go, and only if it could not be committed by then: something up to it was
    /// still being handled, or had been just before. What a member of ours handled before it left does not come again.
    pub(super) fn repeated(&self) -> Verdict {
        let settled = self.settled();
        let (mut problems, mut counts) = (Vec::new(), vec![0; self.changes.len()]);
        let (mut in_flight, mut longest) = (0, 0);
        let mut latest: HashMap<&str, &Delivery> = HashMap::new();
        for delivery in self.by_begin() {
            let Some(before) = latest.insert(&delivery.id, delivery) else { continue };
            let change = self.changes.iter().rposition(|change| change.from <= delivery.begin);
            let Some(change) = change.filter(|change| delivery.begin <= self.changes[*change].to) else {
                problems.push(format!("{} again, and nobody came or went", self.shown(delivery)));
                continue;
            };
            counts[change] += 1;
            let idle = delivery.begin.saturating_sub(settled[&(delivery.queue, delivery.offset)]);
            in_flight += usize::from(idle == 0);
            longest = longest.max(idle);
            let left = &self.members[before.member];
            let limit = if matches!(left.end, End::Killed(_)) { COMMIT_INTERVAL } else { HAND_OVER };
            if idle > limit {
                let idle = idle / 1_000;
                problems.push(format!("{} again, {idle} ms after all to it was done", self.shown(delivery)));
            } else if left.is_ours && matches!(left.end, End::Left(at, _) if at < delivery.begin) {
                problems.push(format!("{} again, after {} had left", self.shown(delivery), left.name));
            }
        }
        let counts = self.changes.iter().zip(counts).map(|(change, count)| format!("{} {count}", change.what));
        let counts = counts.collect::<Vec<_>>().join(", ");
        let done = format!("{in_flight} were in flight, the others done for up to {} ms", longest / 1_000);
        Verdict { seen: format!("repeated when {counts}; {done}"), problems }
    }

    /// In each queue one delivery comes after the other, by offset. Back goes only the next owner after a member that was killed,
    /// to what that could have committed, and after a member of the Java client by one: that commits its last message behind the
    /// lock (CON-ORD-16).
    pub(super) fn ordered(&self) -> Verdict {
        let settled = self.settled();
        let (mut problems, mut repeated, mut owners) = (Vec::new(), 0, 0);
        let mut last: BTreeMap<u64, &Delivery> = BTreeMap::new();
        for delivery in self.by_begin() {
            let Some(before) = last.insert(delivery.queue, delivery) else {
                if delivery.offset != 0 {
                    problems.push(format!("{} first", self.shown(delivery)));
                }
                continue;
            };
            let shown = || format!("{} after {}", self.shown(delivery), self.shown(before));
            let mate = &self.members[before.member];
            if self.busy_until(before) > delivery.begin {
                problems.push(format!("{}, which was not done", shown()));
            }
            owners += usize::from(before.member != delivery.member);
            if delivery.offset > before.offset + 1 {
                problems.push(format!("{}: something was skipped", shown()));
            } else if delivery.offset <= before.offset {
                repeated += before.offset + 1 - delivery.offset;
                let excused = match mate.end {
                    _ if before.member == delivery.member => false,
                    End::Killed(at) if at <= delivery.begin => {
                        settled[&(delivery.queue, delivery.offset)] + COMMIT_INTERVAL > at
                    }
                    _ => !mate.is_ours && delivery.offset == before.offset,
                };
                if !excused {
                    problems.push(format!("{}: it goes back", shown()));
                }
            }
        }
        let seen = format!("{owners} times a queue got another owner, {repeated} messages came again");
        Verdict { seen, problems }
    }

    fn by_begin(&self) -> Vec<&Delivery> {
        let mut deliveries: Vec<_> = self.deliveries.iter().collect();
        deliveries.sort_by_key(|delivery| delivery.begin);
        deliveries
    }

    /// When everything in the queue up to an offset had been handled for the first time.
    fn settled(&self) -> BTreeMap<(u64, u64), Micros> {
        let mut settled: BTreeMap<(u64, u64), Micros> = BTreeMap::new();
        for delivery in &self.deliveries {
            let at = settled.entry((delivery.queue, delivery.offset)).or_insert(Micros::MAX);
            *at = (*at).min(delivery.end.unwrap_or(Micros::MAX));
        }
        let mut highest = (0, 0);
        for ((queue, _), at) in &mut settled {
            highest = (*queue, if highest.0 == *queue { highest.1.max(*at) } else { *at });
            *at = highest.1;
        }
        settled
    }

    fn busy_until(&self, delivery: &Delivery) -> Micros {
        delivery.end.unwrap_or(match self.members[delivery.member].end {
            End::Lives => Micros::MAX,
            End::Left(_, at) | End::Killed(at) => at,
        })
    }

    fn shown(&self, delivery: &Delivery) -> String {
        let Delivery { queue, offset, begin, .. } = delivery;
        format!("{} got {queue}/{offset} at {begin}", self.members[delivery.member].name)
    }
}

/// Whose each queue is: the strategy that both clients have unless told otherwise. `clients` are the ids, with numbers.
pub(super) fn average(mut clients: Vec<(&str, usize)>, queues: u64) -> BTreeMap<u64, usize> {
    clients.sort_unstable();
    let count = clients.len() as u64;
    let mut share = BTreeMap::new();
    for (place, (_, member)) in (0..count).zip(clients) {
        let size = queues / count + u64::from(place < queues % count);
        let first = share.len() as u64;
        share.extend((first..first + size).map(|queue| (queue, member)));
    }
    share
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Micros = 1_000_000;

    /// Two members, of Java and ours, and a change in the first second.
    fn history(deliveries: &[(usize, u64, u64, Option<u64>)]) -> History {
        let mate = |name: &str| Mate {
            name: name.to_owned(),
            is_ours: name == "ours",
            end: End::Left(50 * SECOND, 60 * SECOND),
        };
        let mut history = History { members: vec![mate("java"), mate("ours")], ..History::default() };
        history.changes.push(Change { what: "joins".to_owned(), from: 0, to: SECOND });
        for (member, offset, begin, end) in deliveries {
            let id = format!("id-{offset}");
            let at = |event, at: u64| json!({"event": event, "at": at, "id": id, "queue": 0, "offset": offset, "attempt": 1});
            history.take(*member, &at("begin", *begin)).unwrap();
            if let Some(end) = end {
                history.take(*member, &at("end", *end)).unwrap();
            }
            history.sent.insert(id);
        }
        history
    }

    fn problems(verdict: Verdict) -> String {
        verdict.problems.join("; ")
    }

    #[test]
    fn a_message_that_nobody_finished_is_missing_and_one_that_was_sent_back_is_found() {
        assert_eq!(problems(history(&[(0, 0, 10, Some(20))]).consumed()), "");
        assert_eq!(problems(history(&[(0, 0, 10, None)]).consumed()), "id-0 was never consumed");
        let mut history = history(&[(0, 0, 10, Some(20))]);
        history.deliveries[0].attempt = 2;
        assert!(problems(history.consumed()).contains("came with attempt 2"));
    }

    #[test]
    fn a_queue_is_its_owners_alone_and_not_idle() {
        let mut history = history(&[(0, 0, 10, Some(20)), (1, 1, 200, Some(210))]);
        history.stables.push(Stable { from: 0, to: 100, share: [(0, 0)].into() });
        assert_eq!(problems(history.shared()), "");
        history.stables[0].to = 300;
        assert!(problems(history.shared()).ends_with("it is java's"));
        history.stables[0] = Stable { from: 20, to: 100, share: [(0, 0)].into() };
        assert!(problems(history.shared()).contains("queue 0 was nobody's"));
    }

    #[test]
    fn what_was_in_flight_may_come_again_while_members_come_and_go() {
        assert_eq!(problems(history(&[(0, 0, 10, Some(500)), (1, 0, 100, Some(110))]).repeated()), "");
        let quiet = history(&[(0, 0, 10, Some(20)), (0, 0, SECOND + 1, None)]);
        assert!(problems(quiet.repeated()).contains("nobody came or went"));
    }

    #[test]
    fn what_was_done_long_ago_does_not_come_again() {
        let again = |lower_ends, end: End| {
            let mut history = history(&[(0, 0, 1, Some(lower_ends)), (0, 1, 2, Some(3)), (1, 1, 9 * SECOND, None)]);
            history.changes[0].to = 20 * SECOND;
            history.members[0].end = end;
            problems(history.repeated())
        };
        let (left, killed) = (End::Left(8 * SECOND, 8 * SECOND), End::Killed(8 * SECOND));
        assert!(again(5, killed).contains("after all to it was done"));
        assert!(again(4 * SECOND, left).contains("after all to it was done"));
        assert_eq!(again(4 * SECOND, killed), "");
        // It cannot be committed before what is below it.
        assert_eq!(again(8 * SECOND, left), "");
    }

    #[test]
    fn what_a_member_of_ours_did_before_it_left_does_not_come_again() {
        let again = |leaver, other| {
            let mut history = history(&[(leaver, 0, 10, Some(20)), (other, 0, 100, Some(110))]);
            history.members[leaver].end = End::Left(50, 90);
            problems(history.repeated())
        };
        assert!(again(1, 0).ends_with("after ours had left"));
        assert_eq!(again(0, 1), "");
    }

    #[test]
    fn a_member_that_handles_a_message_twice_at_once_has_two_deliveries() {
        let mut history = history(&[(0, 0, 10, None), (0, 0, 15, Some(20))]);
        assert!(problems(history.ordered()).contains("which was not done"));
        let end = json!({"event": "end", "at": 30, "id": "id-0"});
        history.take(0, &end).unwrap();
        assert_eq!(history.deliveries.iter().map(|delivery| delivery.end).collect::<Vec<_>>(), [Some(30), Some(20)]);
        assert!(history.take(0, &end).is_err());
    }

    #[test]
    fn order_is_one_after_the_other_without_gaps() {
        let of = |deliveries: &[_]| problems(history(deliveries).ordered());
        assert_eq!(of(&[(0, 0, 10, Some(20)), (1, 1, 30, Some(40)), (1, 2, 50, Some(60))]), "");
        assert!(of(&[(0, 1, 10, Some(20))]).ends_with("first"));
        assert!(of(&[(0, 0, 10, Some(20)), (1, 2, 30, Some(40))]).ends_with("something was skipped"));
        assert!(of(&[(0, 0, 10, Some(35)), (1, 1, 30, Some(40))]).ends_with("which was not done"));
        assert!(of(&[(1, 0, 10, None), (0, 0, 30, Some(40))]).contains("which was not done"));
    }

    #[test]
    fn order_goes_back_only_where_an_owner_could_not_commit() {
        let back = |owner: usize, from: u64, end: Option<End>| {
            let mut deliveries: Vec<_> = (0..=from).map(|n| (owner, n, 10 * n, Some(10 * n + 5))).collect();
            deliveries.push((1 - owner, 0, 20 * SECOND, None));
            let mut history = history(&deliveries);
            history.members[owner].end = end.unwrap_or(history.members[owner].end);
            problems(history.ordered())
        };
        assert_eq!(back(0, 0, None), "");
        assert!(back(0, 1, None).ends_with("it goes back"));
        assert!(back(1, 0, None).ends_with("it goes back"));
        assert_eq!(back(1, 3, Some(End::Killed(SECOND))), "");
        assert!(back(1, 3, Some(End::Killed(10 * SECOND))).ends_with("it goes back"));
    }

    #[test]
    fn shares_are_those_of_the_average_strategy() {
        let share = |ids: &[&'static str]| {
            let clients = ids.iter().enumerate().map(|(number, id)| (*id, number)).collect();
            average(clients, 4).into_values().collect::<Vec<_>>()
        };
        assert_eq!(share(&["b@1"]), [0, 0, 0, 0]);
        assert_eq!(share(&["c", "a", "b"]), [1, 1, 2, 0]);
        assert_eq!(share(&["e", "a", "b", "c", "d"]), [1, 2, 3, 4]);
    }
}
