//! Servers refuse, forget, and learn of topics late.

use ferrocket::consumer::QueueState;
use ferrocket_testkit::{Call, Fault, ResponseCode};
use tokio::time::{Instant, sleep};

use crate::{
    common::SECOND,
    members::{Log, client, cluster, consumer, fill, owned, queue, state, until, until_owned},
};

/// A topic that nobody has created yet is no error: its queues come with it.
#[tokio::test(start_paused = true)]
async fn a_topic_that_is_created_later_is_consumed_within_a_second() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    let log = Log::default();
    let consumer = client.push_consumer("late").subscribe("Later", "*").concurrent(log.content("one"));
    let consumer = consumer.build().await.expect("it builds");
    sleep(60 * SECOND).await;
    cluster.create_topic("Later", 3);
    let of_later = || consumer.assignment().iter().filter(|queue| queue.topic().as_str() == "Later").count();
    let took = until(&cluster, || of_later() == 3).await;
    assert!(took <= SECOND, "{took:?}");
}

/// CON-REB-07: a topic that does not exist is looked for twice a second, and costs nothing else: the group's other topics are shared
/// out when there is a reason to, and at every interval. Seen to fail with rounds that always ask for all topics.
#[tokio::test(start_paused = true)]
async fn a_topic_that_does_not_exist_asks_nothing_about_the_others() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    let log = Log::default();
    let consumer = consumer(&client).subscribe("Later", "*").concurrent(log.content("one"));
    let consumer = consumer.build().await.expect("it builds");
    until_owned(&cluster, &consumer, 1).await;
    sleep(20 * SECOND).await;
    let (members, routes) = (cluster.requests(Call::ConsumerList), cluster.requests(Call::Route));
    sleep(60 * SECOND).await;
    let (members, routes) = (cluster.requests(Call::ConsumerList) - members, cluster.requests(Call::Route) - routes);
    // Of the topic and of the queue of retries, every 20 s.
    assert!((4..=8).contains(&members), "asked for members {members} times in 60 s");
    assert!((60..=150).contains(&routes), "asked for routes {routes} times in 60 s");
    assert_eq!(owned(&consumer), 1);
}

/// G#1057: queues that a topic gets while it is consumed are found with the periodic look-up, without a restart.
#[tokio::test(start_paused = true)]
async fn queues_that_a_topic_gets_later_are_consumed_too() {
    let cluster = cluster(1).await;
    let (client, _wire) = client(&cluster, "one").await;
    let log = Log::default();
    let consumer = consumer(&client).concurrent(log.content("one")).build().await.expect("it builds");
    until_owned(&cluster, &consumer, 1).await;
    cluster.create_topic("Orders", 4);
    let took = until_owned(&cluster, &consumer, 4).await;
    assert!(took <= 31 * SECOND, "{took:?}");
    fill(&client, &queue(3), 0..1).await;
    until(&cluster, || log.count("one") == 1).await;
}

/// CON-BUG-59: a refusal that needs a person is not asked for without end. Seen to fail with the pause of other refusals.
#[tokio::test(start_paused = true)]
async fn a_pull_that_is_refused_for_good_is_repeated_every_3_s_and_heals() {
    for code in [ResponseCode::NO_PERMISSION, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, ResponseCode::TOPIC_NOT_EXIST]
    {
        let cluster = cluster(1).await;
        let (client, _wire) = client(&cluster, "one").await;
        fill(&client, &queue(0), 0..1).await;
        let refusal = cluster.fault(Fault::on(Call::Pull).answer(code, "not for you"));
        let log = Log::default();
        let consumer = consumer(&client).concurrent(log.content("one")).build().await.expect("it builds");
        until_owned(&cluster, &consumer, 1).await;
        until(&cluster, || state(&consumer, &queue(0)) == Some(QueueState::PermissionDenied)).await;
        let before = cluster.requests(Call::Pull);
        sleep(30 * SECOND).await;
        // Of the topic and of the queue of retries.
        let pulls = cluster.requests(Call::Pull) - before;
        assert!((18..=22).contains(&pulls), "{code:?}: {pulls} pulls in 30 s");
        refusal.remove();
        let took = until(&cluster, || log.count("one") == 1).await;
        assert!(took <= 3 * SECOND + SECOND / 10, "{code:?}: {took:?}");
    }
}

/// J#5322: a name server that was restarted knows no topic for a while; what is consumed goes on.
#[tokio::test(start_paused = true)]
async fn a_name_server_that_has_forgotten_a_topic_ends_no_consumption() {
    let cluster = cluster(2).await;
    let (client, _wire) = client(&cluster, "one").await;
    let log = Log::default();
    let consumer = consumer(&client).concurrent(log.content("one")).build().await.expect("it builds");
    until_owned(&cluster, &consumer, 2).await;
    fill(&client, &queue(0), 0..1).await;
    until(&cluster, || log.count("one") == 1).await;
    let forgetful = cluster.fault(Fault::on(Call::Route).answer(ResponseCode::TOPIC_NOT_EXIST, "no such topic"));
    let until_then = Instant::now() + 120 * SECOND;
    while Instant::now() < until_then {
        assert_eq!(owned(&consumer), 2);
        sleep(SECOND).await;
    }
    forgetful.remove();
    fill(&client, &queue(1), 0..1).await;
    until(&cluster, || log.count("one") == 2).await;
}

/// CON-BUG-90, CON-REB-07: a list of members that cannot be had changes nothing. Seen to fail where it counted as an empty one.
#[tokio::test(start_paused = true)]
async fn a_refused_list_of_members_changes_no_assignment() {
    let cluster = cluster(4).await;
    let (one, _wire) = client(&cluster, "one").await;
    let log = Log::default();
    let first = consumer(&one).concurrent(log.content("one")).build().await.expect("it builds");
    until_owned(&cluster, &first, 4).await;
    let refusal = cluster.fault(Fault::on(Call::ConsumerList).answer(ResponseCode::SYSTEM_ERROR, "not now"));
    let (two, _wire) = client(&cluster, "two").await;
    let second = consumer(&two).concurrent(log.content("two")).build().await.expect("it builds");
    let until_then = Instant::now() + 60 * SECOND;
    while Instant::now() < until_then {
        assert_eq!((owned(&first), owned(&second)), (4, 0));
        sleep(SECOND).await;
    }
    refusal.remove();
    let took = until(&cluster, || (owned(&first), owned(&second)) == (2, 2)).await;
    assert!(took <= SECOND, "{took:?}");
}
