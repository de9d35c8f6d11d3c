//! Interceptors: they change, refuse and watch messages on their way out. `-- [NAME_SERVER]`

mod common;

use ferrocket::{
    BoxError, Client, ErrorKind, Message, ProducerInterceptor, SendError, SendReceipt,
    producer::{SendContext, TransactionEnd},
};

#[derive(Clone)]
struct Audit;

impl ProducerInterceptor for Audit {
    fn before_send(&self, message: &mut Message, _: &SendContext<'_>) -> Result<(), BoxError> {
        if message.topic() == "Forbidden" {
            return Err("policy forbids this topic".into()); // the send fails with ErrorKind::Rejected
        }
        message.set_property("sender", "shop-7");
        Ok(())
    }

    fn after_send(&self, context: &SendContext<'_>, result: Option<Result<&SendReceipt, &SendError>>) {
        println!("{} {} {:?}", context.topic, context.message_id, result.map(|r| r.is_ok()));
    }

    fn transaction_end(&self, end: &TransactionEnd) {
        println!("{} {:?}", end.message_id, end.state);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::connect(place.address.as_str()).await?;
    let stamp = |message: &mut Message| message.set_property("version", 2); // a closure is one, too
    let producer = client.producer("shop").interceptor(Audit).interceptor(stamp).build().await?;
    producer.send(Message::new("Orders", "hello")).await?;
    let error = producer.send(Message::new("Forbidden", "hello")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    println!("{error}");
    client.shutdown().await?;
    Ok(())
}
