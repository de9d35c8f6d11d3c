//! A shutdown that lets handlers finish, commits and unregisters, and says what it could not finish. `-- [NAME_SERVER] [--forever]`

mod common;

use std::time::Duration;

use ferrocket::{Client, ConsumeFrom, Leftover, Message, ReceivedMessage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let end = place.end(1);
    let handle = {
        let end = end.clone();
        move |message: ReceivedMessage| {
            let end = end.clone();
            async move {
                end.one_more();
                tokio::time::sleep(Duration::from_millis(20)).await;
                println!("{}", message.id());
            }
        }
    };
    let consumer = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(handle).build().await?;
    client.producer("shop").build().await?.send(Message::new("Orders", "hello")).await?;
    end.reached().await; // a service waits for `tokio::signal::ctrl_c()`
    // Stops pulling, lets handlers finish, commits, flushes sends, unregisters, closes.
    if let Err(error) = client.shutdown().within(Duration::from_secs(25)).await {
        for leftover in error.leftovers() {
            match leftover {
                Leftover::Handlers { group, messages } => eprintln!("{group}: {messages} will come again"),
                other => eprintln!("{other:?}"),
            }
        }
        return Err(error.into());
    }
    Ok(())
}
