//! Requests and replies under faults: every request gets its own reply, or an honest error in time.

use std::time::Duration;

use ferrocket::{Applied, Client, ConsumeFrom, ErrorKind, Leftover, Message, Producer, PushConsumer, ReceivedMessage};
use ferrocket_testkit::{Call, Fault};
use futures::future::join_all;
use tokio::time::Instant;

use crate::common::{SECOND, brokers, soon, wire::connect};

/// Answers each request with its own body, after as many milliseconds as it says, as often as it says.
async fn server(client: &Client) -> (PushConsumer, Producer) {
    let producer = client.producer("replies").build().await.expect("it builds");
    let replies = producer.clone();
    let consumer = client.push_consumer("server").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let consumer = consumer.concurrency(200).concurrent(move |request: ReceivedMessage| {
        let replies = replies.clone();
        async move {
            let number = |name: &str| request.property(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(number("after"))).await;
            for _ in 0..number("times") {
                // A broker that finds nobody for it says so; that is the asker's affair.
                if let Ok(reply) = request.reply(request.body().clone()) {
                    let _ = replies.send(reply).await;
                }
            }
        }
    });
    (consumer.build().await.expect("it builds"), producer)
}

fn question(body: &str, after: usize, times: usize) -> Message {
    Message::new("Orders", body.to_owned()).with_property("after", after).with_property("times", times)
}

/// R-I7, R-I10, R17: replies that come in any order, twice, late or never, and connections that are cut meanwhile. Seen to fail with
/// a table of those who wait that gives a reply to the first of them.
#[tokio::test(start_paused = true)]
async fn every_request_gets_its_own_reply_or_an_honest_error_in_time() {
    let cluster = brokers(2).start().await.expect("it starts");
    let (client, wire) = connect(&cluster).await;
    let (other, _) = connect(&cluster).await;
    let (_consumer, _replies) = server(&other).await;
    let asking = client.producer("asking").build().await.expect("it builds");
    soon(asking.request(question("first", 0, 1))).await.expect("a reply");
    let (mut answered, mut unanswered) = (0, 0);
    for round in 0..20 {
        match round % 4 {
            1 => wire.cut_after(round * 201),
            2 => drop(cluster.fault(Fault::on(Call::Send).skip(round).times(3).apply_then_disconnect())),
            3 => drop(cluster.fault(Fault::on(Call::Send).skip(round).times(3).delay(SECOND))),
            _ => {}
        }
        let requests = (0..60).map(|n| {
            let asking = &asking;
            async move {
                let body = format!("{round} {n}");
                // Of ten, one is never answered, one too late, and two twice.
                let (after, times) = match n % 10 {
                    0 => (0, 0),
                    1 => (4_000, 1),
                    2 | 3 => (n * 7, 2),
                    _ => (n * 37 % 500, 1),
                };
                let began = Instant::now();
                let asked = asking.request(question(&body, after, times)).timeout(3 * SECOND).await;
                assert!(began.elapsed() <= 3 * SECOND + SECOND / 1_000, "{body}: {:?}", began.elapsed());
                match asked {
                    Ok(reply) => {
                        assert_eq!(reply.body(), body.as_bytes(), "another one's reply");
                        assert!(n % 10 > 1, "{body} has no reply in time");
                        true
                    }
                    Err(error) => {
                        // Stored, and nobody answered in time.
                        assert_eq!(
                            (error.kind(), error.applied()),
                            (ErrorKind::NoReply, Applied::Yes),
                            "{body}: {error}"
                        );
                        false
                    }
                }
            }
        });
        let asked = join_all(requests).await;
        answered += asked.iter().filter(|answered| **answered).count();
        unanswered += asked.iter().filter(|answered| !**answered).count();
        wire.was_cut();
        // Late replies come, and brokers are told who is here.
        tokio::time::sleep(40 * SECOND).await;
    }
    assert!(answered > 800 && unanswered >= 240, "{answered} answered, {unanswered} not");
    let unwanted = client.metrics().unwanted_replies;
    assert!(unwanted >= 300, "{unwanted} late and doubled replies were counted");
    soon(client.shutdown()).await.expect("nothing waits");
}

