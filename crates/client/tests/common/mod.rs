//! Clusters in memory, and clients of theirs.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod wire;

use std::time::Duration;

use ferrocket::{Client, ClientBuilder};
use ferrocket_testkit::{TestCluster, TestClusterBuilder};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Waits for what must happen; a paused clock comes to the limit at once when nothing does.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(600 * SECOND, future).await.expect("it should have happened by now")
}

/// A cluster of so many brokers, in memory.
pub(crate) fn brokers(count: usize) -> TestClusterBuilder {
    TestCluster::builder().in_memory().brokers(count).topic("Orders", 2)
}

/// Makes clients that reach a cluster in memory.
pub(crate) fn client_of(cluster: &TestCluster) -> ClientBuilder {
    let connector = cluster.connector();
    Client::builder().name_servers(cluster.name_servers()).dialer(move |address: String| {
        let connector = connector.clone();
        async move { connector.connect(&address).await }
    })
}

/// A cluster in memory, and a client of it.
pub(crate) async fn start(builder: TestClusterBuilder) -> (TestCluster, Client) {
    let cluster = builder.in_memory().start().await.expect("it starts");
    let client = client_of(&cluster).connect().await.expect("it connects");
    (cluster, client)
}
