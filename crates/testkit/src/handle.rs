use std::{fmt, io, sync::Arc};

use futures_core::future::BoxFuture;

use crate::broker::Broker;

/// One broker of a cluster.
#[derive(Clone, Copy)]
pub struct BrokerHandle<'c> {
    pub(crate) broker: &'c Arc<Broker>,
    slave: Option<&'c Arc<Broker>>,
}

impl<'c> BrokerHandle<'c> {
    pub(crate) fn new(broker: &'c Arc<Broker>, slave: Option<&'c Arc<Broker>>) -> Self {
        Self { broker, slave }
    }

    /// Its slave, to stop and start it and to connect to it.
    ///
    /// # Panics
    ///
    /// When it has none; see [`with_slaves`](crate::TestClusterBuilder::with_slaves).
    pub fn slave(&self) -> BrokerHandle<'c> {
        match self.slave {
            Some(slave) => BrokerHandle { broker: slave, slave: None },
            None => panic!("{} has no slave", self.broker.name()),
        }
    }

    /// Which broker id its pulls and those of its slave say to ask next: 1 sends consumers to the slave, 0 back to the master.
    /// Default 0. A real broker sends them to the slave when they lag far behind.
    #[doc(alias = "suggestWhichBrokerId")]
    pub fn suggest_broker(&self, id: u64) {
        self.broker.suggest(id);
    }

    /// Has its slave take the offsets of all groups now, as it does every 60 s of tokio's clock. Nothing happens while it is
    /// stopped.
    pub fn copy_offsets_to_slave(&self) {
        self.slave().broker.copy_offsets();
    }

    /// Closes its port and all its connections; it is gone from every route at once. What it stores is kept.
    pub fn stop(&self) {
        self.broker.stop();
    }

    /// [Stops](Self::stop) it, and forgets everything that it stores: messages, also those that wait for their time, the offsets and locks
    /// of groups, half messages. Its topics stay, with as many queues as before. Started again it is another broker under the same name.
    /// Its slave goes on with what it has copied until it copies again.
    pub fn erase(&self) {
        self.broker.erase();
    }

    /// Starts it again on another port; name servers learn it at once. Stops it first, if need be.
    ///
    /// # Errors
    ///
    /// When no port can be opened.
    pub fn restart(&self) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(self.broker.clone().start(None))
    }

    /// Starts it again on the port it had.
    ///
    /// # Errors
    ///
    /// When somebody else took the port.
    pub fn restart_on_same_port(&self) -> BoxFuture<'static, io::Result<()>> {
        let port = self.broker.last_port();
        Box::pin(self.broker.clone().start(port))
    }

    /// Makes it a silent peer: connections are accepted and stay open, and nothing is read or answered any more.
    pub fn pause(&self) {
        self.broker.set_paused(true);
    }

    /// Ends the pause. What came meanwhile is answered now.
    pub fn resume(&self) {
        self.broker.set_paused(false);
    }

    /// Where it listens; empty while it is stopped. In memory a made-up address for the [`Connector`](crate::Connector).
    pub fn address(&self) -> String {
        self.broker.address().unwrap_or_default()
    }

    /// Asks the producers about every half message that waits for an end, whatever its age, and says how many there were.
    /// Each counts as one check. A stopped broker asks nobody.
    pub fn check_transactions_now(&self) -> usize {
        self.broker.check_transactions()
    }

    /// How many half messages wait for an end.
    pub fn open_transactions(&self) -> usize {
        self.broker.open_transactions()
    }

    /// Whether it listens.
    pub fn is_running(&self) -> bool {
        self.broker.address().is_some()
    }
}

impl fmt::Debug for BrokerHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerHandle").field("name", &self.broker.server()).field("address", &self.address()).finish()
    }
}
