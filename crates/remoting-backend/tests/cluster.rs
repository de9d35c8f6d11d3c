//! Name servers that come and go, and groups whose members brokers know, against a cluster in memory.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket_backend::{
    Backend, ConsumerGroups, ConsumerMember, EventStream, Locks, Member, MemberKind, Membership, RouteRequest, Routes,
    ServerEvent, Subscription,
};
use ferrocket_model::{Applied, BrokerName, ConsumeFrom, ErrorKind, Filter, Group, MessageQueue, Topic};
use ferrocket_remoting_backend::{Config, RemotingBackend};
use ferrocket_testkit::{Call, TestCluster};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(300 * SECOND, future).await.expect("it should have happened by now")
}

async fn cluster() -> TestCluster {
    TestCluster::builder().in_memory().brokers(2).topic("Orders", 2).topic("Other", 1).start().await.expect("it starts")
}

/// A backend, and how often it dialed addresses that begin with `away`. One that begins with `hang` never answers a dial.
fn backend(cluster: &TestCluster, name_servers: &[&str], id: &str) -> (RemotingBackend, Arc<AtomicUsize>) {
    let connector = cluster.connector();
    let dials = Arc::new(AtomicUsize::new(0));
    let counter = dials.clone();
    let dialer = move |address: String| {
        counter.fetch_add(usize::from(address.starts_with("away")), Ordering::SeqCst);
        let connector = connector.clone();
        async move {
            if address.starts_with("hang") {
                std::future::pending::<()>().await;
            }
            connector.connect(&address).await
        }
    };
    let mut config = Config::new(name_servers.iter().map(|&address| address.to_owned()).collect(), id);
    config.dialer = Some(Arc::new(dialer));
    (RemotingBackend::start(config).expect("options that work"), dials)
}

fn orders() -> RouteRequest {
    RouteRequest { topic: Topic::from("Orders"), new_topic_queues: None, timeout: 3 * SECOND }
}

fn consumer(group: &str) -> Member {
    let subscription = Subscription { topic: Topic::from("Orders"), filter: Filter::all(), version: 1 };
    Member {
        group: Group::from(group),
        kind: MemberKind::Consumer(ConsumerMember {
            subscriptions: vec![subscription],
            is_broadcast: false,
            consume_from: ConsumeFrom::Earliest,
        }),
    }
}

async fn next(events: &mut EventStream) -> Option<ServerEvent> {
    soon(poll_fn(|cx| events.as_mut().poll_next(cx))).await
}

#[tokio::test(start_paused = true)]
async fn r5_with_one_of_three_name_servers_up_look_ups_succeed_and_stay_with_the_one_that_answers() {
    // The first one asked is chosen at random: often enough for every start.
    for _ in 0..10 {
        let cluster = cluster().await;
        let (backend, dials) = backend(&cluster, &["away-1:9876", "mem-ns:9876", "away-2:9876"], "c");
        backend.ready(3 * SECOND).await.expect("one answers");
        let route = backend.route(orders()).await.expect("a route");
        assert_eq!(route.publish.len(), 4);
        let before = dials.load(Ordering::SeqCst);
        for _ in 0..10 {
            tokio::time::advance(SECOND).await;
            backend.route(orders()).await.expect("a route");
        }
        assert_eq!(dials.load(Ordering::SeqCst), before, "nobody asks those that are away again");
        let health = backend.health();
        assert_eq!((health.name_server.as_deref(), health.name_server_error), (Some("mem-ns:9876"), None));
    }
}

