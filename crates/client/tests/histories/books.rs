//! Whose history something belongs to: the group's, or that of one member where each has a progress of its own.

use std::{collections::BTreeMap, sync::Arc};

use ferrocket_testkit::TestCluster;
use parking_lot::Mutex;

use crate::history::{History, Topics};

type Shared = Arc<Mutex<History>>;

/// The histories of a run.
#[derive(Clone)]
pub(crate) struct Books {
    /// The group's, and where everybody's is begun from.
    pub(crate) base: Shared,
    /// By seat, in broadcasting.
    seats: Option<Arc<Mutex<BTreeMap<usize, Shared>>>>,
}

impl Books {
    pub(crate) fn new(is_broadcast: bool) -> Self {
        let base = Arc::new(Mutex::new(History::new()));
        Self { base, seats: is_broadcast.then(Arc::default) }
    }

    /// The history that what this one does belongs to.
    pub(crate) fn of(&self, who: usize) -> Shared {
        let Some(seats) = self.seats.as_ref().filter(|_| who > 0) else { return self.base.clone() };
        let mut seats = seats.lock();
        seats.entry(who).or_insert_with(|| Arc::new(Mutex::new(self.base.lock().of_seat(who)))).clone()
    }

    /// Every history in which messages are accounted for.
    pub(crate) fn all(&self) -> Vec<Shared> {
        match &self.seats {
            Some(seats) => seats.lock().values().cloned().collect(),
            None => vec![self.base.clone()],
        }
    }

    /// A broker is about to be replaced by an empty one.
    pub(crate) fn lose_log(&self, broker: &str, port: u16, cluster: &TestCluster, topics: &Topics) {
        if self.seats.is_some() {
            self.base.lock().loses_log(broker, port, cluster, topics);
        }
        self.all().iter().for_each(|history| history.lock().loses_log(broker, port, cluster, topics));
    }
}
