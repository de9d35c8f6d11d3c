//! Where a case runs, and what cases share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferrocket::{Client, ClientBuilder, Group, Message, MessageQueue, Producer, PushConsumer, ReceivedMessage, Topic};
use ferrocket_protocol::request::{CreateTopic, GetRoute};
use ferrocket_remoting::{Connection, Options};
use ferrocket_testkit::TestCluster;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Long enough for a busy machine; a case that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) cluster: Option<TestCluster>,
    name_server: String,
    control: Option<String>,
}

impl Server {
    /// The real servers of the environment, or an embedded cluster.
    pub(crate) async fn start() -> Self {
        match std::env::var("FERROCKET_NAME_SERVER") {
            Ok(name_server) => {
                let control = std::env::var("FERROCKET_BROKER_CONTROL").ok();
                Self { cluster: None, name_server, control }
            }
            Err(_) => {
                let cluster = TestCluster::builder().retry_delay(Duration::from_millis(100)).start().await.unwrap();
                Self { name_server: cluster.name_servers(), cluster: Some(cluster), control: None }
            }
        }
    }

    /// A broker of 4.9: what it does otherwise, cases say themselves.
    pub(crate) fn is_4(&self) -> bool {
        self.cluster.is_none() && std::env::var("FERROCKET_RELEASE").is_ok_and(|release| release.starts_with("4."))
    }

    /// Says that a case needs a 5.x broker, where there is none.
    pub(crate) fn lacks(&self, what: &str) -> bool {
        if self.is_4() {
            println!("SKIPPED: 4.9 brokers have no {what}");
        }
        self.is_4()
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder().connect().await.unwrap()
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder().name_servers(self.name_server.as_str())
    }

    pub(crate) fn name_server(&self) -> &str {
        &self.name_server
    }

    /// The address of a broker that has this topic.
    pub(crate) async fn master_address(&self, topic: &Topic) -> String {
        let name_server = Connection::connect(&self.name_server, Options::default()).await.unwrap();
        let route = name_server.call(&GetRoute::new(topic), Duration::from_secs(5)).await.unwrap();
        route.brokers[0].master.as_deref().unwrap().to_owned()
    }

    /// A connection to a broker that has this topic, for what a client does not show.
    pub(crate) async fn master(&self, topic: &Topic) -> Connection {
        Connection::connect(&self.master_address(topic).await, Options::default()).await.unwrap()
    }

    /// A topic of this case alone, on every broker, known to the name server.
    pub(crate) async fn topic(&self, queues: u32) -> Topic {
        self.topic_with(queues, "").await
    }

    /// A topic with attributes, such as `+queue.type=BatchCQ`.
    pub(crate) async fn topic_with(&self, queues: u32, attributes: &str) -> Topic {
        let topic = Topic::from(unique("topic"));
        let name_server = Connection::connect(&self.name_server, Options::default()).await.unwrap();
        let cluster = name_server.call(&GetRoute::new("TBW102"), Duration::from_secs(5)).await.unwrap();
        for broker in &cluster.brokers {
            let master = broker.master.as_deref().unwrap();
            let broker = Connection::connect(master, Options::default()).await.unwrap();
            let mut create = CreateTopic::with_queues(&topic, queues);
            create.attributes = attributes.to_owned();
            broker.call(&create, Duration::from_secs(10)).await.unwrap();
        }
        let known = async || name_server.call(&GetRoute::new(&topic), Duration::from_secs(5)).await.is_ok();
        eventually("the topic is known", known).await;
        topic
    }

    pub(crate) fn group(&self) -> Group {
        Group::from(unique("group"))
    }

