//! Hello producer. `cargo run --example hello_producer -- [NAME_SERVER] [--messages N]`

mod common;

use ferrocket::{Client, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let producer = client.producer("shop").build().await?;
    for n in 0..place.messages(1) {
        let receipt = producer.send(Message::new("Orders", format!("hello {n}"))).await?;
        println!("{} is stored", receipt.message_id());
    }
    client.shutdown().await?;
    Ok(())
}
