use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{BoxFuture, Leftover, spawn};

/// A shutdown that runs once, however often and by however many it is asked for. It goes on when who asked goes away.
#[derive(Debug, Default)]
pub struct Ending {
    running: Mutex<Option<watch::Receiver<Ended>>>,
}

/// What was left undone, once it is over.
type Ended = Option<Arc<Vec<Leftover>>>;

impl Ending {
    /// Not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.running.lock().is_some()
    }

    /// Runs `work` in the background if nobody did before, and waits for its end. What was left undone is told to those who
    /// wait for it; who comes after the end is told nothing twice. Must be called within a runtime.
    pub fn run(
        &self,
        work: impl FnOnce() -> BoxFuture<'static, Vec<Leftover>>,
    ) -> impl Future<Output = Vec<Leftover>> + Send + 'static {
        let mut ended = self
            .running
            .lock()
            .get_or_insert_with(|| {
                let (sender, receiver) = watch::channel(None);
                let work = work();
                // Ends by itself: the work has a deadline.
                spawn(Box::pin(async move {
                    sender.send_replace(Some(Arc::new(work.await)));
                }));
                receiver
            })
            .clone();
        let is_over = ended.borrow().is_some();
        async move {
            if is_over {
                return Vec::new();
            }
            match ended.wait_for(Option::is_some).await {
                Ok(leftovers) => leftovers.as_deref().cloned().unwrap_or_default(),
                Err(_) => Vec::new(), // the runtime ended first
            }
        }
    }
}
