//! The table of routes over a cluster in memory: who asks, how often, and what stays when nobody answers.

mod common;

use std::{sync::Arc, time::Duration};

use common::{SECOND, soon};
use ferrocket_model::{ErrorKind, Topic};
use ferrocket_remoting_backend::{Config, RemotingBackend};
use ferrocket_route::RouteTable;
use ferrocket_testkit::{Call, TestCluster};
use tokio::{task::JoinSet, time::Instant};

async fn start() -> (TestCluster, Arc<RouteTable>) {
    start_with_period(30 * SECOND).await
}

async fn start_with_period(period: Duration) -> (TestCluster, Arc<RouteTable>) {
    let (cluster, backend) = backend().await;
    (cluster, RouteTable::start(backend, period, 3 * SECOND))
}

async fn backend() -> (TestCluster, Arc<RemotingBackend>) {
    let cluster = TestCluster::builder()
        .in_memory()
        .auto_create_topics(false)
        .topic("Orders", 2)
        .start()
        .await
        .expect("it starts");
    let connector = cluster.connector();
    let mut config = Config::new(vec![cluster.name_servers()], "c");
    config.dialer = Some(Arc::new(move |address: String| {
        let connector = connector.clone();
        async move { connector.connect(&address).await }
    }));
    (cluster, Arc::new(RemotingBackend::start(config).expect("options that work")))
}

#[tokio::test(start_paused = true)]
async fn fifty_callers_share_one_look_up() {
    let (cluster, table) = start().await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let table = table.clone();
        calls.spawn(async move {
            table.route(&Topic::from("Orders"), None, 3 * SECOND).await.map(|route| route.publish.len())
        });
    }
    while let Some(found) = soon(calls.join_next()).await {
        assert_eq!(found.expect("no panic").expect("a route"), 2);
    }
    assert_eq!(cluster.requests(Call::Route), 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_callers_share_one_look_up_that_finds_nothing() {
    let (cluster, table) = start().await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let table = table.clone();
        calls.spawn(async move { table.route(&Topic::from("Nowhere"), None, 3 * SECOND).await.map(drop) });
    }
    while let Some(found) = soon(calls.join_next()).await {
        assert_eq!(found.expect("no panic").expect_err("no route").kind(), ErrorKind::RouteNotFound);
    }
    assert_eq!(cluster.requests(Call::Route), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_while_it_looks_up_leaves_nobody_waiting() {
    let (cluster, table) = start().await;
    let topic = Topic::from("Orders");
    let hanging = cluster.fault(ferrocket_testkit::Fault::on(Call::Route).times(1).drop_request());
    let (first, asked) = (table.clone(), topic.clone());
    let first = tokio::spawn(async move { first.route(&asked, None, 3 * SECOND).await.map(drop) });
    soon(cluster.until(|_| hanging.hits() == 1)).await;
    let (second, asked) = (table.clone(), topic.clone());
    let second = tokio::spawn(async move { second.route(&asked, None, 3 * SECOND).await.map(drop) });
    tokio::task::yield_now().await;
    let began = Instant::now();
    first.abort();
    soon(second).await.expect("no panic").expect("a route");
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn refreshing_a_thousand_times_in_a_second_asks_five_times_at_most() {
    let (cluster, table) = start().await;
    let topic = Topic::from("Orders");
    table.route(&topic, None, 3 * SECOND).await.expect("a route");
    let before = cluster.requests(Call::Route);
    for _ in 0..1000 {
        table.refresh(&topic).await.expect("a route");
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let asked = cluster.requests(Call::Route) - before;
    assert!((3..=6).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn r5_a_known_route_stays_in_use_while_no_name_server_answers() {
    let (cluster, table) = start().await;
    let topic = Topic::from("Orders");
    table.route(&topic, None, 3 * SECOND).await.expect("a route");
    cluster.name_server_stop();
    for _ in 0..20 {
        tokio::time::advance(10 * SECOND).await;
        let route = table.route(&topic, None, 3 * SECOND).await.expect("the known route");
        assert_eq!(route.publish.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_sees_the_first_route_and_a_change_after_the_next_refresh() {
    let (cluster, table) = start().await;
    let topic = Topic::from("Orders");
    let mut watch = table.watch(&topic);
    assert_eq!(soon(watch.changed()).await.expect("a route").publish.len(), 2);
    cluster.create_topic("Orders", 5);
    let began = Instant::now();
    assert_eq!(soon(watch.changed()).await.expect("a route").publish.len(), 5);
    assert!(began.elapsed() < 40 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_topic_that_does_not_exist_yet_sees_it_when_it_does() {
    let (cluster, table) = start().await;
    let mut watch = table.watch(&Topic::from("Later"));
    let seen = tokio::spawn(async move { watch.changed().await.expect("a route").publish.len() });
    soon(cluster.until_requests(Call::Route, 1)).await;
    cluster.create_topic("Later", 3);
    assert_eq!(soon(seen).await.expect("no panic"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_second_topic_sees_its_route_soon() {
    let (cluster, table) = start().await;
    cluster.create_topic("Other", 3);
    table.route(&Topic::from("Orders"), None, 3 * SECOND).await.expect("a route");
    // The refreshing task is in the middle of a round.
    tokio::time::advance(5 * SECOND).await;
    let began = Instant::now();
    let mut watch = table.watch(&Topic::from("Other"));
    assert_eq!(soon(watch.changed()).await.expect("a route").publish.len(), 3);
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_never_refreshed_still_looks_up_what_is_watched() {
    let (_cluster, table) = start_with_period(Duration::MAX).await;
    let mut watch = table.watch(&Topic::from("Orders"));
    assert_eq!(soon(watch.changed()).await.expect("a route").publish.len(), 2);
}

/// It would look routes up, and never refresh them.
#[test]
#[should_panic(expected = "runtime")]
fn a_table_does_not_start_outside_of_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_cluster, backend) = runtime.block_on(backend());
    let _table = RouteTable::start(backend, 30 * SECOND, 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_polled_and_awaited_in_turn_tells_each_route_once() {
    let (cluster, table) = start().await;
    let mut watch = table.watch(&Topic::from("Orders"));
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(watch.poll_changed(cx))).await;
    assert!(polled.is_pending());
    assert_eq!(soon(watch.changed()).await.expect("a route").publish.len(), 2);
    let again = std::future::poll_fn(|cx| std::task::Poll::Ready(watch.poll_changed(cx))).await;
    assert!(again.is_pending(), "the same route again");
    // A wait that was given up loses nothing.
    assert!(tokio::time::timeout(SECOND, watch.changed()).await.is_err());
    cluster.create_topic("Orders", 5);
    assert_eq!(soon(watch.changed()).await.expect("a route").publish.len(), 5);
}