#[tokio::test(start_paused = true)]
async fn r5_a_name_server_that_hangs_leaves_time_for_the_others() {
    for _ in 0..10 {
        let cluster = cluster().await;
        let (backend, _) = backend(&cluster, &["hang-1:9876", "mem-ns:9876", "hang-2:9876"], "c");
        let began = Instant::now();
        backend.ready(3 * SECOND).await.expect("one answers in time");
        assert!(began.elapsed() < 3 * SECOND, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn r5_with_all_name_servers_down_the_error_lists_a_cause_per_address() {
    let cluster = cluster().await;
    cluster.name_server_stop();
    let (backend, _) = backend(&cluster, &["away-1:1", "mem-ns:9876", "away-2:2"], "c");
    let failure = backend.ready(3 * SECOND).await.expect_err("nobody answers");
    assert_eq!((failure.kind(), failure.applied()), (ErrorKind::NameServerUnreachable, Applied::No));
    let text = failure.to_string();
    assert!(text.starts_with("cannot reach a name server: none of 3 name servers answered: "), "{text}");
    for address in ["away-1:1", "mem-ns:9876", "away-2:2"] {
        let cause = format!("{address}: connecting to {address} failed: nobody listens at {address}");
        assert!(text.contains(&cause), "{text}");
        assert!(failure.source().expect("the causes").to_string().contains(&cause));
    }
    assert!(text.ends_with("; check the addresses, and that a name server listens there"), "{text}");
    assert!(backend.health().name_server_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn r5_with_all_name_servers_hanging_the_look_up_ends_in_time_with_a_cause_per_address() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["hang-1:1", "hang-2:2", "hang-3:3"], "c");
    let began = Instant::now();
    let failure = backend.ready(3 * SECOND).await.expect_err("nobody answers");
    assert!(began.elapsed() <= 3 * SECOND + SECOND / 10, "{:?}", began.elapsed());
    let text = failure.to_string();
    assert!(["hang-1:1: ", "hang-2:2: ", "hang-3:3: "].iter().all(|address| text.contains(address)), "{text}");
}

#[tokio::test(start_paused = true)]
async fn r5_a_name_server_that_is_back_is_used_again() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    cluster.name_server_stop();
    let failure = backend.route(orders()).await.expect_err("nobody answers");
    assert_eq!(failure.kind(), ErrorKind::NameServerUnreachable);
    cluster.name_server_restart().await.expect("it starts");
    // Calls dial every 250 ms at most.
    tokio::time::advance(SECOND / 4).await;
    backend.route(orders()).await.expect("a route");
    assert_eq!(backend.health().name_server_error, None);
}

#[tokio::test(start_paused = true)]
async fn a_new_list_of_name_servers_is_used_at_once() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["away-1:1"], "c");
    backend.route(orders()).await.expect_err("nobody answers");
    backend.update_name_servers(&["mem-ns:9876".to_owned()]);
    backend.route(orders()).await.expect("a route");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_told_from_name_servers_that_are_away() {
    let cluster = TestCluster::builder().in_memory().auto_create_topics(false).start().await.expect("it starts");
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    let failure = backend.route(orders()).await.expect_err("there is no such topic");
    assert_eq!(failure.kind(), ErrorKind::RouteNotFound);
    assert_eq!(failure.address(), Some("mem-ns:9876"));
}

#[tokio::test(start_paused = true)]
async fn joining_tells_every_broker_and_leaving_takes_the_member_away() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "10.0.0.1@one");
    let group = Group::from("billing");
    backend.route(orders()).await.expect("a route");
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    assert_eq!(cluster.members("billing"), ["10.0.0.1@one"]);
    assert!(cluster.requests(Call::Heartbeat) >= 2, "both brokers");
    assert_eq!(backend.members(&group, &Topic::from("Orders")).await.expect("a list"), ["10.0.0.1@one"]);
    let untold = backend.leave(&group, true, 3 * SECOND).await;
    assert!(untold.is_empty(), "{untold:?}");
    assert!(cluster.members("billing").is_empty());
    // Nor does a later heartbeat bring it back.
    tokio::time::advance(31 * SECOND).await;
    backend.route(orders()).await.expect("a route");
    assert!(cluster.members("billing").is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_joined_before_any_broker_was_known_is_announced_when_one_is() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "early");
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    assert!(cluster.members("billing").is_empty());
    let began = Instant::now();
    backend.route(orders()).await.expect("a route");
    soon(cluster.until(|cluster| cluster.members("billing") == ["early"])).await;
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_out_every_30_s() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    let before = cluster.requests(Call::Heartbeat);
    let began = Instant::now();
    soon(cluster.until_requests(Call::Heartbeat, before + 2 * 3)).await;
    let took = began.elapsed().as_secs();
    assert!((60..=92).contains(&took), "three rounds took {took} s");
    // Most of them were light, and the broker still knows who is here.
    assert_eq!(cluster.members("billing"), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn members_are_told_when_another_one_comes_or_goes() {
    let cluster = cluster().await;
    let (one, _) = backend(&cluster, &["mem-ns:9876"], "one");
    let (two, _) = backend(&cluster, &["mem-ns:9876"], "two");
    one.route(orders()).await.expect("a route");
    two.route(orders()).await.expect("a route");
    let mut joined = one.join(consumer("billing")).await.expect("it joins");
    let _other = two.join(consumer("billing")).await.expect("it joins");
    assert!(matches!(next(&mut joined.events).await, Some(ServerEvent::MembersChanged)));
    assert_eq!(cluster.members("billing"), ["one", "two"]);
    two.leave(&Group::from("billing"), true, 3 * SECOND).await;
    assert!(matches!(next(&mut joined.events).await, Some(ServerEvent::MembersChanged)));
    assert_eq!(cluster.members("billing"), ["one"]);
}

/// CON-ORD-02. Seen to fail with an answer that names every queue that was asked for.
#[tokio::test(start_paused = true)]
async fn a_queue_is_locked_for_one_client_at_a_time_until_it_gives_it_back() {
    let cluster = cluster().await;
    let (one, _) = backend(&cluster, &["mem-ns:9876"], "one");
    let (two, _) = backend(&cluster, &["mem-ns:9876"], "two");
    one.route(orders()).await.expect("a route");
    two.route(orders()).await.expect("a route");
    let (group, broker) = (Group::from("billing"), BrokerName::from("broker-0"));
    let queues = [0, 1].map(|id| MessageQueue::new("Orders", "broker-0", id));
    assert_eq!(one.lock(&group, &broker, &queues[..1]).await.expect("an answer"), queues[..1]);
    assert_eq!(two.lock(&group, &broker, &queues).await.expect("an answer"), queues[1..]);
    assert_eq!(one.lock(&group, &broker, &queues).await.expect("an answer"), queues[..1], "kept");
    two.unlock(&group, &broker, &queues).await.expect("what others hold is left alone");
    assert_eq!(one.lock(&group, &broker, &queues).await.expect("an answer"), queues);
    cluster.broker("broker-0").stop();
    let failure = one.lock(&group, &broker, &queues).await.expect_err("nobody is there");
    assert_eq!((failure.kind(), failure.broker()), (ErrorKind::BrokerUnreachable, Some(&broker)));
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_reaches_the_brokers_at_once() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    let beats = cluster.requests(Call::Heartbeat);
    let other = Subscription { topic: Topic::from("Other"), filter: Filter::all(), version: 2 };
    backend.resubscribe(&Group::from("billing"), vec![other]).await;
    assert_eq!(cluster.requests(Call::Heartbeat), beats + 2, "both brokers");
}

/// A thousand requests without a reply ask for it a thousand times. Seen to fail without the pause.
#[tokio::test(start_paused = true)]
async fn brokers_learn_the_way_here_anew_once_in_a_while_however_often_that_is_asked_for() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    backend.join(Member { group: Group::from("shop"), kind: MemberKind::Producer }).await.expect("it joins");
    for round in 1..=2 {
        let beats = cluster.requests(Call::Heartbeat);
        for _ in 0..1_000 {
            backend.renew();
            tokio::task::yield_now().await;
        }
        soon(cluster.until_requests(Call::Heartbeat, beats + 2)).await;
        assert_eq!(cluster.requests(Call::Unregister), 2 * round, "once per broker");
        assert_eq!(cluster.producers("shop"), ["c"]);
        tokio::time::advance(10 * SECOND).await;
    }
}

