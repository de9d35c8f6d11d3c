//! What became of the messages of one progress: a group's, or that of one member where each has its own.

use std::collections::{HashMap, HashSet};

use ferrocket::MessageQueue;

/// One message in one log. A broker that is replaced by an empty one begins another log, and counts its queues from 0 again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) queue: MessageQueue,
    /// Which log of its broker.
    pub(crate) life: usize,
    pub(crate) offset: u64,
}

/// An offset that was stored, and when.
struct Commit {
    queue: MessageQueue,
    life: usize,
    offset: u64,
    when: usize,
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// Places that were handled, or that their broker has taken back, and when.
    settled: HashMap<Place, usize>,
    /// Places that were not when progress was set past them, by an administrator or a broker, and when that was.
    excused: HashMap<Place, usize>,
    commits: Vec<Commit>,
}

impl Ledger {
    pub(crate) fn settle(&mut self, place: Place, when: usize) {
        self.settled.entry(place).or_insert(when);
    }

    pub(crate) fn is_settled(&self, place: &Place) -> bool {
        self.settled.contains_key(place)
    }

    /// Somebody has set the progress past what ends here: nobody is to blame for what was not settled by then.
    pub(crate) fn jump(&mut self, queue: &MessageQueue, life: usize, to: u64, when: usize) {
        let passed = (0..to).map(|offset| Place { queue: queue.clone(), life, offset });
        let passed: Vec<_> = passed.filter(|place| !self.is_settled(place)).collect();
        passed.into_iter().for_each(|place| _ = self.excused.entry(place).or_insert(when));
    }

    pub(crate) fn is_excused(&self, place: &Place) -> bool {
        self.excused.contains_key(place)
    }

    pub(crate) fn excuses_any(&self) -> bool {
        !self.excused.is_empty()
    }

    /// How many messages were never settled, and need not be.
    pub(crate) fn passed_over(&self) -> usize {
        self.excused.keys().filter(|place| !self.is_settled(place)).count()
    }

    pub(crate) fn commit(&mut self, queue: MessageQueue, life: usize, offset: u64, when: usize) {
        self.commits.push(Commit { queue, life, offset, when });
    }

    /// The first place below this one that may not be passed.
    pub(crate) fn open_before(&self, place: &Place) -> Option<u64> {
        let mut before = (0..place.offset).map(|offset| Place { offset, ..place.clone() });
        before.find(|place| !self.is_settled(place) && !self.is_excused(place)).map(|place| place.offset)
    }

    /// R-I4: when an offset is stored, everything below it is settled. What was stored too early of these places.
    pub(crate) fn early_commits(&self, places: &HashSet<Place>) -> Vec<String> {
        let mut broken = Vec::new();
        for place in places {
            let settled = self.settled.get(place).into_iter().chain(self.excused.get(place)).min();
            let settled = settled.copied().unwrap_or(usize::MAX);
            let early = self.commits.iter().find(|commit| {
                commit.offset > place.offset
                    && commit.when < settled
                    && commit.life == place.life
                    && commit.queue == place.queue
            });
            if let Some(Commit { queue, offset, .. }) = early {
                let text =
                    format!("R-I4: {queue} was committed at {offset}, and {} was not settled then", place.offset);
                broken.push(text);
            }
        }
        broken.sort_unstable();
        broken
    }
}

/// What was open when the progress was set may be passed from then on. What was stored before that, what lies behind, in another queue or
/// in another log may not. Seen to fail with a jump that excuses one more, or without a time.
#[test]
fn a_jump_excuses_what_it_passes_from_then_on_and_nothing_else() {
    let [here, there] = [0, 1].map(|id| MessageQueue::new("Orders", "broker-0", id));
    let place = |queue: &MessageQueue, life, offset| Place { queue: queue.clone(), life, offset };
    let places: HashSet<_> = (0..6).map(|offset| place(&here, 1, offset)).collect();
    let early = |commit: (u64, usize)| {
        let mut ledger = Ledger::default();
        ledger.settle(place(&here, 1, 0), 1);
        ledger.jump(&here, 1, 3, 10);
        ledger.commit(here.clone(), 1, commit.0, commit.1);
        ledger.early_commits(&places).len()
    };
    assert_eq!(early((3, 11)), 0, "0 is settled, 1 and 2 are passed over");
    assert_eq!(early((3, 9)), 2, "too early");
    assert_eq!(early((4, 11)), 1, "3 was not passed over");
    let mut ledger = Ledger::default();
    ledger.jump(&here, 1, 3, 10);
    assert_eq!(ledger.open_before(&place(&here, 1, 5)), Some(3));
    assert_eq!(ledger.open_before(&place(&here, 0, 5)), Some(0), "another log");
    assert_eq!(ledger.open_before(&place(&there, 1, 5)), Some(0), "another queue");
    assert_eq!(ledger.passed_over(), 3);
}
