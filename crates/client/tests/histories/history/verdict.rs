//! What a history says in the end, and when a broker is lost with everything on it.

use std::collections::{BTreeSet, HashMap, HashSet};

use ferrocket::{MessageQueue, ReceivedMessage};
use ferrocket_testkit::TestCluster;

use super::{History, Topics, body_of};
use crate::ledger::Place;

impl History {
    /// A broker is about to be replaced by an empty one. What was promised of its log is held against what happened until now.
    pub(crate) fn loses_log(&mut self, broker: &str, port: u16, cluster: &TestCluster, topics: &Topics) {
        let is_there = |message: &ReceivedMessage| message.queue().broker().as_str() == broker;
        let messages = topics.messages(cluster).into_iter().filter(is_there);
        let messages: Vec<_> = messages.collect();
        let early = self.early_commits(&messages);
        self.broken.extend(early);
        self.broken.extend(self.false_bodies(&messages));
        self.gone.extend(messages.iter().map(body_of));
        let dead = cluster.messages(topics.dead_letters);
        self.gone_dead.extend(dead.iter().filter(|message| is_there(message)).map(body_of));
        self.lives.end(broker, port);
        self.lowest.retain(|queue, _| queue.broker().as_str() != broker);
    }

    /// Whether nobody has ever stored an offset of the log that is there now. One that is stored then is of the log of before: its owner
    /// was told where to go on, and has not stored that. (Another member that had the queue once may do so later.)
    pub(crate) fn is_uncorrected(&self, queue: &MessageQueue, end: u64) -> bool {
        self.lowest.get(queue).is_some_and(|lowest| *lowest > end)
    }

    /// Bodies that were confirmed and are neither handled nor dead letters, nor lost with a broker or passed over by an order.
    pub(crate) fn missing(&self, cluster: &TestCluster, topics: &Topics) -> Vec<String> {
        let dead: BTreeSet<_> = cluster.messages(topics.dead_letters).iter().map(body_of).collect();
        let is_done = |body: &&String| {
            self.handled.contains_key(*body)
                || self.skipped.contains(*body)
                || dead.contains(*body)
                || self.gone_dead.contains(*body)
        };
        let missing: Vec<_> = self.sent.lock().iter().filter(|body| !is_done(body)).cloned().collect();
        if missing.is_empty() || self.gone.is_empty() && !self.ledger.excuses_any() {
            return missing;
        }
        let mut copies: HashMap<String, Vec<Place>> = HashMap::new();
        for message in topics.messages(cluster) {
            copies.entry(body_of(&message)).or_default().push(self.place_of(&message));
        }
        let is_excused = |body: &String| {
            let copies = copies.get(body).map(Vec::as_slice).unwrap_or_default();
            let passed: Vec<_> = copies.iter().filter(|place| self.ledger.is_excused(place)).collect();
            // It may come all the same, and be given back.
            let is_copy = |place: &Place| {
                place.queue.topic().is_retry() && passed.iter().any(|from| from.queue.broker() == place.queue.broker())
            };
            let nobody_owes =
                |place: &Place| self.ledger.is_settled(place) || passed.contains(&place) || is_copy(place);
            (!passed.is_empty() || self.gone.contains(body)) && copies.iter().all(nobody_owes)
        };
        missing.into_iter().filter(|body| !is_excused(body)).collect()
    }

    /// What is lost, and where it lies.
    pub(crate) fn lost(&self, cluster: &TestCluster, topics: &Topics) -> Option<String> {
        let lost = self.missing(cluster, topics);
        let there = cluster.messages("Orders");
        let there = there.iter().filter(|message| lost.contains(&body_of(message)));
        let there: Vec<_> = there.map(|message| format!("{} {}", message.queue(), message.offset())).collect();
        let who = self.seat.map(|seat| format!("seat {seat}: ")).unwrap_or_default();
        (!lost.is_empty()).then(|| format!("{who}R-I3: lost {lost:?}, stored at {there:?}"))
    }

    /// It begins at the end of a queue: what is before that is not for it.
    pub(crate) fn begins_at_end(&mut self, queue: &MessageQueue, end: u64) {
        self.begins_late = true;
        self.jump(queue, end, "it begins at the end");
    }

    /// How many messages were passed over, and how many were lost with their brokers.
    pub(crate) fn excuses(&self) -> (usize, usize) {
        let sent = self.sent.lock();
        let is_lost = |body: &&String| sent.contains(*body) && !self.handled.contains_key(*body);
        (if self.begins_late { 0 } else { self.ledger.passed_over() }, self.gone.iter().filter(is_lost).count())
    }

    /// R13: what a listener was given is what is stored.
    fn false_bodies(&self, messages: &[ReceivedMessage]) -> Vec<String> {
        let differs = |message: &&ReceivedMessage| {
            self.bodies.get(&self.place_of(message)).is_some_and(|given| *given != body_of(message))
        };
        let differing = messages.iter().filter(differs);
        differing
            .map(|message| format!("R13: {} {} was handed out otherwise", message.queue(), message.offset()))
            .collect()
    }

    fn early_commits(&self, messages: &[ReceivedMessage]) -> Vec<String> {
        let places: HashSet<_> = messages.iter().map(|message| self.place_of(message)).collect();
        self.ledger.early_commits(&places)
    }

    /// Everything that is not as promised.
    pub(crate) fn violations(&self, cluster: &TestCluster, topics: &Topics) -> Vec<String> {
        let mut broken = self.broken.clone();
        let messages = topics.messages(cluster);
        broken.extend(self.early_commits(&messages));
        broken.extend(self.false_bodies(&messages));
        match self.seat {
            Some(seat) => broken.into_iter().map(|text| format!("seat {seat}: {text}")).collect(),
            None => broken,
        }
    }
}
