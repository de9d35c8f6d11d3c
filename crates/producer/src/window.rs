use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What may be in flight at once, by count and by bytes. A send waits for its place; the place is given back when its future
/// ends or is dropped.
#[derive(Clone, Debug)]
#[doc(alias = "backPressureForAsyncSendNum")]
pub(crate) struct Window {
    count: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_count: u32,
    max_bytes: u32,
}

/// A place in the window.
#[derive(Debug)]
pub(crate) struct Place {
    _count: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Window {
    pub(crate) fn new(max_count: u32, max_bytes: u32) -> Self {
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { count: semaphore(max_count), bytes: semaphore(max_bytes), max_count, max_bytes }
    }

    /// Takes a place, if there is one.
    pub(crate) fn try_enter(&self, bytes: usize) -> Option<Place> {
        let count = self.count.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(Place { _count: count, _bytes: bytes })
    }

    /// Waits for a place. `None` when none came free in time.
    pub(crate) async fn enter(&self, bytes: usize, limit: Duration) -> Option<Place> {
        let bytes = self.permits(bytes);
        let waiting = async {
            let count = self.count.clone().acquire_owned().await.ok()?;
            let bytes = self.bytes.clone().acquire_many_owned(bytes).await.ok()?;
            Some(Place { _count: count, _bytes: bytes })
        };
        tokio::time::timeout(limit, waiting).await.ok().flatten()
    }

    /// A message larger than the window takes all of it.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.max_bytes)
    }

    /// How many are in flight, and how many bytes.
    pub(crate) fn in_flight(&self) -> (usize, usize) {
        let taken = |max: u32, semaphore: &Semaphore| (max as usize).saturating_sub(semaphore.available_permits());
        (taken(self.max_count, &self.count), taken(self.max_bytes, &self.bytes))
    }

    /// Waits until nothing is in flight. `false` when the time was over first.
    pub(crate) async fn drain(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.count.acquire_many(self.max_count)).await.is_ok()
    }
}