/// R22: a shutdown waits for a reply that comes in time; one that does not is left over, and its request ends with the client.
#[tokio::test(start_paused = true)]
async fn r22_a_shutdown_waits_for_replies_until_its_deadline() {
    for (after, comes) in [(900, true), (30_000, false)] {
        let cluster = brokers(1).start().await.expect("it starts");
        let (client, _) = connect(&cluster).await;
        let (other, _) = connect(&cluster).await;
        let (_consumer, _replies) = server(&other).await;
        let asking = client.producer("asking").build().await.expect("it builds");
        soon(asking.request(question("first", 0, 1))).await.expect("a reply");
        let asked = asking.request(question("second", after, 1)).timeout(60 * SECOND);
        let ending = async {
            cluster.until(|cluster| cluster.messages("Orders").len() == 2).await;
            let began = Instant::now();
            let ended = soon(client.shutdown().within(2 * SECOND)).await;
            assert!(began.elapsed() <= 2 * SECOND + SECOND / 2, "{:?}", began.elapsed());
            ended
        };
        let (asked, ended) = tokio::join!(asked, ending);
        if comes {
            assert_eq!(asked.expect("a reply").body(), "second");
            ended.expect("nothing is left");
        } else {
            let error = asked.expect_err("nobody answered");
            assert_eq!((error.kind(), error.applied()), (ErrorKind::Closed, Applied::Yes), "{error}");
            let left = ended.expect_err("one is left");
            assert!(matches!(left.leftovers(), [Leftover::Sends { count: 1, .. }]), "{:?}", left.leftovers());
        }
    }
}

/// R2: brokers learn of an asker before its first request of a topic, and one that does not answer holds up nobody else. Seen to fail, by a
/// request whose time was over before it was sent, when that may take all of it, and when one may wait for the announcement of another.
#[tokio::test(start_paused = true)]
async fn r2_a_silent_broker_does_not_hold_up_first_requests_to_others() {
    let cluster = brokers(2).topic("Orders", 1).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let asking = client.producer("asking").build().await.expect("it builds");
    let silent = cluster.fault(Fault::on(Call::Heartbeat).on_broker("broker-1").drop_request());
    let queue = soon(client.queues("Orders")).await.expect("it is there").remove(0);
    assert_eq!(queue.broker(), "broker-0");
    // The first one has much time to wait for that broker, and the others have not.
    let timeout = |n| if n == 0 { 10 * SECOND } else { 2 * SECOND };
    let asked = (0..20).map(|n| asking.request(question("hello", 0, 0)).to_queue(&queue).timeout(timeout(n)));
    for asked in soon(join_all(asked)).await {
        let error = asked.expect_err("nobody replies");
        assert_eq!((error.kind(), error.applied()), (ErrorKind::NoReply, Applied::Yes), "{error}");
    }
    assert_eq!(cluster.messages("Orders").len(), 20);
    drop(silent);
}

/// Seen to fail with a heartbeat per request.
#[tokio::test(start_paused = true)]
async fn first_requests_of_a_topic_tell_each_broker_once_and_those_that_cannot_be_sent_ask_nobody() {
    let cluster = brokers(2).start().await.expect("it starts");
    let (client, _) = connect(&cluster).await;
    let asking = client.producer("asking").build().await.expect("it builds");
    let traffic = || [Call::Heartbeat, Call::Route].map(|call| cluster.requests(call));
    let before = traffic();
    let error = soon(asking.request(Message::new("Orders", ""))).await.expect_err("there is nothing in it");
    assert_eq!((error.kind(), traffic()), (ErrorKind::InvalidArgument, before), "{error}");
    let asked = join_all((0..50).map(|_| asking.request(question("hello", 0, 0))));
    // Later, when replies are missed, brokers are told anew.
    let asked = tokio::time::timeout(SECOND, asked).await;
    assert!(asked.is_err(), "nobody replies");
    assert_eq!(cluster.messages("Orders").len(), 50);
    let [beats, _] = traffic();
    // One for the requests, and one of the client, which has learned of brokers.
    assert!(beats - before[0] <= 2 * 2, "{beats} after {}", before[0]);
}
