//! RocketMQ's own message trace, as its tools read it.

use ferrocket::{ConsumeFrom, Message, MessageTrace, ReceivedMessage, TransactionState};
use ferrocket_trace::{TraceKind, TraceRecord};

use crate::server::{Inbox, Server, unique};

/// PRO-TRC-06, PRO-TRC-07, PRO-TRC-10: a record per accepted message and per end of a transaction, flushed at shutdown.
#[tokio::test]
async fn what_is_sent_is_traced_and_flushed_at_shutdown() {
    let server = Server::start().await;
    let (topic, traces, inbox) = (server.topic(1).await, server.topic(1).await, Inbox::default());
    let trace = MessageTrace::default().topic(&traces).batch(4);
    let client = server.builder().message_trace(trace).connect().await.unwrap();
    let producer = client.producer(unique("traced")).build().await.unwrap();
    let message = || Message::new(&topic, "12345").with_tag("t").with_key("k1").with_key("k2");
    let receipt = producer.send(message()).await.unwrap();
    producer.send_batch([message(), message(), message()]).await.unwrap();
    producer.send(Message::new("no blanks in topics", "x")).await.unwrap_err();
    let checker = async |_: ReceivedMessage| TransactionState::Unknown;
    let transactions = client.transaction_producer(unique("traced"), checker).build().await.unwrap();
    transactions.begin(message()).await.unwrap().rollback().await.unwrap();
    client.shutdown().await.unwrap();

    let reader = server.client().await;
    let consumer = reader.push_consumer(server.group()).subscribe(&traces, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    let records = || -> Vec<TraceRecord> {
        let messages = inbox.messages();
        let texts = messages.iter().map(|message| std::str::from_utf8(message.body()).unwrap());
        texts.flat_map(TraceRecord::read_all).collect()
    };
    crate::server::eventually("six records", async || records().len() == 6).await;
    let records = records();
    let mut kinds = Vec::new();
    for record in &records {
        match record {
            TraceRecord::Pub(record) => {
                kinds.push(Some(record.kind));
                assert_eq!((record.topic.as_str(), record.tag.as_deref()), (topic.as_str(), Some("t")));
                assert_eq!((record.keys.as_deref(), record.body_bytes), (Some("k1 k2"), 5));
                assert!(record.success && record.store_host.contains(':'), "{record:?}");
            }
            TraceRecord::EndTransaction(record) => {
                kinds.push(None);
                assert_eq!((record.state, record.from_check), (TransactionState::Rollback, false));
                assert_eq!(record.keys.as_deref(), Some("k1 k2"));
            }
            other => panic!("{other:?}"),
        }
    }
    let count = |kind| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((count(Some(TraceKind::Normal)), count(Some(TraceKind::Half)), count(None)), (4, 1, 1));
    // Tools look records up by the message's id and by its keys.
    let id = receipt.message_id().to_string();
    let found = inbox.messages().iter().any(|message| {
        let keys: Vec<_> = message.keys().collect();
        keys.contains(&id.as_str()) && keys.contains(&"k1")
    });
    assert!(found);
    reader.shutdown().await.unwrap();
}
