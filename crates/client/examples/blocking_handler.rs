//! A handler that blocks: it runs on tokio's blocking pool, and I/O never waits for it. `-- [NAME_SERVER] [--messages N] [--forever]`

mod common;

use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage, blocking};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let messages = place.messages(10);
    let end = place.end(messages);
    let render = {
        let end = end.clone();
        blocking(move |message: ReceivedMessage| -> Result<(), std::io::Error> {
            for page in 0..100 {
                if message.is_revoked() {
                    return Err(std::io::Error::other(format!("stopped at page {page}")));
                }
                std::thread::yield_now(); // imagine work
            }
            end.one_more();
            Ok(())
        })
    };
    let consumer = client.push_consumer("pdf").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(render).concurrency(4).build().await?;
    let producer = client.producer("shop").build().await?;
    for n in 0..messages {
        producer.send(Message::new("Orders", format!("invoice {n}"))).await?;
    }
    end.reached().await;
    client.shutdown().await?;
    Ok(())
}
