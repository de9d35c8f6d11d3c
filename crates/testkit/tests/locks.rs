//! Locks of queues.

mod client;

use std::time::Duration;

use client::{Client, in_memory, send_request};
use ferrocket_model::MessageQueue;
use ferrocket_protocol::{
    ResponseCode,
    body::LockData,
    request::{LockBatch, SendMessage, UnlockBatch, Unregister},
};
use ferrocket_testkit::{Call, Fault, TestCluster};

fn queue(id: u32) -> MessageQueue {
    MessageQueue::new("Orders", "broker-0", id)
}

fn data(client_id: &str, queues: &[u32]) -> LockData {
    let mq_set = queues.iter().map(|&id| queue(id)).collect();
    LockData { client_id: client_id.to_owned(), consumer_group: "shop".to_owned(), mq_set, only_this_broker: false }
}

async fn lock(client: &mut Client, client_id: &str, queues: &[u32]) -> Vec<u32> {
    let answer = client.call(&LockBatch::new(&data(client_id, queues))).await.unwrap();
    answer.locked.iter().map(MessageQueue::id).collect()
}

/// §12.4.
#[tokio::test(start_paused = true)]
async fn a_lock_ends_after_its_time_whatever_becomes_of_its_holder() {
    let builder = TestCluster::builder().in_memory().topic("Orders", 4).lock_time(Duration::from_secs(30));
    let cluster = builder.start().await.unwrap();
    let (mut one, mut two) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    assert_eq!(lock(&mut one, "c1", &[0, 1]).await, [0, 1]);
    assert_eq!(lock(&mut two, "c2", &[1, 2]).await, [2]);
    let holders = || [0, 1, 2, 3].map(|id| cluster.lock_holder("shop", &queue(id)));
    assert_eq!(holders(), [Some("c1".to_owned()), Some("c1".to_owned()), Some("c2".to_owned()), None]);
    assert_eq!(cluster.lock_holder("other", &queue(0)), None, "each group by itself");
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(lock(&mut one, "c1", &[1]).await, [1], "asking again keeps it");
    let mut leave = Unregister::new("c1");
    leave.consumer_group = Some("shop".into());
    one.call(&leave).await.unwrap();
    drop(one);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(lock(&mut two, "c2", &[0, 1]).await, [0]);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(lock(&mut two, "c2", &[1]).await, [1]);
    assert_eq!(cluster.requests(Call::Lock), 5);
}

#[tokio::test]
async fn only_its_holder_gives_a_lock_back_and_a_restart_frees_all() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    lock(&mut client, "c1", &[0, 1]).await;
    client.call(&UnlockBatch::new(&data("c2", &[0]))).await.unwrap();
    assert!(lock(&mut client, "c2", &[0]).await.is_empty());
    client.call(&UnlockBatch::new(&data("c1", &[0, 3]))).await.unwrap();
    assert_eq!(lock(&mut client, "c2", &[0, 1]).await, [0]);
    let refused = cluster.fault(Fault::on(Call::Unlock).answer(ResponseCode::SYSTEM_BUSY, "busy"));
    assert_eq!(client.call(&UnlockBatch::new(&data("c2", &[0]))).await, Err(ResponseCode::SYSTEM_BUSY));
    assert_eq!(refused.hits(), 1);
    cluster.broker("broker-0").restart().await.unwrap();
    assert_eq!([0, 1].map(|id| cluster.lock_holder("shop", &queue(id))), [None, None]);
}

/// What a group with locks sends to its retry topic is what it gave up.
#[tokio::test]
async fn a_message_that_a_group_with_locks_sends_again_is_a_dead_letter() {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    client.join("c1", "shop", "Orders", "*").await;
    let SendMessage { form, mut header, body } = send_request("%RETRY%shop", 0, "", "x");
    (header.reconsume_times, header.max_reconsume_times) = (1, Some(16));
    let again = SendMessage { form, header, body };
    client.call(&again).await.unwrap();
    lock(&mut client, "c1", &[0]).await;
    client.call(&again).await.unwrap();
    let stored = |topic| cluster.messages(topic).len();
    assert_eq!((stored("%RETRY%shop"), stored("%DLQ%shop")), (1, 1));
}
