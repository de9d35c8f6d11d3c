use std::{
    any::Any,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{BoxFuture, Leftover};

/// In which order things of one client end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// First: their handlers may still need producers.
    Consumers,
    /// Then these.
    Producers,
    /// Then what has watched them.
    Trace,
}

/// Something that a client must end before itself.
pub trait Managed: Send + Sync + 'static {
    /// When it ends.
    fn stage(&self) -> Stage;
    /// Ends it; doing so twice is harmless. Gives back what was left undone.
    fn end(self: Arc<Self>, deadline: Duration) -> BoxFuture<'static, Vec<Leftover>>;
    /// Its health, as a value that the client knows how to read.
    fn report(&self) -> Box<dyn Any + Send>;
}

/// Who must be shut down before whom: all producers and consumers of one client. Holds nobody alive.
#[derive(Default)]
pub struct Scope {
    members: Mutex<Vec<Weak<dyn Managed>>>,
}

impl Scope {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds somebody, who is forgotten when dropped.
    pub fn add(&self, member: &Arc<dyn Managed>) {
        let mut members = self.members.lock();
        members.retain(|known| known.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// Those of one stage who are still alive.
    pub fn members(&self, stage: Stage) -> Vec<Arc<dyn Managed>> {
        let alive: Vec<_> = self.members.lock().iter().filter_map(Weak::upgrade).collect();
        alive.into_iter().filter(|member| member.stage() == stage).collect()
    }

    /// The reports of all who are alive.
    pub fn reports(&self) -> Vec<Box<dyn Any + Send>> {
        let alive: Vec<_> = self.members.lock().iter().filter_map(Weak::upgrade).collect();
        alive.iter().map(|member| member.report()).collect()
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("members", &self.members.lock().len()).finish()
    }
}
