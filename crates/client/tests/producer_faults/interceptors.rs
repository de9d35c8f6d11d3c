//! What interceptors learn of sends that do not end in the usual way.

use std::sync::{Arc, Mutex, PoisonError};

use ferrocket::{
    BoxError, Message, Producer, ProducerInterceptor, SendError, SendReceipt,
    producer::{AutoBatch, ProducerBuilder, SendContext},
};
use ferrocket_testkit::{Call, Fault};

use crate::common::{SECOND, brokers, soon, wire::connect};

/// Counts what began, and writes down what ended. Refuses what is called "refused".
#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<(usize, Vec<String>)>>);

impl Watcher {
    fn ended(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn begun(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    async fn producer(&self, builder: ProducerBuilder) -> Producer {
        builder.interceptor(self.clone()).build().await.expect("it builds")
    }
}

impl ProducerInterceptor for Watcher {
    fn before_send(&self, message: &mut Message, context: &SendContext<'_>) -> Result<(), BoxError> {
        assert_eq!((context.topic.as_str(), context.group.as_str()), ("Orders", "shop"));
        message.set_property("name", String::from_utf8_lossy(message.body()).into_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        if message.body().as_ref() == b"refused" { Err("not this one".into()) } else { Ok(()) }
    }

    fn after_send(&self, context: &SendContext<'_>, result: Option<Result<&SendReceipt, &SendError>>) {
        let name = context.property("name").unwrap_or("no name");
        assert!(context.properties().any(|pair| pair == ("name", name)), "{context:?}");
        let what = match result {
            Some(Ok(receipt)) if receipt.message_id() == context.message_id => "sent".to_owned(),
            Some(Ok(_)) => "sent with another id".to_owned(),
            Some(Err(error)) => format!("{:?}, {} back", error.kind(), error.messages().len()),
            None => "nobody knows".to_owned(),
        };
        let text = format!("{name} of {} bytes: {what}", context.body_bytes);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.push(text);
    }
}

/// Seen to fail with a job that shows nothing when it is dropped.
#[tokio::test(start_paused = true)]
async fn interceptors_see_the_end_of_sends_that_are_given_up() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _wire) = connect(&cluster).await;
    let watcher = Watcher::default();
    let producer = watcher.producer(client.producer("shop")).await;
    soon(producer.send(Message::new("Orders", "first"))).await.expect("it is stored");
    assert_eq!(watcher.ended(), ["first of 5 bytes: sent"]);
    let silent = cluster.fault(Fault::on(Call::Send).drop_request());
    let one = tokio::time::timeout(SECOND, producer.send(Message::new("Orders", "one"))).await;
    assert!(one.is_err(), "{one:?}");
    assert_eq!(watcher.ended()[1..], ["one of 3 bytes: nobody knows"]);
    let pair = ["two", "three"].map(|body| Message::new("Orders", body));
    let pair = tokio::time::timeout(SECOND, producer.send_batch(pair)).await;
    assert!(pair.is_err(), "{pair:?}");
    assert_eq!(watcher.ended()[2..], ["two of 3 bytes: nobody knows", "three of 5 bytes: nobody knows"]);
    // Never polled: it has not begun.
    drop(producer.send(Message::new("Orders", "never")));
    drop(silent);
    assert_eq!((watcher.begun(), watcher.ended().len()), (4, 4));
}

/// Seen to fail with a batch that shows the end to nobody when a message of it is refused.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_ends_those_of_its_batch_that_interceptors_have_seen() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _wire) = connect(&cluster).await;
    let watcher = Watcher::default();
    let producer = watcher.producer(client.producer("shop")).await;
    let batch = ["one", "refused", "three"].map(|body| Message::new("Orders", body));
    let error = soon(producer.send_batch(batch)).await.expect_err("one is refused");
    assert_eq!(error.messages().len(), 3, "{error}");
    assert_eq!(
        watcher.ended(),
        ["one of 3 bytes: Rejected, 3 back", "refused of 7 bytes: Rejected, 3 back"],
        "the third one was not shown to anybody"
    );
}

/// What was gathered is sent, whether somebody waits for it or not.
#[tokio::test(start_paused = true)]
async fn interceptors_see_the_end_of_gathered_messages_whose_senders_have_gone() {
    let cluster = brokers(1).start().await.expect("it starts");
    let (client, _wire) = connect(&cluster).await;
    let watcher = Watcher::default();
    let gathering = client.producer("shop").auto_batch(AutoBatch::default().max_delay(SECOND));
    let producer = watcher.producer(gathering).await;
    for body in ["one", "two"] {
        let gone = tokio::time::timeout(SECOND / 100, producer.send(Message::new("Orders", body))).await;
        assert!(gone.is_err(), "{gone:?}");
    }
    assert_eq!((watcher.begun(), watcher.ended().len()), (2, 0));
    soon(cluster.until(|cluster| cluster.messages("Orders").len() == 2)).await;
    soon(cluster.until(|_| watcher.ended().len() == 2)).await;
    assert_eq!(watcher.ended(), ["one of 3 bytes: sent", "two of 3 bytes: sent"]);
    drop(producer);
}
