//! Members of one group, each with a client and a wire of its own, and what their listeners saw.

use std::{future::Future, ops::Range, sync::Arc, time::Duration};

use ferrocket::{
    Client, ConsumeFrom, Message, MessageQueue, Outcome, PushConsumer, ReceivedMessage,
    consumer::{PushConsumerBuilder, QueueState},
};
use ferrocket_protocol::Request;
use ferrocket_remoting::{Options, Pool};
use ferrocket_testkit::{Call, Intercepted, TestCluster};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::common::{
    soon,
    wire::{Wire, wired},
};

pub(crate) const GROUP: &str = "billing";

/// One broker that has the topic `Orders` with so many queues.
pub(crate) async fn cluster(queues: u32) -> TestCluster {
    TestCluster::builder().in_memory().topic("Orders", queues).start().await.expect("it starts")
}

/// The only queue, or one of several.
pub(crate) fn queue(id: u32) -> MessageQueue {
    MessageQueue::new("Orders", "broker-0", id)
}

/// A client with a name of its own, and its wire. Queues are shared out in the order of names.
pub(crate) async fn client(cluster: &TestCluster, name: &str) -> (Client, Arc<Wire>) {
    let (builder, wire) = wired(cluster);
    (soon(builder.instance_name(name).connect()).await.expect("it connects"), wire)
}

/// A consumer of the group that wants all of `Orders`, from the start. Only a hand-over, a pull and the end store its progress.
pub(crate) fn consumer(client: &Client) -> PushConsumerBuilder {
    let consumer = client.push_consumer(GROUP).subscribe("Orders", "*").consume_from(ConsumeFrom::Earliest);
    consumer.commit_interval(Duration::from_secs(3600))
}

/// One more member, whose listener is content with everything.
pub(crate) async fn join(client: &Client, log: &Log, who: &'static str, orderly: bool) -> PushConsumer {
    let builder = consumer(client);
    match orderly {
        true => builder.orderly(log.content(who)).build().await.expect("it builds"),
        false => builder.concurrent(log.content(who)).build().await.expect("it builds"),
    }
}

/// Whether it is a pull that carries progress.
pub(crate) fn carries(request: &Intercepted<'_>) -> bool {
    let flag = request.command().fields().find("sysFlag").ok().flatten().and_then(|text| text.parse::<i32>().ok());
    request.call() == Some(Call::Pull) && flag.is_some_and(|flag| flag & 1 == 1)
}

/// Stores numbered messages in one queue.
pub(crate) async fn fill(client: &Client, queue: &MessageQueue, numbers: Range<u32>) {
    let producer = client.producer("shop").build().await.expect("it builds");
    for number in numbers {
        let sending = producer.send(Message::new(queue.topic(), number.to_string())).to_queue(queue);
        soon(sending).await.expect("it is stored");
    }
    soon(producer.shutdown()).await.expect("it ends");
}

/// How one call of a listener went.
#[derive(Clone, Debug)]
pub(crate) struct Handled {
    pub(crate) who: &'static str,
    pub(crate) body: String,
    pub(crate) offset: u64,
    pub(crate) attempt: u32,
    pub(crate) began: Instant,
    /// `None` while it runs.
    pub(crate) ended: Option<Instant>,
    /// It was dropped before it returned.
    pub(crate) was_dropped: bool,
}

/// What listeners saw, in the order in which they began.
#[derive(Clone, Default)]
pub(crate) struct Log {
    handled: Arc<Mutex<Vec<Handled>>>,
}

impl Log {
    pub(crate) fn all(&self) -> Vec<Handled> {
        self.handled.lock().clone()
    }

    /// What one member saw.
    pub(crate) fn of(&self, who: &str) -> Vec<Handled> {
        self.handled.lock().iter().filter(|handled| handled.who == who).cloned().collect()
    }

    pub(crate) fn count(&self, who: &str) -> usize {
        self.of(who).len()
    }

    pub(crate) fn offsets(&self, who: &str) -> Vec<u64> {
        self.of(who).iter().map(|handled| handled.offset).collect()
    }

    /// A listener of this member that writes down when it begins and how it ends.
    pub(crate) fn listener<Fut: Future<Output = Outcome> + Send + 'static>(
        &self,
        who: &'static str,
        handle: impl Fn(ReceivedMessage) -> Fut + Send + Sync + 'static,
    ) -> impl Fn(ReceivedMessage) -> BoxFuture<'static, Outcome> + Send + Sync + 'static {
        let log = self.clone();
        move |message| {
            let running = log.begin(who, &message);
            let handling = handle(message);
            Box::pin(async move {
                let outcome = handling.await;
                running.end(false);
                outcome
            })
        }
    }

    /// A listener of this member that is content with everything at once.
    pub(crate) fn content(
        &self,
        who: &'static str,
    ) -> impl Fn(ReceivedMessage) -> BoxFuture<'static, Outcome> + Send + Sync + 'static {
        self.listener(who, |_| async { Outcome::consumed() })
    }

    fn begin(&self, who: &'static str, message: &ReceivedMessage) -> Running {
        let mut handled = self.handled.lock();
        handled.push(Handled {
            who,
            body: String::from_utf8_lossy(message.body()).into_owned(),
            offset: message.offset(),
            attempt: message.attempt(),
            began: Instant::now(),
            ended: None,
            was_dropped: false,
        });
        Running { log: self.clone(), index: handled.len() - 1 }
    }
}

struct Running {
    log: Log,
    index: usize,
}

impl Running {
    fn end(&self, was_dropped: bool) {
        let mut handled = self.log.handled.lock();
        let handled = &mut handled[self.index];
        if handled.ended.is_none() {
            handled.ended = Some(Instant::now());
            handled.was_dropped = was_dropped;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(true);
    }
}

/// Waits until a condition holds, and says how long that took; looked at every 5 ms.
pub(crate) async fn until(cluster: &TestCluster, condition: impl Fn() -> bool + Send + Sync) -> Duration {
    let began = Instant::now();
    soon(cluster.until(|_| condition())).await;
    began.elapsed()
}

/// Waits until a consumer owns so many queues of `Orders`, and says how long that took.
pub(crate) async fn until_owned(cluster: &TestCluster, consumer: &PushConsumer, queues: usize) -> Duration {
    until(cluster, || owned(consumer) == queues).await
}

/// How many queues of `Orders` a consumer owns.
pub(crate) fn owned(consumer: &PushConsumer) -> usize {
    consumer.assignment().iter().filter(|queue| queue.topic().as_str() == "Orders").count()
}

/// What a consumer says of a queue.
pub(crate) fn state(consumer: &PushConsumer, queue: &MessageQueue) -> Option<QueueState> {
    consumer.health().queues.into_iter().find(|known| known.queue == *queue).map(|known| known.state)
}

/// Requests that no client makes, by hand.
pub(crate) struct Raw {
    pool: Pool,
    address: String,
}

impl Raw {
    pub(crate) fn of(cluster: &TestCluster) -> Self {
        let connector = cluster.connector();
        let dialer = move |address: String| {
            let connector = connector.clone();
            async move { connector.connect(&address).await }
        };
        let pool = Pool::new(Arc::new(dialer), Options::default(), None).expect("options that work");
        Self { pool, address: cluster.broker("broker-0").address() }
    }

    pub(crate) async fn call<R: Request + Sync>(&self, request: &R) -> R::Response {
        let deadline = Instant::now() + Duration::from_secs(1);
        self.pool.call(&self.address, request, deadline).await.expect("it answers")
    }
}
