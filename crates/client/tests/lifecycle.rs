//! What clients, producers and consumers leave behind when they end, however they end: nothing (R-I8). It counts what the process
//! holds, so it is one test in a program of its own, over real sockets.

mod common;

use std::{fs, time::Duration};

use common::{SECOND, soon};
use ferrocket::{
    Client, ConsumeFrom, ErrorKind, Message, ReceivedMessage, TransactionState,
    producer::{AutoBatch, Compression},
};
use ferrocket_testkit::TestCluster;

/// Tasks of the runtime, open files (sockets among them), and connections that the servers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    tasks: usize,
    files: usize,
    connections: usize,
}

fn held(cluster: &TestCluster) -> Held {
    Held {
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        files: fs::read_dir("/proc/self/fd").expect("Linux says which files are open").count(),
        connections: cluster.connections(),
    }
}

/// Resident memory in KiB.
fn memory() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux says how much memory there is");
    let resident = pages.split(' ').nth(1).and_then(|resident| resident.parse::<usize>().ok());
    resident.expect("the second number are resident pages") * 4
}

/// Waits until everything is as it was: what was dropped ends in its own time.
async fn back_to(before: Held, cluster: &TestCluster, after: &str) {
    let waiting = cluster.until(|cluster| {
        let now = held(cluster);
        now.tasks <= before.tasks && now.files <= before.files && now.connections <= before.connections
    });
    if tokio::time::timeout(30 * SECOND, waiting).await.is_err() {
        panic!("after {after}: {:?} are left of {before:?}", held(cluster));
    }
}

/// Connects, builds one of each, uses them, and hands all of it to `end`.
async fn live<F: Future<Output = ()>>(cluster: &TestCluster, end: impl FnOnce(Client, Box<dyn std::any::Any>) -> F) {
    let client = soon(Client::connect(cluster.name_servers())).await.expect("it connects");
    let producer = client.producer("shop").auto_batch(AutoBatch::default()).compression(Compression::zlib());
    let producer = soon(producer.build()).await.expect("it builds");
    let checker = async |_: ReceivedMessage| Ok::<_, std::io::Error>(TransactionState::Commit);
    let transactions = soon(client.transaction_producer("payments", checker).build()).await.expect("it builds");
    let consumer = client.push_consumer("billing").subscribe("Orders", "*").consume_from(ConsumeFrom::Latest);
    let consumer = soon(consumer.concurrent(async |_: ReceivedMessage| {}).build()).await.expect("it builds");
    soon(producer.send(Message::new("Orders", "x"))).await.expect("it is stored");
    end(client, Box::new((producer, transactions, consumer))).await;
}

/// R-I8. Seen to fail with a backend whose tasks went on when it was dropped, and with a client of four that leaves 40 KiB behind.
#[tokio::test]
async fn r_i8_a_thousand_clients_leave_nothing_behind_however_they_end() {
    let cluster = soon(TestCluster::builder().topic("Orders", 2).start()).await.expect("it starts");
    // What is made once per process is made here.
    live(&cluster, async |client, all| {
        soon(client.shutdown()).await.expect("it ends");
        drop(all);
    })
    .await;
    soon(cluster.until(|cluster| cluster.connections() == 0)).await;
    let before = held(&cluster);
    let mut after_warm_up = 0;
    for cycle in 0..1_000 {
        match cycle % 4 {
            0 => {
                live(&cluster, async |client, all| {
                    soon(client.shutdown()).await.expect("it ends");
                    drop(all);
                })
                .await;
            }
            // Dropped, the client first or last, with all that runs in it.
            1 => {
                live(&cluster, async |client, all| {
                    drop(client);
                    drop(all);
                })
                .await;
            }
            2 => {
                live(&cluster, async |client, all| {
                    drop(all);
                    drop(client);
                })
                .await;
            }
            _ => failing(&cluster).await,
        }
        if cycle % 50 == 49 {
            back_to(before, &cluster, &format!("{} cycles", cycle + 1)).await;
        }
        if cycle == 399 {
            after_warm_up = memory();
        }
    }
    back_to(before, &cluster, "everything").await;
    // What the servers store and what the allocator keeps is not ours. A client that stayed in one of four cycles would be 100 KiB
    // and more, 150 times.
    let grown = memory().saturating_sub(after_warm_up);
    assert!(grown < 4 * 1024, "{grown} KiB more after 600 cycles");
    assert!(cluster.members("billing").is_empty() && cluster.producers("shop").is_empty(), "brokers know nobody");
}

/// Setups that fail at each step.
async fn failing(cluster: &TestCluster) {
    // The port is closed by the time it is dialed.
    let error = soon(Client::connect("127.0.0.1:1")).await.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::NameServerUnreachable);
    // Dropped while it connects.
    drop(tokio::time::timeout(Duration::ZERO, Client::connect(cluster.name_servers())).await);
    let client = soon(Client::connect(cluster.name_servers())).await.expect("it connects");
    soon(client.producer("shop").max_in_flight(0).build()).await.expect_err("an option that cannot work");
    soon(client.producer("no good name!").build()).await.expect_err("a name that cannot work");
    let listener = async |_: ReceivedMessage| {};
    let consumer = || client.push_consumer("billing").subscribe("Orders", "*").concurrent(listener);
    let first = soon(consumer().build()).await.expect("it builds");
    let error = soon(consumer().build()).await.expect_err("the group has a consumer here");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // Dropped while they build, and while they send.
    drop(tokio::time::timeout(Duration::ZERO, client.producer("shop").topics(["Orders"]).build()).await);
    let producer = soon(client.producer("shop").build()).await.expect("it builds");
    drop(tokio::time::timeout(Duration::ZERO, producer.send(Message::new("Orders", "x"))).await);
    drop((first, producer, client));
}
