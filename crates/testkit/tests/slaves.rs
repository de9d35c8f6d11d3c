//! Brokers with a slave. What a real one does: §12.4, and what was measured of master and slave of 5.5.0.

mod client;

use std::time::Duration;

use client::{Client, bodies, long_pull, messages, pull_request, send_request, soon};
use ferrocket_model::MessageQueue;
use ferrocket_protocol::{
    ResponseCode,
    request::{
        CommitOffset, EndTransaction, GetConsumerList, GetRoute, PullAnswer, QueryOffset, RecallMessage, SendBack,
        ViewMessage,
    },
};
use ferrocket_testkit::{Call, Fault, TestCluster};
use serde_json::Value;

async fn with_slave() -> TestCluster {
    TestCluster::builder().in_memory().with_slaves().topic("Orders", 1).start().await.expect("it starts")
}

/// Connections to master and slave, a member of "shop" on both.
async fn members(cluster: &TestCluster) -> (Client, Client) {
    let broker = cluster.broker("broker-0");
    let (mut master, mut slave) =
        (Client::to(cluster, &broker.address()).await, Client::to(cluster, &broker.slave().address()).await);
    master.join("c1", "shop", "Orders", "*").await;
    slave.join("c1", "shop", "Orders", "*").await;
    (master, slave)
}

async fn pull(client: &mut Client, offset: u64) -> PullAnswer {
    client.pull("shop", "Orders", offset).await.unwrap()
}

async fn offset(client: &mut Client) -> Option<u64> {
    client.call(&QueryOffset::new("shop", 0u32, "Orders")).await.unwrap().0
}

