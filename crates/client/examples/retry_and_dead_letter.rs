//! Own error types, retries with a delay, dead letters. `-- [NAME_SERVER] [--forever]`

mod common;

use std::time::Duration;

use ferrocket::{Client, ConsumeFrom, Group, Message, Outcome, ReceivedMessage};

#[derive(Debug, thiserror::Error)]
enum BillError {
    #[error("no such account")]
    NoAccount,
    #[error("bank is busy")]
    Busy,
}

async fn charge(message: &ReceivedMessage) -> Result<(), BillError> {
    let account = message.property("account").ok_or(BillError::NoAccount)?;
    if account.starts_with("busy") && message.attempt() == 1 { Err(BillError::Busy) } else { Ok(()) }
}

const BILLING: Group = Group::from_static("billing");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let (billed, gave_up) = (place.end(2), place.end(1));
    let bill = {
        let billed = billed.clone();
        move |message: ReceivedMessage| {
            let billed = billed.clone();
            async move {
                match charge(&message).await {
                    Ok(()) => {
                        billed.one_more();
                        Outcome::consumed()
                    }
                    Err(error @ BillError::NoAccount) => Outcome::dead_letter(error), // never retried
                    Err(error @ BillError::Busy) => Outcome::retry(error).after(Duration::from_secs(1)),
                }
            }
        }
    };
    let bills = client.push_consumer(BILLING).subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _bills = bills.concurrent(bill).max_attempts(5).build().await?;
    let dead = client.push_consumer("billing-dead").subscribe(BILLING.dead_letter_topic(), "*");
    let listener = {
        let gave_up = gave_up.clone();
        move |message: ReceivedMessage| {
            println!("gave up on {}", message.id());
            gave_up.one_more();
            std::future::ready(())
        }
    };
    let _dead = dead.consume_from(ConsumeFrom::Earliest).concurrent(listener).build().await?;
    let producer = client.producer("shop").build().await?;
    producer.send(Message::new("Orders", "1").with_property("account", "a")).await?;
    producer.send(Message::new("Orders", "2").with_property("account", "busy-b")).await?;
    producer.send(Message::new("Orders", "3")).await?;
    billed.reached().await;
    gave_up.reached().await;
    client.shutdown().await?;
    Ok(())
}
