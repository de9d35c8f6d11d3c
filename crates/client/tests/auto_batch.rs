//! Single sends that leave together do not harm each other.

use std::time::Duration;

use ferrocket::{Client, Message, producer::AutoBatch};
use ferrocket_testkit::TestCluster;

async fn start() -> (TestCluster, Client) {
    let cluster = TestCluster::builder().topic("T", 1).in_memory().start().await.expect("it starts");
    let connector = cluster.connector();
    let dialer = move |address: String| {
        let connector = connector.clone();
        async move { connector.connect(&address).await }
    };
    let client = Client::builder().name_servers(cluster.name_servers()).dialer(dialer);
    let client = client.connect().await.expect("it connects");
    (cluster, client)
}

#[tokio::test(start_paused = true)]
async fn a_send_that_gets_its_place_during_a_shutdown_does_not_wait_for_others() {
    let (cluster, client) = start().await;
    let slow = AutoBatch::default().max_delay(Duration::from_secs(30));
    let producer = client.producer("shop").auto_batch(slow).max_in_flight(1).build().await.expect("it builds");
    let sends = ["a", "b"].map(|body| tokio::spawn(producer.send(Message::new("T", body))));
    while producer.health().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    producer.shutdown().await.expect("nothing is left");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for sent in sends {
        sent.await.expect("no panic").expect("stored");
    }
    assert_eq!(cluster.messages("T").len(), 2);
}
