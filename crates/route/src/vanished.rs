//! Brokers that were in a route and are not any more: most of them come back, and whoever used them waits for that (R4).

use std::{collections::BTreeSet, time::Duration};

use ferrocket_model::{BrokerName, Route, Topic};
use tokio::time::Instant;

/// How often a broker that vanished is looked for.
const EVERY: Duration = Duration::from_secs(1);
/// A broker that stays away for longer was taken away: the periodic refresh finds it, should it come back.
const FOR: Duration = Duration::from_secs(10 * 60);
/// Once one topic is there again, its other topics are asked for as often, for this long.
const OTHERS_FOR: Duration = Duration::from_secs(60);

/// Which brokers vanished, and from which topics. One topic is enough to see that a broker is back, so that an outage costs the
/// name servers one question a second and broker, however many topics it had. Sans-IO: time is passed in.
///
/// Holds at most the topics of the table, for ten minutes.
#[derive(Debug, Default)]
pub(crate) struct Vanished {
    brokers: Vec<Away>,
}

#[derive(Debug)]
struct Away {
    broker: BrokerName,
    topics: BTreeSet<Topic>,
    next: Instant,
    until: Instant,
    is_back: bool,
}

impl Vanished {
    /// A route replaces another one. Returns whether a broker vanished or is back: then the time to look may be another one.
    pub(crate) fn compare(
        &mut self,
        topic: &Topic,
        before: Option<&Route>,
        after: Option<&Route>,
        now: Instant,
    ) -> bool {
        let (was, is) = (usable(before), usable(after));
        let mut changed = false;
        for broker in was.into_iter().filter(|broker| !is.contains(broker)) {
            changed = true;
            let index = self.brokers.iter().position(|away| away.broker == *broker).unwrap_or_else(|| {
                self.brokers.push(Away::new(broker.clone(), now));
                self.brokers.len() - 1
            });
            let Some(away) = self.brokers.get_mut(index) else { continue };
            if away.is_back {
                (away.is_back, away.next, away.until) = (false, now + EVERY, now + FOR);
            }
            away.topics.insert(topic.clone());
        }
        self.brokers.retain_mut(|away| {
            if is.contains(&&away.broker) && away.topics.remove(topic) {
                changed = true;
                if !away.is_back {
                    (away.is_back, away.next, away.until) = (true, now, now + OTHERS_FOR);
                }
            }
            !away.topics.is_empty()
        });
        changed
    }

    /// When to look next. `None` while nothing is missing.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.brokers.iter().map(|away| away.next).min()
    }

    /// The topics to look up now: one per broker that is away, all that are still missing of one that is back.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Topic> {
        self.brokers.retain(|away| now < away.until);
        let mut due = Vec::new();
        for away in self.brokers.iter_mut().filter(|away| away.next <= now) {
            away.next = now + EVERY;
            due.extend(away.topics.iter().take(if away.is_back { usize::MAX } else { 1 }).cloned());
        }
        due
    }

    /// A topic that is not in the table any more.
    pub(crate) fn forget(&mut self, topic: &Topic) {
        self.brokers.retain_mut(|away| {
            away.topics.remove(topic);
            !away.topics.is_empty()
        });
    }
}

impl Away {
    fn new(broker: BrokerName, now: Instant) -> Self {
        Self { broker, topics: BTreeSet::new(), next: now + EVERY, until: now + FOR, is_back: false }
    }
}

/// The brokers that take or give messages. Queues come in the order of their brokers, so that few are named twice.
fn usable(route: Option<&Route>) -> Vec<&BrokerName> {
    let routes = route.into_iter().filter(|route| !route.is_template);
    let mut brokers: Vec<_> =
        routes.flat_map(|route| route.publish.iter().chain(&route.subscribe)).map(|queue| queue.broker()).collect();
    brokers.dedup();
    brokers
}

#[cfg(test)]
mod tests {
    use ferrocket_model::MessageQueue;

    use super::*;

