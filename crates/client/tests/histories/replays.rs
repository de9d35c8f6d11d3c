//! Which messages may come to a member again, and which offsets may be behind, where each member has a progress of its own.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use ferrocket::MessageQueue;
use tokio::time::Instant;

use crate::ledger::Place;

/// A queue began anew at an offset: what lies there or behind may come once more.
struct Anew {
    queue: MessageQueue,
    from: u64,
    /// What was settled until then may come again.
    until: Instant,
}

#[derive(Default)]
pub(crate) struct Replays {
    anew: Vec<Anew>,
    settled: HashMap<Place, Instant>,
}

impl Replays {
    /// `late`: how long it may take until that is so.
    pub(crate) fn begins(&mut self, queue: MessageQueue, from: u64, late: Duration) {
        self.anew.push(Anew { queue, from, until: Instant::now() + late });
    }

    pub(crate) fn settle(&mut self, place: Place) {
        self.settled.insert(place, Instant::now());
    }

    /// Whether a message may be handed out that was settled before.
    pub(crate) fn may_come(&self, place: &Place) -> bool {
        let Some(settled) = self.settled.get(place) else { return true };
        self.reasons(place).any(|anew| *settled <= anew.until)
    }

    /// Whether what was stored is behind: the message there was settled meanwhile, and may not have come again since.
    pub(crate) fn is_behind(&self, stored: &Place, meanwhile: RangeInclusive<Instant>) -> bool {
        let last = self.reasons(stored).map(|anew| anew.until).max();
        self.settled
            .get(stored)
            .is_some_and(|settled| meanwhile.contains(settled) && last.is_none_or(|last| *settled > last))
    }

    fn reasons(&self, place: &Place) -> impl Iterator<Item = &Anew> {
        let (queue, offset) = (place.queue.clone(), place.offset);
        self.anew.iter().filter(move |anew| anew.queue == queue && anew.from <= offset)
    }
}