    /// Stops the broker without warning, and starts it again on the same data at another port. Name servers know it by then.
    pub(crate) async fn move_broker(&self) {
        match (&self.cluster, &self.control) {
            (Some(cluster), _) => {
                cluster.broker("broker-0").stop();
                // As long as a real one takes to start: the pauses between dials grow meanwhile.
                tokio::time::sleep(Duration::from_secs(3)).await;
                cluster.broker("broker-0").restart().await.unwrap();
            }
            (None, Some(control)) => {
                let mut control = BufReader::new(TcpStream::connect(control).await.unwrap());
                for line in ["kill", "move", "start"] {
                    order(&mut control, line).await;
                }
            }
            (None, None) => panic!("a real broker without FERROCKET_BROKER_CONTROL cannot be moved"),
        }
    }

    /// Stops the broker and starts it again on the same data.
    pub(crate) async fn restart_broker(&self, while_down: impl AsyncFnOnce()) {
        match (&self.cluster, &self.control) {
            (Some(cluster), _) => {
                cluster.broker("broker-0").stop();
                while_down().await;
                cluster.broker("broker-0").restart().await.unwrap();
            }
            (None, Some(control)) => {
                let mut control = BufReader::new(TcpStream::connect(control).await.unwrap());
                order(&mut control, "kill").await;
                while_down().await;
                order(&mut control, "start").await;
            }
            (None, None) => panic!("a real broker without FERROCKET_BROKER_CONTROL cannot be restarted"),
        }
    }
}

async fn order(control: &mut BufReader<TcpStream>, line: &str) {
    control.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    control.read_line(&mut answer).await.unwrap();
    assert_eq!(answer.trim(), "ok", "{line}");
}

/// An address at which nobody listens: a port that was free a moment ago may be another case's by now.
pub(crate) const NOWHERE: &str = "127.0.0.1:1";

/// A name that no other case and no other run has.
pub(crate) fn unique(what: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!(
        "{what}-{}-{}-{}",
        std::process::id(),
        now.as_micros() % 1_000_000_000,
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
}

/// Waits until a condition holds. Pauses between looks, however long one takes: the client's tasks share the thread with it.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// Everything that consumers got: how often each body came, and the messages.
#[derive(Clone, Default)]
pub(crate) struct Inbox {
    messages: Arc<Mutex<Vec<ReceivedMessage>>>,
}

impl Inbox {
    pub(crate) fn put(&self, message: ReceivedMessage) {
        self.messages.lock().push(message.detach());
    }

    pub(crate) fn listener(&self) -> impl Fn(ReceivedMessage) -> std::future::Ready<()> + Send + Sync + 'static {
        let inbox = self.clone();
        move |message| {
            inbox.put(message);
            std::future::ready(())
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<Vec<u8>, usize> {
        let mut counts = BTreeMap::new();
        for message in self.messages.lock().iter() {
            *counts.entry(message.body().to_vec()).or_default() += 1;
        }
        counts
    }

    pub(crate) fn messages(&self) -> Vec<ReceivedMessage> {
        self.messages.lock().clone()
    }

    pub(crate) async fn wait_for(&self, distinct: usize) {
        eventually(&format!("{distinct} distinct messages"), async || self.counts().len() >= distinct).await;
    }
}

pub(crate) async fn producer(client: &Client) -> Producer {
    client.producer(unique("producer")).build().await.unwrap()
}

/// Sends numbered messages and gives back the bodies that were stored.
pub(crate) async fn send_numbered(producer: &Producer, topic: &Topic, from: usize, count: usize) -> Vec<Vec<u8>> {
    use futures::{StreamExt, stream};
    let sends = stream::iter(from..from + count).map(|number| {
        let body = number.to_string().into_bytes();
        let sending = producer.send(Message::new(topic, body.clone())).timeout(Duration::from_secs(20));
        async move {
            sending.await.unwrap();
            body
        }
    });
    sends.buffer_unordered(64).collect().await
}

/// Waits until a consumer owns something, so that `Latest` means now.
pub(crate) async fn assigned(consumer: &PushConsumer, topic: &Topic, queues: usize) {
    let owned = || consumer.assignment().iter().filter(|queue: &&MessageQueue| queue.topic() == topic).count();
    eventually("queues are assigned", async || owned() == queues).await;
}
