//! What histories cannot see of the mutants of consumers (`cargo xtask mutants`), each by a case of its own.

mod common;

use std::sync::Arc;

use common::{SECOND, client_of, soon, start, wire::wired};
use ferrocket::{Client, ConsumeFrom, Message, MessageQueue, Outcome, PushConsumer, ReceivedMessage};
use ferrocket_protocol::{ReadRequest, request::CommitOffset};
use ferrocket_testkit::{Action, Call, Fault, ResponseCode, TestCluster};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

async fn send(client: &Client, bodies: impl IntoIterator<Item = &str>) {
    let producer = client.producer("shop").build().await.expect("it builds");
    for body in bodies {
        soon(producer.send(Message::new("Orders", body.to_owned()))).await.expect("it is stored");
    }
}

/// A member of the group, under a name that says its place among the others.
async fn member(cluster: &TestCluster, name: &str) -> Client {
    client_of(cluster).instance_name(name).connect().await.expect("it connects")
}

/// A listener that ends when it may, and says when it begins and ends.
#[derive(Clone)]
struct Gate {
    open: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<ReceivedMessage>>>,
}

impl Gate {
    fn shut() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), seen: Arc::default() }
    }

    fn open() -> Self {
        let gate = Self::shut();
        gate.open.add_permits(1_000);
        gate
    }

    fn listener(&self) -> impl Fn(ReceivedMessage) -> futures::future::BoxFuture<'static, Outcome> + Clone + use<> {
        let gate = self.clone();
        move |message| {
            let gate = gate.clone();
            Box::pin(async move {
                gate.seen.lock().push(message);
                gate.open.acquire().await.expect("never closed").forget();
                Outcome::consumed()
            })
        }
    }

    async fn until_seen(&self, cluster: &TestCluster, count: usize) {
        soon(cluster.until(|_| self.seen.lock().len() >= count)).await;
    }
}

async fn concurrent(client: &Client, gate: &Gate) -> PushConsumer {
    let builder = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    builder.concurrent(gate.listener()).build().await.expect("it builds")
}

async fn orderly(client: &Client, gate: &Gate) -> PushConsumer {
    let builder = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    builder.orderly(gate.listener()).build().await.expect("it builds")
}

fn of_orders(consumer: &PushConsumer) -> usize {
    consumer.health().queues.iter().filter(|queue| queue.queue.topic().as_str() == "Orders").count()
}

/// Kills `timed-out-runs-on`.
#[tokio::test(start_paused = true)]
async fn a_listener_that_timed_out_ends_before_its_message_comes_again() {
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 1).retry_delay(SECOND)).await;
    let done = Arc::new(Mutex::new(Vec::new()));
    let log = done.clone();
    let listener = move |message: ReceivedMessage| {
        let log = log.clone();
        async move {
            if message.attempt() == 1 {
                tokio::time::sleep(10 * SECOND).await;
            }
            log.lock().push(message.attempt());
        }
    };
    let builder = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = builder.concurrent(listener).handler_timeout(SECOND).build().await.expect("it builds");
    send(&client, ["m"]).await;
    soon(cluster.until(|_| !done.lock().is_empty())).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(*done.lock(), [2], "the first attempt was dropped when its time was over");
    soon(client.shutdown()).await.expect("it ends");
}

