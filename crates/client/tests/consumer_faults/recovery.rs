//! One of several brokers goes away for a while, and comes back.

use ferrocket::consumer::QueueState;
use ferrocket_testkit::{Call, Fault, TestCluster};
use tokio::time::{Instant, sleep};

use crate::{
    common::{SECOND, soon},
    members::{Log, client, cluster, consumer, fill, owned, queue, state, until, until_owned},
};

/// R4, R12. Name servers forget a broker with its connection, so that its queues leave the route, and nothing that uses them is left
/// that could notice its return. Seen to fail (by a minute) without `route::Vanished`.
#[tokio::test(start_paused = true)]
async fn r4_a_consumer_has_the_queues_of_a_broker_back_within_2_s_however_long_it_was_away() {
    for away in [5 * SECOND, 100 * SECOND] {
        for (moves, in_order) in [(false, false), (true, false), (false, true), (true, true)] {
            let cluster = TestCluster::builder().in_memory().brokers(2).topic("Orders", 2);
            let cluster = cluster.start().await.expect("it starts");
            let (client, _wire) = client(&cluster, "a").await;
            let log = Log::default();
            let consumer = match in_order {
                true => soon(consumer(&client).orderly(log.content("a")).build()).await,
                false => soon(consumer(&client).concurrent(log.content("a")).build()).await,
            };
            let consumer = consumer.expect("it builds");
            until_owned(&cluster, &consumer, 4).await;

            cluster.broker("broker-0").stop();
            until_owned(&cluster, &consumer, 2).await;
            sleep(away).await;
            let broker = cluster.broker("broker-0");
            match moves {
                true => soon(broker.restart()).await.expect("it starts"),
                false => soon(broker.restart_on_same_port()).await.expect("it starts"),
            }
            let back = Instant::now();
            until_owned(&cluster, &consumer, 4).await;
            fill(&client, &queue(0), 0..1).await;
            soon(cluster.until(|_| log.count("a") == 1)).await;
            let took = back.elapsed();
            assert!(took <= 2 * SECOND, "away {away:?}, another port: {moves}, in order: {in_order}: {took:?}");
            soon(consumer.shutdown()).await.expect("it ends");
            soon(client.shutdown()).await.expect("it ends");
        }
    }
}

/// What is missing costs the name servers one question a second, however many topics were there; and it ends.
#[tokio::test(start_paused = true)]
async fn r4_a_broker_that_stays_away_is_looked_for_with_one_question_a_second_for_ten_minutes() {
    let topics: Vec<String> = (0..10).map(|number| format!("Orders{number}")).collect();
    let builder = TestCluster::builder().in_memory().brokers(2);
    let builder = topics.iter().fold(builder, |builder, topic| builder.topic(topic, 2));
    let cluster = builder.start().await.expect("it starts");
    let (client, _wire) = client(&cluster, "a").await;
    let consumer =
        topics.iter().fold(client.push_consumer("billing"), |consumer, topic| consumer.subscribe(topic, "*"));
    let consumer = soon(consumer.concurrent(Log::default().content("a")).build()).await.expect("it builds");
    soon(cluster.until(|_| consumer.assignment().iter().filter(|queue| !queue.topic().is_retry()).count() == 40)).await;
    assert_eq!(owned(&consumer), 0, "none of them is called `Orders`");

    cluster.broker("broker-0").stop();
    // Each topic finds out with the next look-up of its own.
    sleep(61 * SECOND).await;
    let asked = async |time| {
        let before = cluster.requests(Call::Route);
        sleep(time).await;
        cluster.requests(Call::Route) - before
    };
    // Every topic, the group's retry topic too, is looked up every 30 s in any case.
    let regular = 11 * 2;
    let looking = asked(60 * SECOND).await;
    assert!((regular + 50..=regular + 65).contains(&looking), "{looking} questions in a minute");
    sleep(10 * 60 * SECOND).await;
    let resting = asked(60 * SECOND).await;
    assert!((regular - 2..=regular + 2).contains(&resting), "{resting} questions in a minute");
}

