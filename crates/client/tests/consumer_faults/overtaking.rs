//! Progress, when brokers do what they are asked in another order than it was asked for, as their thread pools may.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferrocket::{Client, PushConsumer};
use ferrocket_testkit::{Action, Call, Fault, Intercepted, TestCluster};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    common::{SECOND, soon},
    members::{GROUP, Log, client, cluster, consumer, fill, queue, until, until_owned},
};

/// Whether it is a pull that carries progress.
fn carries(request: &Intercepted<'_>) -> bool {
    let flag = request.command().fields().find("sysFlag").ok().flatten().and_then(|text| text.parse::<i32>().ok());
    request.call() == Some(Call::Pull) && flag.is_some_and(|flag| flag & 1 == 1)
}

async fn join(client: &Client, log: &Log, who: &'static str, orderly: bool) -> PushConsumer {
    let builder = consumer(client);
    match orderly {
        true => builder.orderly(log.content(who)).build().await.expect("it builds"),
        false => builder.concurrent(log.content(who)).build().await.expect("it builds"),
    }
}

/// Writes down what is stored of the queue, each time that it changes.
async fn watch(cluster: &TestCluster, seen: &Mutex<Vec<u64>>) {
    loop {
        let now = cluster.committed_offset(GROUP, &queue(0));
        {
            let mut seen = seen.lock();
            let is_new = seen.last().copied() != now;
            seen.extend(now.filter(|_| is_new));
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Does this to pulls that carry progress. Gives back how many there were.
fn on_carrying(cluster: &TestCluster, action: Action) -> Arc<AtomicUsize> {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    cluster.intercept(move |request| match carries(request) {
        true => {
            counted.fetch_add(1, Ordering::SeqCst);
            action.clone()
        }
        false => Action::Pass,
    });
    seen
}

/// R-I4, R-I5, CON-PULL-11: an offset that a pull carries may be stored after what was asked for later. What a hand-over and a shutdown
/// store is the last all the same, and nothing comes twice. Apache RocketMQ 4.9.7 did that once, to an orderly hand-over. Seen to fail,
/// all three, with a pull loop that drops the pull under way when its queue is given up, whatever it carries; and with pulls that carry
/// progress and are held by the broker, which nobody can wait for.
#[tokio::test(start_paused = true)]
async fn what_is_stored_at_the_end_of_an_ownership_is_not_overtaken_by_what_pulls_carry() {
    for (orderly, leaves) in [(true, false), (true, true), (false, true)] {
        let (cluster, log, seen) = (cluster(1).await, Log::default(), Mutex::default());
        let carrying = on_carrying(&cluster, Action::ApplyLater(SECOND / 5));
        let scenario = async {
            let (old, _) = client(&cluster, "b-old").await;
            let one = join(&old, &log, "old", orderly).await;
            until_owned(&cluster, &one, 1).await;
            // Until one is on its way, with less than what is settled.
            let (mut number, mut before) = (0, 0);
            while number < 15 || carrying.load(Ordering::SeqCst) == before {
                before = carrying.load(Ordering::SeqCst);
                sleep(SECOND / 10).await;
                fill(&old, &queue(0), number..number + 1).await;
                number += 1;
                until(&cluster, || log.count("old") == number as usize).await;
            }
            let (new, _) = client(&cluster, "a-new").await;
            let began = Instant::now();
            if leaves {
                soon(one.shutdown()).await.expect("it ends");
            }
            let two = join(&new, &log, "new", orderly).await;
            until_owned(&cluster, &two, 1).await;
            assert!(began.elapsed() <= SECOND / 2, "after {:?}", began.elapsed());
            sleep(SECOND).await;
            fill(&new, &queue(0), number..number + 2).await;
            until(&cluster, || log.count("new") >= 2).await;
            sleep(SECOND * 3).await;
            number
        };
        let number = tokio::select! {
            number = scenario => u64::from(number),
            () = watch(&cluster, &seen) => 0,
        };
        let case = format!("orderly {orderly}, leaves {leaves}");
        assert_eq!(log.offsets("new"), [number, number + 1], "{case}");
        let seen = seen.into_inner();
        assert!(seen.len() > 3 && seen.is_sorted(), "{case}: {seen:?}");
    }
}

/// R-I4: the same where a pull is lost with what it carries. The hand-over waits for half of a request's time, and stores.
#[tokio::test(start_paused = true)]
async fn a_pull_that_is_lost_with_what_it_carries_holds_a_hand_over_up_for_a_moment_only() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (old, _) = client(&cluster, "b-old").await;
    let one = join(&old, &log, "old", true).await;
    until_owned(&cluster, &one, 1).await;
    fill(&old, &queue(0), 0..5).await;
    until(&cluster, || log.count("old") == 5).await;
    sleep(2 * SECOND).await;
    let lost = on_carrying(&cluster, Action::DropRequest);
    fill(&old, &queue(0), 5..6).await;
    until(&cluster, || lost.load(Ordering::SeqCst) == 1).await;
    let (new, _) = client(&cluster, "a-new").await;
    let began = Instant::now();
    let two = join(&new, &log, "new", true).await;
    until_owned(&cluster, &two, 1).await;
    assert!(began.elapsed() <= 2 * SECOND, "after {:?}", began.elapsed());
    assert_eq!(cluster.committed_offset(GROUP, &queue(0)), Some(6));
    sleep(SECOND).await;
    assert_eq!(log.count("new"), 0);
}

/// CON-PULL-11: it is what keeps the progress fresh that others see, and the messages few that come twice after a crash. Where there is
/// nothing more to pull, that costs a pull of its own. Seen to fail with what goes along only where there is more to pull: nothing was
/// stored but where the queue begins.
#[tokio::test(start_paused = true)]
async fn progress_of_a_queue_that_has_caught_up_goes_along_with_pulls() {
    let (cluster, log) = (cluster(1).await, Log::default());
    let (client, _) = client(&cluster, "one").await;
    let one = join(&client, &log, "one", false).await;
    until_owned(&cluster, &one, 1).await;
    sleep(SECOND).await;
    let before = cluster.requests(Call::Pull);
    for number in 0..60 {
        fill(&client, &queue(0), number..number + 1).await;
        until(&cluster, || log.count("one") == number as usize + 1).await;
        sleep(SECOND / 4).await;
        let stored = cluster.committed_offset(GROUP, &queue(0));
        assert!(stored >= Some(number.into()), "{stored:?} at {number}");
    }
    let pulls = cluster.requests(Call::Pull) - before;
    assert!(pulls <= 2 * 60, "{pulls} pulls for 60 messages");
    assert_eq!(cluster.requests(Call::CommitOffset), 0, "without a request of its own");
}

/// A heartbeat that is done after the word that a consumer leaves would make it a member again, whose queues nobody has for two minutes.
/// Seen to fail, both, with an end that does not wait for heartbeats under way.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_left_is_not_made_a_member_again_by_a_heartbeat_of_before() {
    for is_dropped in [false, true] {
        let (cluster, log) = (cluster(1).await, Log::default());
        let (client, _) = client(&cluster, "one").await;
        let one = join(&client, &log, "one", false).await;
        until_owned(&cluster, &one, 1).await;
        let late = cluster.fault(Fault::on(Call::Heartbeat).apply_later(SECOND / 5));
        let other = client.push_consumer("refunds").subscribe("Orders", "*").concurrent(log.content("other"));
        let leaves = async {
            until(&cluster, || late.hits() >= 1).await;
            let began = Instant::now();
            match is_dropped {
                true => drop(one),
                false => soon(one.shutdown()).await.expect("it ends"),
            }
            until(&cluster, || cluster.members(GROUP).is_empty()).await;
            assert!(began.elapsed() <= SECOND / 2, "after {:?}", began.elapsed());
        };
        let (other, ()) = tokio::join!(other.build(), leaves);
        let _other = other.expect("it builds");
        sleep(SECOND).await;
        assert_eq!(cluster.members(GROUP), Vec::<String>::new(), "dropped: {is_dropped}");
    }
}
