use std::{fmt, sync::Arc, time::Duration};

use ferrocket_protocol::Request;
use tokio::time::Instant;

use crate::{Answer, Connection, pool::Entry};

/// One address of a [`Pool`](crate::Pool), for those who send to it often: no look-up by name, and requests that begin at once.
/// Cheap to clone. What needs waiting (a connection that must be dialed, a full buffer) is left to the pool's own calls.
///
/// Keeps nothing open: connections belong to the pool. When the pool forgets the address, nothing begins here any more.
#[derive(Clone)]
pub struct Endpoint {
    entry: Arc<Entry>,
}

impl Endpoint {
    pub(crate) fn new(entry: Arc<Entry>) -> Self {
        Self { entry }
    }

    /// The address, as it is dialed.
    pub fn address(&self) -> &str {
        &self.entry.address
    }

    /// Queues a request that must be answered within `timeout` from `began` on. `None` when it cannot be queued right now, for
    /// whatever reason: [`Pool::call`](crate::Pool::call) waits where that helps, and says what is wrong where it does not.
    pub fn begin<R: Request>(&self, request: &R, began: Instant, timeout: Duration) -> Option<Answer<R::Response>> {
        Answer::begin(self.entry.usable()?, request, began + timeout, timeout)
    }

    /// Queues a request that is not answered. `false` when it cannot be queued right now:
    /// [`Pool::send_one_way`](crate::Pool::send_one_way) waits, or says what is wrong.
    pub fn begin_one_way<R: Request>(&self, request: &R) -> bool {
        let submit = |connection: &Connection| connection.shared().submit_one_way(request, None).unwrap_or(false);
        self.entry.with_usable(submit).unwrap_or(false)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.entry.address).finish_non_exhaustive()
    }
}
