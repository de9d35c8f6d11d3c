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

/// CON-TRACE-01, CON-TRACE-02: a record before and one after each message of each call, paired.
#[tokio::test]
async fn what_is_consumed_is_traced_before_and_after_each_call() {
    let server = Server::start().await;
    let (topic, traces, group) = (server.topic(1).await, server.topic(1).await, server.group());
    let trace = MessageTrace::default().topic(&traces).batch(4);
    let client = server.builder().message_trace(trace).connect().await.unwrap();
    let sender = server.client().await;
    let producer = sender.producer(unique("untraced")).build().await.unwrap();
    let receipt = producer.send(Message::new(&topic, "x").with_key("k")).await.unwrap();
    let consumer = client.push_consumer(&group).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let listener = async |message: ReceivedMessage| if message.attempt() == 1 { Err("not yet") } else { Ok(()) };
    let _consumer = consumer.concurrent(listener).build().await.unwrap();
    crate::server::eventually("it is consumed", async || client.metrics().consumed == 1).await;
    client.shutdown().await.unwrap();

    let inbox = Inbox::default();
    let reader = sender.push_consumer(server.group()).subscribe(&traces, "*").consume_from(ConsumeFrom::Earliest);
    let _reader = reader.concurrent(inbox.listener()).build().await.unwrap();
    let records = || -> Vec<TraceRecord> {
        let messages = inbox.messages();
        let texts = messages.iter().map(|message| std::str::from_utf8(message.body()).unwrap());
        texts.flat_map(TraceRecord::read_all).collect()
    };
    crate::server::eventually("four records", async || records().len() == 4).await;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for record in records() {
        match record {
            TraceRecord::SubBefore(record) => {
                assert_eq!((record.group.as_str(), record.keys.as_deref()), (group.as_str(), Some("k")));
                assert_eq!(record.message_id, receipt.message_id().as_str());
                before.push((record.retries, record.request_id));
            }
            TraceRecord::SubAfter(record) => {
                assert_eq!(record.message_id, receipt.message_id().as_str());
                after.push((record.code, record.success, record.request_id));
            }
            other => panic!("{other:?}"),
        }
    }
    before.sort();
    after.sort_by_key(|(_, success, _)| *success);
    assert_eq!((before[0].0, before[1].0), (0, 1));
    assert_eq!((after[0].0, after[0].1, after[1].0, after[1].1), (4, false, 0, true));
    assert_eq!((&before[0].1, &before[1].1), (&after[0].2, &after[1].2), "paired");
    assert_ne!(before[0].1, before[1].1);
    sender.shutdown().await.unwrap();
}