/// Health says with the new connection that a broker is there again, also where there is nothing to consume. Connections come within 5 s
/// (R-I13). Seen to fail with a first pull that the broker holds for 15 s.
#[tokio::test(start_paused = true)]
async fn a_queue_without_messages_says_with_the_connection_that_its_broker_is_back() {
    let cluster = cluster(1).await;
    let (client, wire) = client(&cluster, "a").await;
    let consumer = soon(consumer(&client).concurrent(Log::default().content("a")).build()).await.expect("it builds");
    until(&cluster, || state(&consumer, &queue(0)) == Some(QueueState::Running)).await;
    wire.unplug();
    let is_away = || matches!(state(&consumer, &queue(0)), Some(QueueState::BrokerUnreachable { .. }));
    until(&cluster, is_away).await;
    sleep(5 * SECOND).await;
    wire.plug();
    let took = until(&cluster, || state(&consumer, &queue(0)) == Some(QueueState::Running)).await;
    assert!(took <= 5 * SECOND + SECOND / 2, "{took:?}");
    let pulls = cluster.requests(Call::Pull);
    sleep(10 * SECOND).await;
    assert!(cluster.requests(Call::Pull) - pulls <= 2, "and it is held again");
}

/// R4, R6. While the only broker of a topic is away its queues stay ours, and the pauses between attempts to reach its old address grow to
/// 5 s. Its new address is used at once. Seen to fail (after 2.7 s) with pulls that wait out the pause for the
/// old one.
#[tokio::test(start_paused = true)]
async fn r6_the_only_broker_is_consumed_from_within_a_second_of_the_look_up_that_finds_it_elsewhere() {
    for away in [3, 10, 30, 100, 300] {
        let cluster = cluster(2).await;
        let (client, _wire) = client(&cluster, "a").await;
        let log = Log::default();
        let consumer = soon(consumer(&client).concurrent(log.content("a")).build()).await.expect("it builds");
        until_owned(&cluster, &consumer, 2).await;
        fill(&client, &queue(0), 0..1).await;
        until(&cluster, || log.count("a") == 1).await;
        cluster.broker("broker-0").stop();
        sleep(away * SECOND).await;
        soon(cluster.broker("broker-0").restart()).await.expect("it starts");
        let back = Instant::now();
        fill(&client, &queue(0), 1..2).await;
        soon(cluster.until(|_| log.count("a") == 2)).await;
        let took = back.elapsed();
        // A look-up every second, and what it takes from there.
        assert!(took <= 2 * SECOND, "away {away} s: {took:?}");
        soon(client.shutdown()).await.expect("it ends");
    }
}

/// A broker that takes pulls and answers none, while it answers everything else: health says so after the time of one pull, and that it is
/// over as soon as it is. Seen to fail with health that only knew of brokers that are away: it called the queue Running.
#[tokio::test(start_paused = true)]
async fn pulls_that_are_never_answered_are_seen_in_health() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "a").await;
    let log = Log::default();
    let lost = cluster.fault(Fault::on(Call::Pull).drop_request());
    let consumer = soon(consumer(&client).concurrent(log.content("a")).build()).await.expect("it builds");
    until_owned(&cluster, &consumer, 1).await;
    assert_eq!(state(&consumer, &queue(0)), Some(QueueState::Running));
    sleep(26 * SECOND).await;
    assert!(matches!(state(&consumer, &queue(0)), Some(QueueState::BrokerUnreachable { .. })));
    assert!(!consumer.health().is_healthy());
    lost.remove();
    fill(&client, &queue(0), 0..1).await;
    let took = until(&cluster, || log.count("a") == 1).await;
    assert!(took <= 26 * SECOND, "after the pull that was lost last: {took:?}");
    assert_eq!(state(&consumer, &queue(0)), Some(QueueState::Running));
}
