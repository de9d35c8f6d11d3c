use std::sync::{Arc, Weak};

use ferrocket_backend::{BoxFuture, side_by_side};
use ferrocket_protocol::request::Heartbeat;
use tokio::time::Instant;

use crate::backend::Shared;

/// Tells every broker who is here, once per interval and whenever somebody asks for it.
pub(crate) async fn run(shared: Weak<Shared>) {
    let Some(strong) = shared.upgrade() else { return };
    let interval = strong.heartbeat_interval;
    drop(strong);
    let mut next = Instant::now() + interval;
    loop {
        {
            let Some(strong) = shared.upgrade() else { return };
            // Wakes up now and then to see whether the backend is still there.
            let _ = tokio::time::timeout_at(next, strong.members.woken()).await;
        }
        let Some(strong) = shared.upgrade() else { return };
        next = Instant::now() + interval;
        strong.clone().beat().await;
    }
}

impl Shared {
    /// One round: all brokers side by side, so that one that is away holds up nobody (R12).
    pub(crate) fn beat(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let shared = self.clone();
        async move {
            if shared.members.is_empty() {
                return;
            }
            let heartbeat = Arc::new(Heartbeat::new(&shared.members.heartbeat()));
            let brokers = shared.brokers.for_heartbeat(shared.members.has_consumers());
            let calls = brokers.into_iter().map(|(broker, address)| -> BoxFuture<'static, ()> {
                let (shared, heartbeat) = (shared.clone(), heartbeat.clone());
                Box::pin(async move {
                    let operation = || "send a heartbeat".to_owned();
                    let told = shared.call(&broker, &address, &*heartbeat, shared.request_timeout, operation).await;
                    if let Err(failure) = told {
                        tracing::debug!(%failure, "a heartbeat did not arrive");
                    }
                })
            });
            side_by_side(calls).await;
        }
    }
}
