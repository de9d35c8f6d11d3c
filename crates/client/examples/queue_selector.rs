//! The queue of a send: chosen by the producer's own rule, for one send, or named. `-- [NAME_SERVER]`

mod common;

use ferrocket::{Client, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    // For every send of this producer: an index, or `None` for "no queue will do".
    let producer = client
        .producer("shop")
        .select_queue(|queues, message| {
            let home = message.property("region").unwrap_or("broker");
            queues.iter().position(|queue| queue.broker().as_str().starts_with(home))
        })
        .build()
        .await?;
    let receipt = producer.send(Message::new("Orders", "hello")).await?;
    println!("by the producer's rule: {:?}", receipt.queue());
    let error = producer.send(Message::new("Orders", "hello").with_property("region", "moon")).await.unwrap_err();
    println!("no queue will do: {error}");
    // For one send, or to one queue.
    let receipt = producer.send(Message::new("Orders", "a")).select_queue(|queues, _| 7 % queues.len()).await?;
    println!("by a rule for one send: {:?}", receipt.queue());
    let queues = client.queues("Orders").await?;
    let receipt = producer.send(Message::new("Orders", "b")).to_queue(&queues[0]).await?;
    println!("to a queue: {:?}", receipt.queue());
    client.shutdown().await?;
    Ok(())
}
