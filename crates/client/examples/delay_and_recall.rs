//! Messages that are handed out later, by level and by time, and one that is taken back. `-- [NAME_SERVER]`

mod common;

use std::time::{Duration, SystemTime};

use ferrocket::{Client, ConsumeFrom, Message, RecallHandle, ReceivedMessage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let end = place.end(2);
    let listener = {
        let end = end.clone();
        move |message: ReceivedMessage| {
            println!("now: {:?}", message.body());
            end.one_more();
            std::future::ready(())
        }
    };
    let producer = client.producer("shop").build().await?;
    producer.send(Message::new("Reminders", "level 1 is 1 s").with_delay_level(1)).await?;
    producer.send(Message::new("Reminders", "soon").deliver_after(Duration::from_secs(2))).await?;
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let receipt = producer.send(Message::new("Reminders", "cancel me").deliver_at(tomorrow)).await?;
    // Old brokers cannot take messages back, and give no handle.
    if let Some(handle) = receipt.recall_handle() {
        let saved = handle.to_string(); // may live in a database
        let handle: RecallHandle = saved.parse()?;
        match producer.recall("Reminders", &handle).await {
            Ok(id) => println!("took back {id}"),
            Err(error) => println!("{error}"), // brokers allow it only with `recallMessageEnable`
        }
    }
    let consumer = client.push_consumer("reader").subscribe("Reminders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(listener).build().await?;
    end.reached().await;
    client.shutdown().await?;
    Ok(())
}
