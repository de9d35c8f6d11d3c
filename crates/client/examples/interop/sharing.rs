//! A member of a group that tells when each delivery begins and ends, and a producer that sends all the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage, producer::Compression};
use serde_json::json;

use crate::deliver::end_of_input;

/// For one send. The machine is busy when many members start.
const LIMIT: Duration = Duration::from_secs(10);

/// Sends a message and waits, until its input ends. Prints its client's id, and the id of every message.
pub(crate) async fn flow(name_server: &str, topic: &str, millis: u64) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let producer = client.producer("interop-flow").compression(Compression::off()).build().await?;
    println!("{}", json!({ "client": client.client_id() }));
    let mut ended = std::pin::pin!(end_of_input());
    for index in 0_u64.. {
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(millis), &mut ended).await {
            ended?;
            break;
        }
        let receipt = producer.send(Message::new(topic, format!("message {index}"))).timeout(LIMIT).await?;
        println!("{}", json!({ "id": receipt.message_id().as_str() }));
    }
    client.shutdown().await?;
    Ok(())
}

/// Consumes, with a listener that takes a while, until its input ends. Prints its client's id, and two lines for every delivery.
pub(crate) async fn share(name_server: &str, topic: &str, group: &str, kind: &str, millis: u64) -> Result<()> {
    let client = Client::connect(name_server).await?;
    let member = client.push_consumer(group).subscribe(topic, "*").consume_from(ConsumeFrom::Earliest);
    let listener = move |message: ReceivedMessage| async move {
        print("begin", &message);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        print("end", &message);
    };
    let consumer = match kind {
        "concurrent" => member.concurrent(listener).build().await?,
        "orderly" => member.orderly(listener).build().await?,
        other => bail!("unknown kind {other:?}"),
    };
    println!("{}", json!({ "client": client.client_id() }));
    end_of_input().await?;
    consumer.shutdown().await?;
    client.shutdown().await?;
    Ok(())
}

fn print(event: &str, message: &ReceivedMessage) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = json!({
        "event": event,
        "at": now.as_micros() as u64,
        "id": message.id().as_str(),
        "queue": message.queue().id(),
        "offset": message.offset(),
        "attempt": message.attempt(),
    });
    println!("{line}");
}