/// Seen to fail with a heartbeat task that keeps every address.
#[tokio::test(start_paused = true)]
async fn connections_to_addresses_that_nobody_names_any_more_are_dropped() {
    let (old, new) = (cluster().await, cluster().await);
    let (to_old, to_new) = (old.connector(), new.connector());
    let dialer = move |address: String| {
        let (to_old, to_new) = (to_old.clone(), to_new.clone());
        async move {
            match address.strip_prefix("old.") {
                Some(address) => to_old.connect(address).await,
                None => to_new.connect(&address).await,
            }
        }
    };
    let mut config = Config::new(vec!["old.mem-ns:9876".to_owned()], "c");
    config.dialer = Some(Arc::new(dialer));
    let backend = RemotingBackend::start(config).expect("options that work");
    backend.ready(3 * SECOND).await.expect("it answers");
    backend.update_name_servers(&["mem-ns:9876".to_owned()]);
    backend.route(orders()).await.expect("a route");
    assert_eq!((old.connections(), new.connections()), (1, 1));
    let began = Instant::now();
    soon(old.until(|old| old.connections() == 0)).await;
    assert!(began.elapsed() <= 31 * SECOND, "{:?}", began.elapsed());
    assert_eq!(new.connections(), 1, "the others stay");
}

/// Every member takes its share from the sorted list: one that sorts otherwise would take queues of others. In Java a character
/// of two units comes before one of the last ones of one unit.
#[tokio::test(start_paused = true)]
async fn the_list_of_members_is_sorted_as_java_sorts_it() {
    let cluster = cluster().await;
    let (one, _) = backend(&cluster, &["mem-ns:9876"], "\u{fffd}@1");
    let (two, _) = backend(&cluster, &["mem-ns:9876"], "\u{1f600}@1");
    one.route(orders()).await.expect("a route");
    two.route(orders()).await.expect("a route");
    let _joined = one.join(consumer("billing")).await.expect("it joins");
    let _other = two.join(consumer("billing")).await.expect("it joins");
    let members = one.members(&Group::from("billing"), &Topic::from("Orders")).await.expect("a list");
    assert_eq!(members, ["\u{1f600}@1", "\u{fffd}@1"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_consumer_of_a_group_in_one_client_is_a_conflict_and_the_first_one_stays() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    let Err(failure) = backend.join(consumer("billing")).await else { panic!("it is a member already") };
    assert_eq!(failure.kind(), ErrorKind::Conflict);
    assert_eq!(cluster.members("billing"), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn r12_a_broker_that_is_away_holds_up_no_heartbeat_to_the_others_and_leave_names_nobody_unconnected() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    cluster.broker("broker-1").stop();
    let began = Instant::now();
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    assert!(began.elapsed() < 4 * SECOND, "{:?}", began.elapsed());
    assert_eq!(cluster.members("billing"), ["c"]);
    assert!(backend.leave(&Group::from("billing"), true, 3 * SECOND).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn leaving_names_the_broker_that_could_not_be_told() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    cluster.broker("broker-1").pause();
    let untold = soon(backend.leave(&Group::from("billing"), true, 3 * SECOND)).await;
    assert_eq!(untold, [cluster.broker("broker-1").address()]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_connection_and_refuses_calls() {
    let cluster = cluster().await;
    let (backend, _) = backend(&cluster, &["mem-ns:9876"], "c");
    backend.route(orders()).await.expect("a route");
    let _joined = backend.join(consumer("billing")).await.expect("it joins");
    soon(backend.close()).await;
    soon(cluster.until(|cluster| cluster.connections() == 0)).await;
    let failure = backend.route(orders()).await.expect_err("it is closed");
    assert_eq!(failure.kind(), ErrorKind::Closed);
}
