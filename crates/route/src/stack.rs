use std::{sync::Arc, time::Duration};

use ferrocket_backend::{Backend, Scope};

use crate::{Budget, RouteTable};

/// What producers and consumers of one cluster are built on, and share.
#[derive(Clone)]
pub struct Stack {
    /// The transport.
    pub backend: Arc<dyn Backend>,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// Who is to be ended before the transport.
    pub scope: Arc<Scope>,
    /// What consumers may keep in memory together.
    pub budget: Arc<Budget>,
    /// How long a call may take that has no limit of its own.
    pub request_timeout: Duration,
}

impl Stack {
    /// A stack with the usual times: routes are refreshed every 30 s, calls take 3 s at most. Starts the refreshing task on the
    /// current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self::with_times(backend, Duration::from_secs(30), Duration::from_secs(3))
    }

    /// A stack with other times.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn with_times(backend: Arc<dyn Backend>, route_refresh: Duration, request_timeout: Duration) -> Self {
        let routes = RouteTable::start(backend.clone(), route_refresh, request_timeout);
        Self { backend, routes, scope: Arc::default(), budget: Arc::default(), request_timeout }
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("scope", &self.scope).finish_non_exhaustive()
    }
}
