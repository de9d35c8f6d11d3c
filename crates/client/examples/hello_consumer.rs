//! Hello push consumer. `cargo run --example hello_consumer -- [NAME_SERVER] [--messages N] [--forever]`

mod common;

use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let end = place.end(place.messages(1));
    let listener = {
        let end = end.clone();
        move |message: ReceivedMessage| {
            println!("{}: {:?}", message.id(), message.body());
            end.one_more();
            std::future::ready(())
        }
    };
    let consumer = client.push_consumer("billing").subscribe("Orders", "paid || refunded");
    let _consumer = consumer.consume_from(ConsumeFrom::Earliest).concurrent(listener).build().await?;
    let producer = client.producer("shop").build().await?;
    producer.send(Message::new("Orders", "nobody wants this").with_tag("created")).await?;
    for n in 0..place.messages(1) {
        producer.send(Message::new("Orders", format!("hello {n}")).with_tag("paid")).await?;
    }
    end.reached().await; // a service waits for `tokio::signal::ctrl_c()`
    client.shutdown().await?;
    Ok(())
}
