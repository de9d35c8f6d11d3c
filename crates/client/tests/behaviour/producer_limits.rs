//! What producers hold back, give up, count, and share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrocket::{
    Applied, ConsumeFrom, ErrorKind, Message, ProducerInterceptor, ReceivedMessage, TransactionState,
    producer::{SendOutcome, TransactionEnd},
};
use futures::future::join_all;
use parking_lot::Mutex;

use crate::server::{Inbox, Server, eventually, unique};

/// A request keeps its place until its reply, so that the window can be filled on any server.
#[tokio::test]
async fn a_send_that_finds_no_place_in_the_window_is_overloaded_and_one_that_is_given_up_leaves_its_place() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(1).await;
    let producer = client.producer(unique("producer")).max_in_flight(1).build().await.unwrap();
    producer.send(Message::new(&topic, "first")).await.unwrap();
    let mut asking = Box::pin(producer.request(Message::new(&topic, "who is there?")).timeout(Duration::from_secs(30)));
    let overloaded = async {
        eventually("the request takes its place", async || producer.health().in_flight == 1).await;
        producer.send(Message::new(&topic, "no place")).timeout(Duration::from_millis(300)).await.unwrap_err()
    };
    let error = tokio::select! {
        error = overloaded => error,
        reply = &mut asking => panic!("nobody replies: {reply:?}"),
    };
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Overloaded, Applied::No), "{error}");
    assert!(error.to_string().contains("1 sends with 13 bytes are in flight"), "{error}");
    drop(asking);
    assert_eq!(producer.health().in_flight, 0);
    producer.send(Message::new(&topic, "a place again")).await.unwrap();
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn producers_of_one_client_count_what_they_send_and_go_on_when_one_of_them_ends() {
    let server = Server::start().await;
    let client = server.client().await;
    let topic = server.topic(4).await;
    let [one, two] = ["one", "two"].map(|name| client.producer(unique(name)).build());
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    join_all((0..20).map(|n| one.send(Message::new(&topic, n.to_string()))))
        .await
        .into_iter()
        .for_each(|sent| drop(sent.unwrap()));
    two.send_batch((0..5).map(|n| Message::new(&topic, n.to_string()))).await.unwrap();
    two.send_oneway(Message::new(&topic, "handed over")).await.unwrap();
    two.send(Message::new(&topic, "")).await.unwrap_err();
    let metrics = client.metrics();
    assert_eq!((metrics.sent, metrics.send_failed, metrics.send_unknown), (26, 1, 0));
    let counts: Vec<_> = metrics.send_latency.iter().map(|of| (&of.topic, of.outcome, of.histogram.count())).collect();
    // A batch is one; a one-way send has no time.
    assert_eq!(counts, [(&topic, SendOutcome::Sent, 21), (&topic, SendOutcome::Failed, 1)]);
    one.shutdown().await.unwrap();
    assert_eq!(one.send(Message::new(&topic, "too late")).await.unwrap_err().kind(), ErrorKind::Closed);
    two.send(Message::new(&topic, "goes on")).await.unwrap();
    client.shutdown().await.unwrap();
}

/// How transactions ended, and whether a checker said so; by their tags.
type EndsByTag = BTreeMap<String, Vec<(TransactionState, bool)>>;

#[derive(Clone, Default)]
struct Ends(Arc<Mutex<EndsByTag>>);

impl ProducerInterceptor for Ends {
    fn transaction_end(&self, end: &TransactionEnd) {
        let tag = end.tag.clone().unwrap_or_default();
        self.0.lock().entry(tag).or_default().push((end.state, end.from_check));
    }
}

/// The broker has asked before the sender is ready: a commit after the checker's is not sent, one after its rollback is, and
/// consumers get each message once. Real brokers first ask after 6 s or more.
#[tokio::test]
async fn slow_senders_end_transactions_that_the_checker_has_ended_and_each_message_comes_once() {
    use TransactionState::{Commit, Rollback};
    let server = Server::start().await;
    let client = server.client().await;
    let (topic, inbox, ends) = (server.topic(1).await, Inbox::default(), Ends::default());
    let checker = |half: ReceivedMessage| {
        let state = if half.tag() == Some("undone") { Rollback } else { Commit };
        async move { Ok::<_, std::io::Error>(state) }
    };
    let producer = client.transaction_producer(unique("transactions"), checker).interceptor(ends.clone());
    let producer = producer.build().await.unwrap();
    let begin = async |tag: &str| producer.begin(Message::new(&topic, tag.to_owned()).with_tag(tag)).await.unwrap();
    let (done, undone, kept) = (begin("done").await, begin("undone").await, begin("kept").await);
    let asked = async || ends.0.lock().len() == 3;
    let patience = Duration::from_secs(150);
    let all_are_asked = async {
        while !asked().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, all_are_asked).await.expect("the broker asks in the end");
    eventually("the answers are there", async || client.metrics().transaction_checks >= 3).await;
    done.commit().await.expect("it is committed already");
    undone.commit().await.expect("the sender knows better");
    let error = kept.rollback().await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Conflict, Applied::No), "{error}");
    producer.producer().send(Message::new(&topic, "fence")).await.unwrap();
    let consumer = client.push_consumer(server.group()).subscribe(&topic, "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = consumer.concurrent(inbox.listener()).build().await.unwrap();
    inbox.wait_for(4).await;
    let once = ["done", "fence", "kept", "undone"].map(|body| (body.as_bytes().to_vec(), 1));
    assert_eq!(inbox.counts(), once.into());
    let told = |tag: &str| ends.0.lock()[tag].clone();
    assert_eq!([told("done"), told("kept")], [[(Commit, true)], [(Commit, true)]], "brokers are told once");
    assert_eq!(told("undone"), [(Rollback, true), (Commit, false)]);
    client.shutdown().await.unwrap();
}
