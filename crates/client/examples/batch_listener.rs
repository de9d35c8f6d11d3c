//! A batch listener that settles what it stored and gets the rest again. `-- [NAME_SERVER] [--messages N] [--forever]`

mod common;

use ferrocket::{BatchOutcome, Client, ConsumeFrom, Message, ReceivedMessage};

async fn insert(rows: &[ReceivedMessage]) -> Result<usize, std::io::Error> {
    Ok(rows.len())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let producer = client.producer("shop").build().await?;
    let messages = place.messages(100);
    for n in 0..messages {
        producer.send(Message::new("Orders", format!("{n}"))).await?;
    }
    let end = place.end(messages);
    let store = {
        let end = end.clone();
        move |batch: Vec<ReceivedMessage>| {
            let end = end.clone();
            async move {
                let stored = insert(&batch).await?; // an error retries the whole batch
                (0..stored).for_each(|_| end.one_more());
                Ok::<_, std::io::Error>(BatchOutcome::first(stored, "table is full"))
            }
        }
    };
    let consumer = client.push_consumer("warehouse").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrent_batch(32, store).concurrency(8).build().await?;
    end.reached().await;
    consumer.shutdown().await?;
    client.shutdown().await?;
    Ok(())
}
