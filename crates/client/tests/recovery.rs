//! Servers go and come back, answers are lost: what is sent and consumed all the same.

mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{SECOND, soon, start};
use ferrocket::{Applied, Client, ConsumeFrom, ErrorKind, Message, Producer, PushConsumer, ReceivedMessage};
use ferrocket_testkit::{Call, Fault, ResponseCode, TestCluster};
use parking_lot::Mutex;
use tokio::time::Instant;

async fn brokers(count: usize) -> (TestCluster, Client) {
    start(TestCluster::builder().brokers(count).topic("Orders", 2)).await
}

async fn producer(client: &Client) -> Producer {
    client.producer("shop").build().await.expect("it builds")
}

type Seen = Arc<Mutex<BTreeSet<String>>>;

async fn consumer(client: &Client) -> (PushConsumer, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let consumer = client
        .push_consumer("billing")
        .subscribe("Orders", "*")
        .consume_from(ConsumeFrom::Earliest)
        .concurrent(move |message: ReceivedMessage| {
            log.lock().insert(String::from_utf8_lossy(message.body()).into_owned());
            async {}
        })
        .build()
        .await
        .expect("it builds");
    (consumer, seen)
}

async fn send_all(producer: &Producer, numbers: std::ops::Range<usize>) {
    for n in numbers {
        soon(producer.send(Message::new("Orders", n.to_string()))).await.expect("it is stored");
    }
}

/// Sends until it works: within a second of the broker's return, or the case has failed (R4).
async fn until_sent(producer: &Producer) {
    let sending = async {
        while producer.send(Message::new("Orders", "probe")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SECOND, sending).await.expect("a send succeeds within a second");
}

#[tokio::test(start_paused = true)]
async fn r4_sends_succeed_again_within_1_s_when_the_broker_is_back_on_another_port() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    send_all(&producer, 0..3).await;
    let before = cluster.broker("broker-0").address();
    cluster.broker("broker-0").stop();
    let error = soon(producer.send(Message::new("Orders", "lost")).timeout(SECOND)).await.expect_err("nobody is there");
    assert_eq!(error.applied(), Applied::No, "{error}");
    soon(cluster.broker("broker-0").restart()).await.expect("it starts");
    assert_ne!(cluster.broker("broker-0").address(), before);
    until_sent(&producer).await;
}

#[tokio::test(start_paused = true)]
async fn r4_sends_succeed_again_within_1_s_when_the_broker_is_back_on_the_same_port() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    send_all(&producer, 0..3).await;
    cluster.broker("broker-0").stop();
    soon(producer.send(Message::new("Orders", "lost")).timeout(SECOND)).await.expect_err("nobody is there");
    soon(cluster.broker("broker-0").restart_on_same_port()).await.expect("it starts");
    until_sent(&producer).await;
}