    fn route(topic: &str, brokers: &[&str]) -> Route {
        let queues: Vec<_> = brokers.iter().map(|broker| MessageQueue::new(topic, *broker, 0)).collect();
        Route::new(queues.clone(), queues, Vec::new())
    }

    fn change(vanished: &mut Vanished, topic: &str, before: &[&str], after: &[&str], now: Instant) -> bool {
        let (before, after) = (route(topic, before), route(topic, after));
        vanished.compare(&topic.parse().unwrap(), Some(&before), Some(&after), now)
    }

    fn names(topics: &[Topic]) -> Vec<&str> {
        topics.iter().map(|topic| topic.as_str()).collect()
    }

    #[test]
    fn one_topic_of_a_broker_that_is_away_is_asked_for_every_second_and_all_once_it_is_back() {
        let (mut vanished, start) = (Vanished::default(), Instant::now());
        for topic in ["a", "b", "c"] {
            assert!(change(&mut vanished, topic, &["one", "two"], &["one"], start));
        }
        assert_eq!(vanished.next(), Some(start + EVERY));
        assert!(vanished.due(start).is_empty(), "not before its time");
        for second in 1..=5 {
            let now = start + EVERY * second;
            assert_eq!(names(&vanished.due(now)), ["a"]);
            assert!(vanished.due(now).is_empty(), "once");
        }
        let back = start + EVERY * 6;
        assert!(change(&mut vanished, "a", &["one"], &["one", "two"], back));
        assert_eq!(names(&vanished.due(back)), ["b", "c"]);
        // One is there, the other is not yet.
        assert!(change(&mut vanished, "c", &["one"], &["one", "two"], back));
        assert_eq!(names(&vanished.due(back + EVERY)), ["b"]);
        assert!(change(&mut vanished, "b", &["one"], &["one", "two"], back + EVERY));
        assert_eq!(vanished.next(), None);
    }

    #[test]
    fn a_broker_that_stays_away_or_a_topic_that_stays_gone_is_not_looked_for_without_end() {
        let (mut vanished, start) = (Vanished::default(), Instant::now());
        change(&mut vanished, "a", &["one"], &[], start);
        change(&mut vanished, "b", &["one"], &[], start);
        assert_eq!(names(&vanished.due(start + FOR - EVERY)), ["a"]);
        assert!(vanished.due(start + FOR).is_empty());
        assert_eq!(vanished.next(), None);

        change(&mut vanished, "a", &["one"], &[], start);
        change(&mut vanished, "b", &["one"], &[], start);
        change(&mut vanished, "a", &[], &["one"], start);
        assert_eq!(
            names(&vanished.due(start + OTHERS_FOR - EVERY)),
            ["b"],
            "the topic did not come back with its broker"
        );
        assert!(vanished.due(start + OTHERS_FOR).is_empty());
    }

    #[test]
    fn a_broker_that_goes_away_again_while_topics_are_missing_is_looked_for_anew() {
        let (mut vanished, start) = (Vanished::default(), Instant::now());
        change(&mut vanished, "a", &["one"], &[], start);
        change(&mut vanished, "b", &["one"], &[], start);
        change(&mut vanished, "a", &[], &["one"], start);
        change(&mut vanished, "a", &["one"], &[], start + EVERY);
        assert_eq!(names(&vanished.due(start + OTHERS_FOR * 2)), ["a"], "one of the two");
    }

    #[test]
    fn what_is_the_same_or_from_the_template_or_forgotten_is_not_missing() {
        let (mut vanished, start) = (Vanished::default(), Instant::now());
        assert!(!change(&mut vanished, "a", &["one"], &["one", "two"], start));
        let mut template = route("a", &["one"]);
        template.is_template = true;
        assert!(!vanished.compare(&Topic::from_static("a"), Some(&template), None, start));
        change(&mut vanished, "a", &["one"], &[], start);
        vanished.forget(&Topic::from_static("a"));
        assert_eq!(vanished.next(), None);
    }
}
