//! Many concurrent sends in a bounded window; failures give their messages back. `-- [NAME_SERVER] [--messages N]`

mod common;

use ferrocket::{Applied, Client, Message, Topic};
use futures::{StreamExt, stream};

const ORDERS: Topic = Topic::from_static("Orders"); // checked by the compiler

fn retry_later(messages: Vec<Message>) {
    println!("not stored: {}", messages.len());
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    // The producer has a window of its own, shared by all its senders; a send waits for a place in it.
    let producer = client.producer("shop").max_in_flight(512).build().await?;
    let ids = 0..place.messages(2_000);
    let sends = ids.map(|id| producer.send(Message::new(ORDERS, format!("order {id}")).with_key(id)));
    let mut results = stream::iter(sends).buffer_unordered(256);
    let mut stored = 0;
    while let Some(result) = results.next().await {
        match result {
            Ok(_) => stored += 1,
            Err(error) if error.applied() == Applied::Unknown => println!("maybe stored: {error}"),
            Err(error) => retry_later(error.into_messages()), // not stored, and here it is again
        }
    }
    println!("{stored} are stored");
    client.shutdown().await?;
    Ok(())
}
