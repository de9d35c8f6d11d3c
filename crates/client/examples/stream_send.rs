//! A stream of messages, pipelined, receipts in order. `-- [NAME_SERVER] [--messages N]`

mod common;

use ferrocket::{Client, Message};
use futures::{StreamExt, TryStreamExt, stream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let producer = client.producer("shop").build().await?;
    let lines = stream::iter((0..place.messages(2_000)).map(|n| format!("line {n}")));
    // A send is an owned future, so every stream adapter works: 256 in flight, receipts in order.
    let receipts: Vec<_> =
        lines.map(|line| producer.send(Message::new("Lines", line))).buffered(256).try_collect().await?;
    println!(
        "{} lines are stored, the last one in {:?}",
        receipts.len(),
        receipts.last().and_then(|last| last.queue())
    );
    client.shutdown().await?;
    Ok(())
}