#[tokio::test]
async fn a_route_has_both_and_the_slave_alone_when_its_master_is_gone() {
    let cluster = with_slave().await;
    let broker = cluster.broker("broker-0");
    let mut names = Client::to(&cluster, &cluster.name_servers()).await;
    let mut route = async || names.call(&GetRoute::new("Orders")).await.unwrap();
    let (master, slave) = (broker.address(), broker.slave().address());
    assert_ne!(master, slave);
    let both = route().await;
    let [addresses] = &both.brokers[..] else { panic!("{both:?}") };
    assert_eq!((addresses.address(0), addresses.address(1)), (Some(&*master), Some(&*slave)));
    broker.stop();
    let alone = route().await;
    let [addresses] = &alone.brokers[..] else { panic!("{alone:?}") };
    assert_eq!((addresses.address(0), addresses.address(1)), (None, Some(&*slave)));
    assert_eq!(alone.queue_data, both.queue_data);
    broker.slave().stop();
    assert!(!broker.slave().is_running());
    assert_eq!(names.call(&GetRoute::new("Orders")).await, Err(ResponseCode::TOPIC_NOT_EXIST));
    broker.slave().restart_on_same_port().await.unwrap();
    assert_eq!(broker.slave().address(), slave);
    broker.restart().await.unwrap();
    let info = names.ask_by_hand(&106.into(), &Value::Null, "").await.into_body();
    let wanted = format!(r#""brokerAddrs":{{0:"{}",1:"{slave}"}}"#, broker.address());
    assert!(String::from_utf8_lossy(&info).contains(&wanted), "{info:?}");
}

#[tokio::test]
async fn a_slave_serves_what_its_stopped_master_stored() {
    let cluster = with_slave().await;
    let (mut master, mut slave) = members(&cluster).await;
    for body in ["one", "two"] {
        master.send("Orders", 0, "paid", body).await.unwrap();
    }
    assert_eq!(bodies(&pull(&mut slave, 0).await), ["one", "two"]);
    master.send("Orders", 0, "paid", "three").await.unwrap();
    cluster.broker("broker-0").stop();
    let answer = pull(&mut slave, 1).await;
    assert_eq!(
        (bodies(&answer), answer.next_offset, answer.suggested_broker),
        (vec!["two".into(), "three".into()], 3, 0)
    );
    let view = ViewMessage::new(messages(&answer)[0].commit_log_offset);
    assert!(slave.call(&view).await.is_ok());
    assert_eq!(cluster.members("shop"), ["c1"], "on the slave");
}

#[tokio::test]
async fn a_slave_stores_nothing() {
    let cluster = with_slave().await;
    let (mut master, mut slave) = members(&cluster).await;
    master.send("Orders", 0, "paid", "one").await.unwrap();
    assert_eq!(slave.send("Orders", 0, "paid", "two").await, Err(ResponseCode::SYSTEM_BUSY));
    let place = messages(&pull(&mut slave, 0).await)[0].commit_log_offset;
    assert_eq!(slave.call(&SendBack::new(0, "shop", place, false)).await, Err(ResponseCode::SYSTEM_BUSY));
    let end = EndTransaction::new(place, 8, false, "id", "shop", 0);
    assert_eq!(slave.call(&end).await, Err(ResponseCode::SLAVE_NOT_AVAILABLE));
    let recall = RecallMessage::new("handle", "Orders");
    assert_eq!(slave.call(&recall).await.err(), Some(ResponseCode::SLAVE_NOT_AVAILABLE));
    assert_eq!(cluster.messages("Orders").len(), 1);
}

/// CON-BUG-29: an older offset than the master's.
#[tokio::test(start_paused = true)]
async fn a_slave_has_the_offsets_of_its_last_copy() {
    let cluster = with_slave().await;
    let broker = cluster.broker("broker-0");
    let (mut master, mut slave) = members(&cluster).await;
    for body in ["one", "two", "three"] {
        master.send("Orders", 0, "paid", body).await.unwrap();
    }
    master.call(&CommitOffset::new(2u64, "shop", 0u32, "Orders")).await.unwrap();
    assert_eq!(offset(&mut slave).await, Some(0), "as of a young queue");
    broker.copy_offsets_to_slave();
    assert_eq!(offset(&mut slave).await, Some(2));
    slave.call(&CommitOffset::new(1u64, "shop", 0u32, "Orders")).await.unwrap();
    assert_eq!((offset(&mut slave).await, offset(&mut master).await), (Some(1), Some(2)));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(offset(&mut slave).await, Some(2));
    master.call(&CommitOffset::new(3u64, "shop", 0u32, "Orders")).await.unwrap();
    broker.stop();
    broker.copy_offsets_to_slave();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(offset(&mut slave).await, Some(2), "nobody to copy from");
}

/// CON-PULL-12.
#[tokio::test]
async fn consumers_are_sent_to_the_slave_and_back() {
    let cluster = with_slave().await;
    let (mut master, mut slave) = members(&cluster).await;
    master.send("Orders", 0, "paid", "one").await.unwrap();
    for wanted in [0, 1, 0] {
        cluster.broker("broker-0").suggest_broker(wanted);
        for client in [&mut master, &mut slave] {
            for offset in [0, 1] {
                assert_eq!(pull(client, offset).await.suggested_broker, wanted);
            }
        }
    }
}

#[tokio::test]
async fn a_pull_that_waits_on_the_slave_gets_what_the_master_stores() {
    let cluster = with_slave().await;
    let (mut master, mut slave) = members(&cluster).await;
    slave.write(&long_pull("shop", "Orders", 0, Duration::from_secs(600))).await;
    soon(cluster.until_requests(Call::Pull, 1)).await;
    master.send("Orders", 0, "paid", "one").await.unwrap();
    let answer = slave.read().await.unwrap();
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
}

/// A slave may be behind its master, so an offset beyond its end is not wrong.
#[tokio::test]
async fn a_slave_does_not_move_offsets_but_sends_to_the_master() {
    let cluster = with_slave().await;
    let (mut master, mut slave) = members(&cluster).await;
    master.send("Orders", 0, "paid", "one").await.unwrap();
    cluster.broker("broker-0").suggest_broker(1);
    let answer = pull(&mut slave, 9).await;
    assert_eq!((answer.code, answer.suggested_broker), (ResponseCode::PULL_RETRY_IMMEDIATELY, 0));
    assert_eq!(pull(&mut master, 9).await.code, ResponseCode::PULL_OFFSET_MOVED);
    cluster.reset_offset("shop", &MessageQueue::new("Orders", "broker-0", 0), 0);
    assert_eq!(bodies(&pull(&mut slave, 0).await), ["one"], "resets are the master's");
    assert_eq!(pull(&mut master, 1).await.code, ResponseCode::PULL_OFFSET_MOVED);
}

#[tokio::test]
async fn a_slave_has_members_and_faults_of_its_own() {
    let cluster = with_slave().await;
    let broker = cluster.broker("broker-0");
    let mut master = Client::to(&cluster, &broker.address()).await;
    let mut slave = Client::to(&cluster, &broker.slave().address()).await;
    master.join("c1", "shop", "Orders", "*").await;
    assert_eq!(slave.call(&pull_request("shop", "Orders", 0)).await, Err(ResponseCode::SUBSCRIPTION_NOT_EXIST));
    assert_eq!(slave.call(&GetConsumerList::new("shop")).await, Err(ResponseCode::SYSTEM_ERROR));
    let fault = cluster.fault(Fault::on(Call::Heartbeat).on_broker("broker-0-slave"));
    slave.join("c1", "shop", "Orders", "*").await;
    master.join("c1", "shop", "Orders", "*").await;
    assert_eq!((fault.hits(), cluster.members("shop")), (1, vec!["c1".to_owned()]));
    assert_eq!(pull(&mut slave, 0).await.code, ResponseCode::PULL_NOT_FOUND);
    assert_eq!(cluster.disconnect_client("c1"), 2);
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_new_on_the_slave_too() {
    let cluster = with_slave().await;
    let (mut master, mut slave) = members(&cluster).await;
    master.send("Orders", 0, "paid", "old").await.unwrap();
    assert_eq!(bodies(&pull(&mut slave, 0).await), ["old"]);
    cluster.delete_topic("Orders");
    assert_eq!(slave.pull("shop", "Orders", 0).await, Err(ResponseCode::TOPIC_NOT_EXIST));
    cluster.create_topic("Orders", 1);
    master.call(&send_request("Orders", 0, "", "new")).await.unwrap();
    assert_eq!(bodies(&pull(&mut slave, 0).await), ["new"]);
}

#[tokio::test]
async fn a_queue_that_was_away_and_came_back_is_new_on_the_slave_too() {
    let cluster = with_slave().await;
    let (mut master, mut slave) = members(&cluster).await;
    master.send("Orders", 0, "paid", "old").await.unwrap();
    assert_eq!(bodies(&pull(&mut slave, 0).await), ["old"]);
    cluster.create_topic("Orders", 0);
    cluster.create_topic("Orders", 1);
    master.send("Orders", 0, "paid", "new").await.unwrap();
    assert_eq!(bodies(&pull(&mut slave, 0).await), ["new"]);
}

#[tokio::test]
#[should_panic(expected = "broker-0 has no slave")]
async fn brokers_have_no_slave_unless_they_are_told_to() {
    client::in_memory().await.broker("broker-0").slave();
}