#[tokio::test(start_paused = true)]
async fn r4_with_two_brokers_every_send_succeeds_while_one_is_away() {
    let (cluster, client) = brokers(2).await;
    let producer = producer(&client).await;
    send_all(&producer, 0..8).await;
    cluster.broker("broker-1").stop();
    let began = Instant::now();
    send_all(&producer, 8..40).await;
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    let stored: BTreeSet<_> =
        cluster.messages("Orders").iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect();
    assert_eq!(stored.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn r4_a_consumer_resumes_and_loses_nothing_when_the_broker_is_back_on_another_port() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    let (consumer, seen) = consumer(&client).await;
    send_all(&producer, 0..50).await;
    soon(cluster.until(|_| seen.lock().len() == 50)).await;
    cluster.broker("broker-0").stop();
    soon(cluster.broker("broker-0").restart()).await.expect("it starts");
    until_sent(&producer).await;
    let began = Instant::now();
    send_all(&producer, 50..100).await;
    soon(cluster.until(|_| seen.lock().len() == 101)).await;
    let took = began.elapsed();
    assert!(took <= SECOND, "{took:?}");
    let expected: BTreeSet<_> = (0..100).map(|n| n.to_string()).chain(["probe".to_owned()]).collect();
    assert_eq!(*seen.lock(), expected);
    soon(consumer.shutdown()).await.expect("it ends");
    soon(client.shutdown()).await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn r4_a_consumer_resumes_within_1_s_when_the_broker_is_back_without_anybody_sending() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    send_all(&producer, 0..10).await;
    let (_consumer, seen) = consumer(&client).await;
    soon(cluster.until(|_| seen.lock().len() == 10)).await;
    cluster.broker("broker-0").stop();
    soon(cluster.broker("broker-0").restart()).await.expect("it starts");
    let pulls = cluster.requests(Call::Pull);
    let began = Instant::now();
    soon(cluster.until(|cluster| cluster.requests(Call::Pull) > pulls)).await;
    let took = began.elapsed();
    assert!(took <= SECOND, "{took:?}");
    soon(cluster.until(|cluster| cluster.members("billing").len() == 1)).await;
}

/// R1: with a connection the broker forgets who was there. It is told again as soon as there is another one, not with the next
/// heartbeat: until then no producer here would be asked about transactions, or get a reply.
#[tokio::test(start_paused = true)]
async fn r1_a_broker_that_lost_a_connection_is_told_at_once_who_is_here_over_the_next_one() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    send_all(&producer, 0..1).await;
    soon(cluster.until(|cluster| cluster.producers("shop").len() == 1)).await;
    for _ in 0..5 {
        let fault = cluster.fault(Fault::on(Call::Send).times(1).disconnect());
        let (began, beats) = (Instant::now(), cluster.requests(Call::Heartbeat));
        send_all(&producer, 0..1).await;
        assert_eq!(fault.hits(), 1);
        soon(cluster.until(|cluster| cluster.requests(Call::Heartbeat) > beats)).await;
        soon(cluster.until(|cluster| cluster.producers("shop").len() == 1)).await;
        assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_cut_within_the_answer_leaves_the_outcome_unknown() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    let cut = cluster.fault(Fault::on(Call::Send).times(1).cut_answer_after(5));
    let error = soon(producer.send(Message::new("Orders", "x")).max_attempts(1)).await.expect_err("the answer is cut");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::BrokerUnreachable, Applied::Unknown));
    let text = error.to_string();
    assert!(
        text.starts_with(
            "cannot send to topic Orders: the connection ended before the answer came: the peer closed the connection; \
             broker broker-0 at "
        ),
        "{text}"
    );
    assert!(text.ends_with("; outcome unknown: it may have been applied"), "{text}");
    assert_eq!(error.attempts().len(), 1);
    assert_eq!((cut.hits(), cluster.messages("Orders").len()), (1, 1), "it was stored");
}

#[tokio::test(start_paused = true)]
async fn a_connection_cut_within_the_answer_is_made_up_for_by_a_retry() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    let _ = cluster.fault(Fault::on(Call::Send).times(1).cut_answer_after(5));
    let receipt = soon(producer.send(Message::new("Orders", "x"))).await.expect("the second attempt succeeds");
    let applied: Vec<_> = receipt.attempts().iter().map(|attempt| attempt.applied).collect();
    assert_eq!(applied, [Applied::Unknown, Applied::Yes]);
    let stored = cluster.messages("Orders");
    assert_eq!(stored.len(), 2, "at least once");
    assert!(stored.iter().all(|message| message.id() == receipt.message_id()), "both have the same id");
}

#[tokio::test(start_paused = true)]
async fn without_retry_unknown_a_cut_answer_is_not_retried() {
    let (cluster, client) = brokers(1).await;
    let producer = client.producer("shop").retry_unknown(false).build().await.expect("it builds");
    let _ = cluster.fault(Fault::on(Call::Send).times(1).apply_then_disconnect());
    let error = soon(producer.send(Message::new("Orders", "x"))).await.expect_err("the answer is lost");
    assert_eq!(error.applied(), Applied::Unknown);
    assert_eq!(cluster.messages("Orders").len(), 1, "at most once");
}

