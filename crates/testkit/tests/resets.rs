//! Offsets that an administrator sets. What a real broker answers step by step is in `conversations.rs`.

mod client;

use std::time::Duration;

use client::{Client, in_memory, long_pull, soon};
use ferrocket_model::MessageQueue;
use ferrocket_protocol::{
    ReadRequest, RequestCode, ResponseCode,
    request::{Pull, PullFlags, ResetOffsets},
};
use ferrocket_testkit::TestCluster;
use tokio::time::Instant;

async fn three_messages() -> (TestCluster, Client) {
    let cluster = in_memory().await;
    let mut client = Client::to_broker(&cluster).await;
    for body in ["zero", "one", "two"] {
        client.send("Orders", 0, "paid", body).await.unwrap();
    }
    client.join("c1", "shop", "Orders", "*").await;
    (cluster, client)
}

fn orders() -> MessageQueue {
    MessageQueue::new("Orders", "broker-0", 0)
}

/// As recorded: a pull of 15 s was told after its time, not at once. CON-PULL-23.
#[tokio::test(start_paused = true)]
async fn a_pull_that_waits_is_told_of_a_reset_when_its_time_is_over() {
    let (cluster, mut client) = three_messages().await;
    let Pull(mut waiting) = long_pull("shop", "Orders", 3, Duration::from_secs(15));
    waiting.sys_flag |= PullFlags::COMMIT_OFFSET;
    waiting.commit_offset = 3;
    let began = Instant::now();
    client.write(&Pull(waiting)).await;
    soon(cluster.until(|cluster| cluster.committed("shop", "Orders") == 3)).await;
    cluster.reset_offset("shop", &orders(), 1);
    let told = client.read().await.unwrap();
    assert_eq!(told.response_code(), ResponseCode::PULL_OFFSET_MOVED);
    assert_eq!(told.remark().as_deref(), Some("OFFSET_RESET"));
    assert_eq!(told.fields().find("nextBeginOffset").unwrap().as_deref(), Some("1"));
    assert_eq!((began.elapsed().as_secs(), cluster.committed_offset("shop", &orders())), (15, Some(1)));
    assert_eq!(client.pull("shop", "Orders", 1).await.unwrap().code, ResponseCode::SUCCESS, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_tells_the_pull_that_waits_of_the_reset() {
    let (cluster, mut client) = three_messages().await;
    let mut sender = Client::to_broker(&cluster).await;
    let before = cluster.requests(ferrocket_testkit::Call::Pull);
    client.write(&long_pull("shop", "Orders", 3, Duration::from_secs(15))).await;
    soon(cluster.until_requests(ferrocket_testkit::Call::Pull, before + 1)).await;
    cluster.reset_offset("shop", &orders(), 0);
    sender.send("Orders", 0, "paid", "three").await.unwrap();
    assert_eq!(client.read().await.unwrap().response_code(), ResponseCode::PULL_OFFSET_MOVED);
}

#[tokio::test]
async fn a_pull_that_is_refused_stores_no_offset() {
    let (cluster, mut client) = three_messages().await;
    for (version, wanted) in [(99, None), (1, Some(3))] {
        let Pull(mut header) = client::pull_request("shop", "Orders", 0);
        (header.sys_flag, header.commit_offset) = (PullFlags::COMMIT_OFFSET, 3);
        header.subscription_version = version;
        let answer = client.call(&Pull(header)).await;
        assert_eq!(answer.is_ok(), wanted.is_some(), "{answer:?}");
        assert_eq!(cluster.committed_offset("shop", &orders()), wanted);
    }
}

#[tokio::test]
async fn each_group_and_queue_is_reset_alone() {
    let (cluster, mut client) = three_messages().await;
    client.join("c1", "other", "Orders", "*").await;
    cluster.reset_offset("shop", &orders(), 2);
    cluster.reset_offset("shop", &MessageQueue::new("Orders", "broker-0", 1), 0);
    assert_eq!(client.pull("other", "Orders", 0).await.unwrap().code, ResponseCode::SUCCESS);
    assert_eq!(client.pull("shop", "Orders", 0).await.unwrap().next_offset, 2);
    cluster.delete_topic("Orders");
    cluster.create_topic("Orders", 2);
    let Pull(mut second) = client::pull_request("shop", "Orders", 0);
    second.queue_id = 1;
    let answer = client.call(&Pull(second)).await.unwrap();
    assert_eq!(answer.code, ResponseCode::PULL_NOT_FOUND, "it went with the topic");
}

/// §4.6, §12.5: what 4.9 does.
#[tokio::test]
async fn members_are_told_to_reset_by_the_brokers_of_the_queues() {
    let builder = TestCluster::builder().in_memory().brokers(2).topic("Orders", 2).topic("Invoices", 1);
    let cluster = builder.start().await.unwrap();
    let mut clients = Vec::new();
    for (id, broker) in [("c1", "broker-0"), ("c2", "broker-0"), ("c1", "broker-1")] {
        let mut client = Client::to(&cluster, &cluster.broker(broker).address()).await;
        client.join(id, "shop", "Orders", "*").await;
        clients.push(client);
    }
    let queue = |topic, broker, id| MessageQueue::new(topic, broker, id);
    let first = [(queue("Orders", "broker-0", 1), 7), (queue("Orders", "broker-0", 0), 5)];
    let others = [(queue("Invoices", "broker-1", 0), 3)];
    let offsets = [&first[..], &others[..], &[(queue("Orders", "broker-7", 0), 1)]].concat();
    assert_eq!(cluster.tell_to_reset("shop", &offsets), 3);
    assert_eq!(cluster.tell_to_reset("nobody", &offsets), 0);
    for (client, wanted) in clients.iter_mut().zip([&first[..], &first[..], &others[..]]) {
        let told = loop {
            let command = client.read().await.unwrap();
            if command.code == RequestCode::RESET_CONSUMER_CLIENT_OFFSET.0 {
                break command;
            }
        };
        let reset = ResetOffsets::read_request(&told).unwrap();
        assert!(told.is_one_way() && reset.header.force && reset.header.group == *"shop");
        assert_eq!((&reset.header.topic, reset.offsets().unwrap()), (wanted[0].0.topic(), wanted.to_vec()));
    }
    assert_eq!(cluster.committed("shop", "Orders"), 0, "the broker itself resets nothing");
}

#[tokio::test]
#[should_panic(expected = "Target offset 4 not in consume queue range [0-3]")]
async fn an_offset_beyond_the_end_is_refused() {
    let (cluster, _client) = three_messages().await;
    cluster.reset_offset("shop", &orders(), 4);
}
