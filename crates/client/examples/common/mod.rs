//! Where an example runs and how long: `[NAME_SERVER] [--messages N] [--forever]`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use ferrocket_testkit::TestCluster;
use tokio::sync::Notify;

#[derive(Parser)]
struct Arguments {
    /// A name server; without one, an embedded broker is used.
    #[arg(env = "FERROCKET_NAME_SERVER")]
    name_server: Option<String>,
    /// How many messages, where the example leaves it open.
    #[arg(long)]
    messages: Option<usize>,
    /// Run until Ctrl-C, as a service does. Otherwise an example ends when its messages have come.
    #[arg(long)]
    forever: bool,
}

/// What the arguments say.
pub(crate) struct Place {
    pub(crate) address: String,
    arguments: Arguments,
    _cluster: Option<TestCluster>,
}

pub(crate) async fn place() -> std::io::Result<Place> {
    let arguments = Arguments::parse();
    if let Some(address) = arguments.name_server.clone() {
        return Ok(Place { address, arguments, _cluster: None });
    }
    let cluster = TestCluster::builder().topic("Orders", 4).retry_delay(Duration::from_millis(50)).start().await?;
    Ok(Place { address: cluster.name_servers(), arguments, _cluster: Some(cluster) })
}

#[allow(dead_code, reason = "not every example counts")]
impl Place {
    /// How many messages: as the arguments say, or as many as usual.
    pub(crate) fn messages(&self, usual: usize) -> usize {
        self.arguments.messages.unwrap_or(usual)
    }

    /// The end of the example: after so many messages, or at Ctrl-C.
    pub(crate) fn end(&self, after: usize) -> End {
        let counting = Counting { left: AtomicUsize::new(after), zero: Notify::new(), forever: self.arguments.forever };
        End(Arc::new(counting))
    }
}

/// Ends an example after so many messages: what `ctrl_c().await` is in a service.
#[derive(Clone)]
pub(crate) struct End(Arc<Counting>);

struct Counting {
    left: AtomicUsize,
    zero: Notify,
    forever: bool,
}

#[allow(dead_code, reason = "not every example consumes")]
impl End {
    pub(crate) fn one_more(&self) {
        let one_less = |left: usize| left.checked_sub(1);
        if self.0.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) == Ok(1) {
            self.0.zero.notify_one();
        }
    }

    pub(crate) async fn reached(&self) {
        if self.0.forever {
            tokio::signal::ctrl_c().await.ok();
            return;
        }
        if self.0.left.load(Ordering::SeqCst) > 0 {
            let _ = tokio::time::timeout(Duration::from_secs(60), self.0.zero.notified()).await;
        }
        assert_eq!(self.0.left.load(Ordering::SeqCst), 0, "the messages did not come");
    }
}
