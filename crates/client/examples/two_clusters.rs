//! Two clusters in one process: a mirror from one to the other. `-- [--messages N] [--forever]`

mod common;

use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (eastern, western) = (common::place().await?, common::place().await?);
    // A client is a cluster. Nothing is global: two clients share nothing, in one process or in two.
    let east = Client::connect(eastern.address.as_str()).await?;
    let west = Client::connect(western.address.as_str()).await?;
    let copy = west.producer("mirror").build().await?;
    let end = eastern.end(eastern.messages(1));
    let mirror = {
        let end = end.clone();
        move |message: ReceivedMessage| {
            let (send, end) = (copy.send(message.to_message("Orders-copy")), end.clone());
            async move { send.await.map(|_| end.one_more()) }
        }
    };
    let consumer = east.push_consumer("mirror").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _mirror = consumer.concurrent(mirror).build().await?;
    let producer = east.producer("shop").build().await?;
    for n in 0..eastern.messages(1) {
        producer.send(Message::new("Orders", format!("hello {n}"))).await?;
    }
    end.reached().await;
    east.shutdown().await?; // the consumer first: its handlers still need the producer
    west.shutdown().await?;
    Ok(())
}
