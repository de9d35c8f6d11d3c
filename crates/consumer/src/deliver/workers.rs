use std::sync::atomic::{AtomicU64, Ordering};

/// How many workers there should be and how many there are, in one number, so that both are always seen together.
#[derive(Default)]
pub(crate) struct Workers(AtomicU64);

impl Workers {
    /// How many there should be.
    pub(crate) fn wanted(&self) -> usize {
        (self.0.load(Ordering::Acquire) >> 32) as usize
    }

    /// Says how many there should be. Gives back how many must be started for that: those that are too many, and still busy, count as
    /// long as they are there.
    pub(crate) fn want(&self, wanted: usize) -> usize {
        let wanted = u64::from(u32::try_from(wanted).unwrap_or(u32::MAX));
        let all = |state| (wanted << 32) | wanted.max(state & u64::from(u32::MAX));
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some(all(state)));
        let there = before.unwrap_or_default() & u64::from(u32::MAX);
        wanted.saturating_sub(there) as usize
    }

    /// Whether a worker is one too many, and must end now.
    pub(super) fn one_leaves(&self) -> bool {
        let leave = |state: u64| (state & u64::from(u32::MAX) > state >> 32).then(|| state - 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, leave).is_ok()
    }
}