/// R-I4: the offset waits until the broker has the message again. Kills `timed-out-settles-twice`.
#[tokio::test(start_paused = true)]
async fn a_message_whose_listener_timed_out_is_settled_once_its_broker_has_it_again() {
    let (cluster, client) = start(TestCluster::builder().topic("Orders", 1).retry_delay(SECOND)).await;
    let queue = MessageQueue::new("Orders", "broker-0", 0);
    let listener = |message: ReceivedMessage| async move {
        if message.attempt() == 1 {
            std::future::pending::<()>().await;
        }
    };
    let refused = cluster.fault(Fault::on(Call::SendBack).answer(ResponseCode::SYSTEM_ERROR, "a fault of this test"));
    let builder = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let consumer = builder.concurrent(listener).handler_timeout(SECOND).build().await.expect("it builds");
    send(&client, ["m"]).await;
    soon(cluster.until(|_| refused.hits() >= 3)).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(cluster.committed_offset("billing", &queue), Some(0), "the broker has not taken it back");
    refused.remove();
    soon(cluster.until(|cluster| cluster.committed("billing", "%RETRY%billing") == 1)).await;
    soon(cluster.until(|cluster| cluster.committed_offset("billing", &queue) == Some(1))).await;
    assert_eq!(consumer.health().buffered, 0);
    soon(client.shutdown()).await.expect("it ends");
}

/// CON-ORD-15: the next owner reads the offset once it has the lock. Kills `unlock-before-commit`.
#[tokio::test(start_paused = true)]
async fn a_queue_is_unlocked_only_when_its_offset_is_stored() {
    let (cluster, _) = start(TestCluster::builder().topic("Orders", 2)).await;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = calls.clone();
    cluster.intercept(move |request| {
        if let Ok(commit) = CommitOffset::read_request(request.command())
            && request.call() == Some(Call::CommitOffset)
        {
            log.lock().push(format!("{} {} {}", commit.topic, commit.queue_id, commit.offset));
        } else if request.call() == Some(Call::Unlock) {
            log.lock().push("unlock".to_owned());
        }
        Action::Pass
    });
    let (first, gate) = (member(&cluster, "a").await, Gate::shut());
    let kept = orderly(&first, &gate).await;
    send(&first, ["one", "two"]).await;
    gate.until_seen(&cluster, 2).await;
    let second = member(&cluster, "b").await;
    let _taken = orderly(&second, &Gate::open()).await;
    // The queue goes to `b`, and its listener at `a` runs still.
    soon(cluster.until(|_| of_orders(&kept) == 1)).await;
    calls.lock().clear();
    gate.open.add_permits(1_000);
    soon(cluster.until_requests(Call::Unlock, 1)).await;
    let calls = calls.lock().clone();
    let unlocked = calls.iter().position(|call| call == "unlock").expect("it was unlocked");
    let stored = calls.iter().position(|call| call == "Orders 1 1");
    assert!(stored.is_some_and(|stored| stored < unlocked), "{calls:?}");
}

/// Kills `no-revocation`.
#[tokio::test(start_paused = true)]
async fn a_message_in_a_listener_says_that_its_queue_was_handed_over() {
    let (cluster, _) = start(TestCluster::builder().topic("Orders", 2)).await;
    let (first, gate) = (member(&cluster, "a").await, Gate::shut());
    let _kept = concurrent(&first, &gate).await;
    send(&first, ["one", "two"]).await;
    gate.until_seen(&cluster, 2).await;
    assert!(gate.seen.lock().iter().all(|message| !message.is_revoked()));
    let second = member(&cluster, "b").await;
    let _taken = concurrent(&second, &Gate::open()).await;
    tokio::time::sleep(30 * SECOND).await;
    let revoked: Vec<_> = gate.seen.lock().iter().map(|one| (one.queue().id(), one.is_revoked())).collect();
    assert!(revoked.contains(&(0, false)) && revoked.contains(&(1, true)), "{revoked:?}");
}

