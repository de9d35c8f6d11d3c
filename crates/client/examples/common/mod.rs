//! Where an example runs: at the name server given as first argument or in `FERROCKET_NAME_SERVER`, else on an embedded broker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket_testkit::TestCluster;
use tokio::sync::Notify;

pub(crate) struct Place {
    pub(crate) address: String,
    _cluster: Option<TestCluster>,
}

pub(crate) async fn place() -> std::io::Result<Place> {
    let given = std::env::args().nth(1).or_else(|| std::env::var("FERROCKET_NAME_SERVER").ok());
    if let Some(address) = given {
        return Ok(Place { address, _cluster: None });
    }
    let cluster = TestCluster::builder().topic("Orders", 4).retry_delay(Duration::from_millis(50)).start().await?;
    Ok(Place { address: cluster.name_servers(), _cluster: Some(cluster) })
}

/// Ends an example after so many messages: what `ctrl_c().await` is in a service.
#[derive(Clone)]
#[allow(dead_code, reason = "not every example consumes")]
pub(crate) struct End(Arc<(AtomicUsize, Notify)>);

#[allow(dead_code, reason = "not every example consumes")]
impl End {
    pub(crate) fn after(messages: usize) -> Self {
        Self(Arc::new((AtomicUsize::new(messages), Notify::new())))
    }

    pub(crate) fn one_more(&self) {
        if self.0.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.1.notify_one();
        }
    }

    pub(crate) async fn reached(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(30), self.0.1.notified()).await;
        assert_eq!(self.0.0.load(Ordering::SeqCst), 0, "the messages did not come");
    }
}
