//! One-way messages: no broker answers, nothing is retried. `-- [NAME_SERVER] [--messages N]`

mod common;

use ferrocket::{Client, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let producer = client.producer("access-log").build().await?;
    for line in ["GET /", "GET /favicon.ico"].iter().cycle().take(place.messages(2)) {
        // Ok means: handed over. No broker answers, nothing is retried.
        producer.send_oneway(Message::new("Orders", *line)).await?;
    }
    client.shutdown().await?;
    Ok(())
}