/// R-I4: who owns a queue stores its offset, nobody else. Kills `late-commit`.
#[tokio::test(start_paused = true)]
async fn a_listener_that_outlives_its_queue_moves_no_offset() {
    let (cluster, _) = start(TestCluster::builder().topic("Orders", 2)).await;
    let queue = MessageQueue::new("Orders", "broker-0", 1);
    let (first, late) = (member(&cluster, "a").await, Gate::shut());
    let _kept = concurrent(&first, &late).await;
    send(&first, ["one", "two"]).await;
    late.until_seen(&cluster, 2).await;
    let (second, prompt) = (member(&cluster, "b").await, Gate::open());
    let _taken = concurrent(&second, &prompt).await;
    prompt.until_seen(&cluster, 1).await;
    send(&first, ["three", "four", "five", "six"]).await;
    soon(cluster.until(|cluster| cluster.committed_offset("billing", &queue) == Some(3))).await;
    let commits = Arc::new(Mutex::new(Vec::new()));
    let log = commits.clone();
    cluster.intercept(move |request| {
        let commit = CommitOffset::read_request(request.command());
        if let (Ok(commit), Some(Call::CommitOffset)) = (commit, request.call()) {
            log.lock().push((commit.topic.to_string(), commit.queue_id, commit.offset));
        }
        Action::Pass
    });
    late.open.add_permits(1_000);
    tokio::time::sleep(60 * SECOND).await;
    let is_back = |(topic, id, offset): &(String, u32, u64)| topic == "Orders" && *id == 1 && *offset != 3;
    assert!(!commits.lock().iter().any(is_back), "{:?}", commits.lock());
    assert_eq!(cluster.committed_offset("billing", &queue), Some(3));
}

/// R-I8: what cannot be kept is not believed in. Kills `lock-for-ever`.
#[tokio::test(start_paused = true)]
async fn a_member_that_stalls_hands_out_nothing_once_its_lock_is_over() {
    let cluster = TestCluster::builder().topic("Orders", 1).in_memory().start().await.expect("it starts");
    let (client, wire) = wired(&cluster);
    let client = client.connect().await.expect("it connects");
    let seen = Arc::new(Mutex::new(0));
    let log = seen.clone();
    let listener = move |_: ReceivedMessage| {
        let log = log.clone();
        async move {
            *log.lock() += 1;
            tokio::time::sleep(SECOND).await;
        }
    };
    let bodies = vec!["m"; 200];
    send(&client, bodies).await;
    let builder = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    let _consumer = builder.orderly(listener).build().await.expect("it builds");
    soon(cluster.until(|_| *seen.lock() > 2)).await;
    wire.freeze();
    let before = *seen.lock();
    tokio::time::sleep(5 * SECOND).await;
    assert!(*seen.lock() > before + 3, "it still has messages, and its lock: {}", *seen.lock());
    tokio::time::sleep(26 * SECOND).await;
    let at_the_end = *seen.lock();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(*seen.lock(), at_the_end);
}

/// CON-ORD-02, CON-ORD-03: a broker counts from when it answers, and an answer may be on its way for long. Kills `lease-from-answer`.
#[tokio::test(start_paused = true)]
async fn a_lock_counts_from_when_it_was_asked_for() {
    let builder = TestCluster::builder().topic("Orders", 1).in_memory();
    let cluster = builder.start().await.expect("it starts");
    let client = client_of(&cluster).request_timeout(25 * SECOND).connect().await.expect("it connects");
    let gate = Gate::open();
    let consumer = orderly(&client, &gate).await;
    // Also the queue of retries: each topic is locked by itself.
    soon(cluster.until(|_| consumer.health().queues.len() == 2)).await;
    tokio::time::sleep(SECOND).await;
    let asked = cluster.requests(Call::Lock);
    // Asked for again after 10 s, answered 18 s later, and never answered again: it ends 30 s after it was asked for.
    cluster.fault(Fault::on(Call::Lock).times(1).delay(18 * SECOND));
    cluster.fault(Fault::on(Call::Lock).drop_request());
    soon(cluster.until_requests(Call::Lock, asked + 1)).await;
    tokio::time::sleep(29 * SECOND).await;
    send(&client, ["in time"]).await;
    gate.until_seen(&cluster, 1).await;
    tokio::time::sleep(2 * SECOND).await;
    send(&client, ["too late"]).await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(gate.seen.lock().len(), 1, "nothing is handed out without a lock");
}
