//! Program 28: a unit test of user code with a scripted fault.

use ferrocket::{Applied, Client, Message, Producer, SendError};
use ferrocket_testkit::{Call, Fault, ResponseCode, TestCluster};

/// The code under test: it must not pay twice when the outcome is unknown.
async fn order(producer: &Producer, id: u64) -> Result<bool, SendError> {
    match producer.send(Message::new("Orders", "paid").with_key(id)).max_attempts(1).await {
        Ok(_) => Ok(true),
        Err(error) if error.applied() == Applied::Unknown => Ok(false),
        Err(error) => Err(error),
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_not_paid_twice() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = TestCluster::builder().topic("Orders", 4).start().await?;
    let busy = cluster.fault(Fault::on(Call::Send).times(1).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    let _cut = cluster.fault(Fault::on(Call::Send).skip(1).times(1).apply_then_disconnect());
    let client = Client::connect(cluster.name_servers()).await?;
    let producer = client.producer("shop").build().await?;
    assert_eq!(order(&producer, 1).await.unwrap_err().applied(), Applied::No);
    assert!(!order(&producer, 2).await?);
    assert_eq!(cluster.messages("Orders").len(), 1); // stored, though the sender cannot know
    assert_eq!(busy.hits(), 1);
    client.shutdown().await?;
    Ok(())
}
