//! A batch: one request, one receipt per message. And a producer that batches by itself. `-- [NAME_SERVER] [--messages N]`

mod common;

use std::time::Duration;

use ferrocket::{Client, Message, producer::AutoBatch};
use futures::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    // One request, stored as a whole or not at all, one receipt per message.
    let producer = client.producer("shop").build().await?;
    let batch = (0..place.messages(32)).map(|n| Message::new("Orders", format!("{n}")).with_tag("bulk"));
    for receipt in producer.send_batch(batch).timeout(Duration::from_secs(5)).await? {
        println!("{} at {:?}", receipt.message_id(), receipt.offset());
    }
    // Or let the producer batch what is sent at the same time.
    let metering = client.producer("metering").auto_batch(AutoBatch::default()).build().await?;
    let readings = (0..place.messages(32)).map(|n| metering.send(Message::new("Readings", format!("21.{n}"))));
    for receipt in try_join_all(readings).await? {
        println!("{} at {:?}", receipt.message_id(), receipt.offset());
    }
    client.shutdown().await?;
    Ok(())
}
