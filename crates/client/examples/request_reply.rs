//! Request and reply, both ends; and a request that nobody answers. `-- [NAME_SERVER] [--messages N]`

mod common;

use std::time::Duration;

use ferrocket::{Client, ConsumeFrom, ErrorKind, Message, ReceivedMessage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let producer = client.producer("prices").build().await?;
    let replies = producer.clone();
    let server = client.push_consumer("price-server").subscribe("PriceRequests", "*");
    let _server = server
        .consume_from(ConsumeFrom::Earliest)
        .concurrent(move |request: ReceivedMessage| {
            let replies = replies.clone();
            async move {
                replies.send(request.reply("42.00 EUR")?).await?;
                Ok::<(), ferrocket::BoxError>(())
            }
        })
        .build()
        .await?;
    for _ in 0..place.messages(1) {
        match producer.request(Message::new("PriceRequests", "apples")).timeout(Duration::from_secs(10)).await {
            Ok(reply) => println!("{:?}", reply.body()),
            Err(error) => return Err(error.into()),
        }
    }
    match producer.request(Message::new("NobodyListens", "pears")).timeout(Duration::from_millis(500)).await {
        Err(error) if error.kind() == ErrorKind::NoReply => println!("asked, but nobody answered"),
        Ok(reply) => return Err(format!("who said {:?}?", reply.body()).into()),
        Err(error) => return Err(error.into()),
    }
    client.shutdown().await?;
    Ok(())
}
