//! Clients that fall silent, and clients that are asked.

mod client;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use client::{Client, in_memory, soon};
use ferrocket_protocol::{
    HeaderFormat, NoFields, ReadRequest, ResponseCode, encode_response,
    request::{GetConsumerList, MembersChanged, Unregister},
};
use ferrocket_testkit::{Call, TestCluster};
use tokio::time::Instant;

/// §12.4: the others are not told.
#[tokio::test(start_paused = true)]
async fn a_member_without_heartbeats_is_dropped_with_its_connection_and_nobody_is_told() {
    let builder = TestCluster::builder().in_memory().topic("Orders", 1).member_expiry(Duration::from_secs(5));
    let cluster = builder.start().await.unwrap();
    let (mut silent, mut other) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    silent.join("c1", "shop", "Orders", "*").await;
    silent.announce("c1", "payers").await;
    other.join("c2", "shop", "Orders", "*").await;
    other.passed_over = 0; // of its own joining
    let began = Instant::now();
    while cluster.members("shop").len() == 2 {
        other.join("c2", "shop", "Orders", "*").await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!((4..=7).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!((cluster.members("shop"), cluster.producers("payers")), (vec!["c2".to_owned()], Vec::new()));
    while let Some(command) = silent.read().await {
        assert!(!command.is_response(), "only notifications of who joined: {command:?}");
    }
    other.call(&GetConsumerList::new("shop")).await.unwrap();
    assert_eq!(other.passed_over, 0, "no notification");
    let mut free = Client::to_broker(&cluster).await;
    free.announce("c3", "payers").await;
    let mut leave = Unregister::new("c3");
    leave.producer_group = Some("payers".into());
    free.call(&leave).await.unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    soon(cluster.until(|cluster| cluster.connections() == 1)).await;
    tokio::time::advance(Duration::from_secs(6)).await;
    free.call(&leave).await.expect("who is in no group may be silent");
    drop(free);
    soon(cluster.until(|cluster| cluster.connections() == 0)).await;
}

/// §12.4, CON-REB-10: a machine that is gone. Nobody sees its connections end.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_lost_stays_a_member_until_it_expires_and_nobody_is_told() {
    let builder = TestCluster::builder().in_memory().topic("Orders", 1).member_expiry(Duration::from_secs(5));
    let cluster = builder.start().await.unwrap();
    assert_eq!(cluster.lose_client("c1"), 0, "nobody of that name");
    let (mut lost, mut other) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    lost.join("c1", "shop", "Orders", "*").await;
    lost.announce("c1", "payers").await;
    other.join("c2", "shop", "Orders", "*").await;
    other.passed_over = 0; // of its own joining
    let before = cluster.requests(Call::Heartbeat);
    assert_eq!(cluster.lose_client("c1"), 1);
    lost.write(&GetConsumerList::new("shop")).await;
    drop(lost);
    let began = Instant::now();
    while cluster.members("shop").len() == 2 {
        other.join("c2", "shop", "Orders", "*").await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!((4..=7).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!((cluster.members("shop"), cluster.producers("payers")), (vec!["c2".to_owned()], Vec::new()));
    assert_eq!(cluster.requests(Call::ConsumerList), 0, "what it wrote last never came");
    assert!(cluster.requests(Call::Heartbeat) > before);
    soon(cluster.until(|cluster| cluster.connections() == 1)).await;
    other.call(&GetConsumerList::new("shop")).await.unwrap();
    assert_eq!(other.passed_over, 0, "no notification");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_lost_sees_no_end_before_it_expires() {
    let cluster = in_memory().await;
    let mut lost = Client::to_broker(&cluster).await;
    lost.join("c1", "shop", "Orders", "*").await;
    cluster.lose_client("c1");
    lost.write(&GetConsumerList::new("shop")).await;
    let silence = tokio::time::timeout(Duration::from_secs(100), lost.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    let end = tokio::time::timeout(Duration::from_secs(30), lost.next()).await;
    assert!(matches!(end, Ok(None)), "{end:?}");
}

/// §12.4, R8: within milliseconds.
#[tokio::test]
async fn the_others_are_told_of_a_client_whose_connections_are_cut() {
    let cluster = in_memory().await;
    assert_eq!(cluster.disconnect_client("c1"), 0, "nobody of that name");
    let (mut cut, mut other) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    cut.join("c1", "shop", "Orders", "*").await;
    other.join("c2", "shop", "Orders", "*").await;
    assert_eq!(cluster.disconnect_client("c1"), 1);
    let told = other.read().await.expect("a notification");
    assert_eq!(MembersChanged::read_request(&told), Ok(MembersChanged::new("shop")));
    assert_eq!(cluster.members("shop"), ["c2"]);
    while let Some(command) = cut.read().await {
        assert!(!command.is_response(), "only notifications of who joined: {command:?}");
    }
}

#[tokio::test]
async fn a_client_is_asked_over_its_newest_connection_and_its_answer_comes_back() {
    let cluster = in_memory().await;
    let question = GetConsumerList::new("whatever");
    assert!(cluster.ask_client("c1", &question).await.is_none(), "nobody of that name");
    let (mut old, mut new) = (Client::to_broker(&cluster).await, Client::to_broker(&cluster).await);
    old.announce("c1", "payers").await;
    new.announce("c1", "others").await;
    let answering = async {
        let asked = new.read().await.expect("the question");
        let mut out = BytesMut::new();
        let (code, format) = (ResponseCode::NO_MESSAGE, HeaderFormat::Json);
        let encoded = encode_response(asked.opaque, code, None, &NoFields, Bytes::new(), format, &mut out).unwrap();
        assert_eq!(encoded.body, None);
        new.write_raw(&out).await;
    };
    let (answer, ()) = tokio::join!(cluster.ask_client("c1", &question), answering);
    assert_eq!(answer.expect("an answer").response_code(), ResponseCode::NO_MESSAGE);
    let leaving = async {
        new.read().await.expect("the question");
        drop(new);
    };
    let (answer, ()) = tokio::join!(cluster.ask_client("c1", &question), leaving);
    assert!(answer.is_none());
}

#[tokio::test]
async fn a_client_is_told_what_needs_no_answer() {
    let cluster = in_memory().await;
    let notice = MembersChanged::new("shop");
    assert!(!cluster.tell_client("c1", &notice), "nobody of that name");
    let mut client = Client::to_broker(&cluster).await;
    client.announce("c1", "payers").await;
    assert!(cluster.tell_client("c1", &notice));
    let told = client.read().await.expect("the notice");
    assert!(told.is_one_way() && MembersChanged::read_request(&told) == Ok(notice), "{told:?}");
}
