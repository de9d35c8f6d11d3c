//! Transactions: explicit, in one call, and what the checker answers for senders that went away. `-- [NAME_SERVER] [--forever]`

mod common;

use ferrocket::{Client, ConsumeFrom, Message, ReceivedMessage, TransactionChecker, TransactionState};

#[derive(Clone)]
struct Payments; // imagine a pool

async fn pay(_payments: &Payments, order: u64) -> std::io::Result<TransactionState> {
    Ok(if order > 0 { TransactionState::Commit } else { TransactionState::Rollback })
}

/// Answers for half messages whose sender went away. An error means: ask again.
impl TransactionChecker for Payments {
    type Output = std::io::Result<TransactionState>;

    async fn check(&self, half: ReceivedMessage) -> Self::Output {
        println!("what became of order {:?}? It was paid.", half.keys().next());
        Ok(TransactionState::Commit)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let end = place.end(3);
    let listener = {
        let end = end.clone();
        move |message: ReceivedMessage| {
            println!("visible: {:?}", message.body());
            end.one_more();
            std::future::ready(())
        }
    };
    let consumer = client.push_consumer("delivery").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(listener).build().await?;
    let payments = Payments;
    let producer = client.transaction_producer("shop", payments.clone()).build().await?;
    // Explicit: begin, your own work, end.
    let transaction = producer.begin(Message::new("Orders", "paid 1").with_key(1)).await?;
    match pay(&payments, 1).await {
        Ok(state) => transaction.end(state).await?, // or .commit(), .rollback()
        Err(error) => println!("{}: {error}", transaction.message_id()),
    }
    // Listener style: the same in one call; an error in the closure means `Unknown`.
    for order in [2, 0] {
        let half = Message::new("Orders", format!("paid {order}")).with_key(order);
        let (receipt, state) = producer.send_in_transaction(half, async |_| pay(&payments, order).await).await?;
        println!("{} {state:?}", receipt.message_id());
    }
    // Dropped: the broker asks the checker, some time later.
    drop(producer.begin(Message::new("Orders", "paid 3").with_key(3)).await?);
    end.reached().await;
    client.shutdown().await?;
    Ok(())
}
