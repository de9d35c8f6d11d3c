//! Allocations, counted exactly. The program must have [`INSTRUMENTED_SYSTEM`] as its global allocator.

use stats_alloc::Region;
pub use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::ops::Op;

/// Allocations and bytes of one repetition. A buffer that grew counts as an allocation of what it grew by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allocated {
    /// How many.
    pub count: f64,
    /// How many bytes.
    pub bytes: f64,
}

/// Starts counting.
#[derive(Debug)]
pub struct Counter(Region<'static, std::alloc::System>);

impl Default for Counter {
    fn default() -> Self {
        Self::start()
    }
}

impl Counter {
    /// From now on.
    pub fn start() -> Self {
        Self(Region::new(&INSTRUMENTED_SYSTEM))
    }

    /// What was allocated since, by repetition.
    pub fn per(&self, repetitions: usize) -> Allocated {
        let stats = self.0.change();
        let per = |count: usize| count as f64 / repetitions.max(1) as f64;
        Allocated { count: per(stats.allocations + stats.reallocations), bytes: per(stats.bytes_allocated) }
    }
}

/// Counts what one operation allocates.
pub fn of_op(op: Op) -> Allocated {
    const TIMES: usize = 3_200;
    let mut counter = None;
    op.run(TIMES, || counter = Some(Counter::start()));
    let counter = counter.unwrap_or_default();
    counter.per(TIMES)
}
