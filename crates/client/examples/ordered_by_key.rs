//! Messages of one key keep their order, also when they are sent at the same time. `-- [NAME_SERVER] [--messages N]`

mod common;

use std::collections::HashMap;

use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage};
use parking_lot::Mutex;

const STEPS: [&str; 3] = ["created", "paid", "shipped"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let orders = place.messages(10);
    let producer = client.producer("shop").build().await?;
    let run = std::process::id(); // a topic may hold what an earlier run sent
    // The same sharding key goes to the same queue, and the producer keeps its order even where sends are pipelined.
    let steps = (0..orders).flat_map(|order| STEPS.map(|step| (order, step)));
    let key = |order| format!("{run}-{order}");
    let sends = steps.map(|(order, step)| producer.send(Message::new("Orders", step).with_sharding_key(key(order))));
    futures::future::try_join_all(sends).await?;
    let end = place.end(orders * STEPS.len());
    let seen = std::sync::Arc::new(Mutex::new(HashMap::<String, Vec<(u64, String)>>::new()));
    let listener = {
        let (end, seen) = (end.clone(), seen.clone());
        move |message: ReceivedMessage| {
            let step = String::from_utf8_lossy(message.body()).into_owned();
            let order = message.sharding_key().unwrap_or_default().to_owned();
            if order.starts_with(&format!("{run}-")) {
                seen.lock().entry(order).or_default().push((message.offset(), step));
                end.one_more();
            }
            std::future::ready(())
        }
    };
    let consumer = client.push_consumer("projection").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(listener).build().await?;
    end.reached().await;
    for (order, mut steps) in std::mem::take(&mut *seen.lock()) {
        steps.sort();
        let steps: Vec<_> = steps.into_iter().map(|(_, step)| step).collect();
        println!("order {order}: {steps:?}");
        assert_eq!(steps, STEPS, "the steps of order {order} lie in the queue as they were sent");
    }
    client.shutdown().await?;
    Ok(())
}