#[tokio::test(start_paused = true)]
async fn system_busy_is_retried_and_the_attempts_are_in_the_receipt() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    let busy = cluster.fault(Fault::on(Call::Send).times(2).answer(ResponseCode::SYSTEM_BUSY, "[PCBUSY_CLEAN_QUEUE]"));
    let receipt = soon(producer.send(Message::new("Orders", "x"))).await.expect("the third attempt succeeds");
    let errors: Vec<_> = receipt.attempts().iter().map(|attempt| attempt.error).collect();
    assert_eq!(errors, [Some(ErrorKind::Busy), Some(ErrorKind::Busy), None]);
    assert_eq!((busy.hits(), cluster.messages("Orders").len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn system_busy_for_ever_ends_after_max_attempts_with_the_server_s_words() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    let busy = cluster.fault(Fault::on(Call::Send).answer(ResponseCode::SYSTEM_BUSY, "[PCBUSY_CLEAN_QUEUE]"));
    let error = soon(producer.send(Message::new("Orders", "x"))).await.expect_err("the broker is busy");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Busy, Applied::No));
    assert_eq!((error.attempts().len(), busy.hits()), (3, 3));
    let text = error.to_string();
    assert!(text.contains("; it answered 2 \"[PCBUSY_CLEAN_QUEUE]\"; 3 attempts in "), "{text}");
    assert!(text.ends_with("; send slower, or wait"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn go_away_is_retried_over_a_new_connection_without_costing_an_attempt() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    let _ = cluster.fault(Fault::on(Call::Send).times(1).answer(ResponseCode::GO_AWAY, "restarting"));
    let receipt = soon(producer.send(Message::new("Orders", "x")).max_attempts(1)).await.expect("it is stored");
    assert!(receipt.attempts().is_empty());
    assert_eq!(cluster.messages("Orders").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn r2_an_attempt_that_nobody_answers_ends_in_time_for_the_next_one() {
    let (cluster, client) = brokers(1).await;
    let producer = client.producer("shop").attempt_timeout(SECOND).build().await.expect("it builds");
    let _ = cluster.fault(Fault::on(Call::Send).times(1).drop_request());
    let began = Instant::now();
    soon(producer.send(Message::new("Orders", "x"))).await.expect("the second attempt succeeds");
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_send_before_its_first_poll_sends_nothing() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    send_all(&producer, 0..1).await;
    drop(producer.send(Message::new("Orders", "never")));
    send_all(&producer, 1..2).await;
    let bodies: Vec<_> = cluster.messages("Orders").iter().map(|message| message.body().clone()).collect();
    assert_eq!(bodies, ["0", "1"]);
    assert_eq!(cluster.requests(Call::Send), 2);
    assert_eq!(producer.health().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn r5_sends_and_consumers_go_on_while_the_name_server_is_away() {
    let (cluster, client) = brokers(1).await;
    let producer = producer(&client).await;
    let (_consumer, seen) = consumer(&client).await;
    send_all(&producer, 0..5).await;
    soon(cluster.until(|_| seen.lock().len() == 5)).await;
    cluster.name_server_stop();
    // Over several refreshes of the route.
    for n in 5..15 {
        tokio::time::advance(10 * SECOND).await;
        send_all(&producer, n..n + 1).await;
    }
    soon(cluster.until(|_| seen.lock().len() == 15)).await;
    soon(cluster.name_server_restart()).await.expect("it starts");
}

/// PRO-FLT-06: while a broker is away nobody sends there; a probe finds it back, and it is used within a second.
#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_left_alone_and_used_within_1_s_when_it_is_back() {
    let (cluster, client) = brokers(2).await;
    let producer = producer(&client).await;
    send_all(&producer, 0..8).await;
    cluster.broker("broker-0").stop();
    // The first send that meets it goes on to the other one.
    send_all(&producer, 8..12).await;
    assert_eq!(producer.health().avoided_brokers, ["broker-0"]);
    for n in 0..20 {
        let receipt = soon(producer.send(Message::new("Orders", n.to_string()))).await.expect("the other one has it");
        assert_eq!(receipt.queue().expect("a queue").broker(), &"broker-1");
        assert!(receipt.attempts().is_empty(), "nobody is tried in vain: {:?}", receipt.attempts());
    }
    cluster.broker("broker-0").restart().await.expect("it starts again");
    let began = Instant::now();
    soon(async {
        while !producer.health().avoided_brokers.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
    let mut brokers = BTreeSet::new();
    for n in 0..8 {
        let receipt = soon(producer.send(Message::new("Orders", n.to_string()))).await.expect("it is stored");
        brokers.insert(receipt.queue().expect("a queue").broker().clone());
    }
    assert_eq!(brokers.len(), 2, "both are used: {brokers:?}");
    client.shutdown().await.expect("it ends");
}
