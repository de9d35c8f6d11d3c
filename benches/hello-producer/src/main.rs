//! The smallest program that sends a message: what P25 and P27 measure (`README.md` beside this package says how). It is the first
//! program of the documentation.

use ferrocket::{Client, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ferrocket::Error> {
    let client = Client::connect("127.0.0.1:9876").await?;
    let producer = client.producer("shop").build().await?;
    let receipt = producer.send(Message::new("Orders", "hello")).await?;
    println!("{} is stored", receipt.message_id());
    client.shutdown().await?;
    Ok(())
}
