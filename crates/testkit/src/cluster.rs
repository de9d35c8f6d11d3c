use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use ferrocket_model::{MessageQueue, ReceivedMessage, Topic};
use ferrocket_protocol::{Command, Request};
use futures_core::future::BoxFuture;
use parking_lot::Mutex;

use crate::{
    Action, BrokerHandle, Call, Connector, Fault, FaultHandle, Intercepted, TestClusterBuilder, broker::Broker,
    connection::Connection, name_server::NameServer, server::Running, shared::Shared,
};

const NAME_SERVER: &str = "mem-ns";
const NAME_SERVER_PORT: u16 = 9876;
/// How often conditions are looked at when nothing happens.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A name server and brokers in this process. Dropping it stops everything.
pub struct TestCluster {
    shared: Arc<Shared>,
    brokers: Vec<Arc<Broker>>,
    /// None, or one for each broker, in the same order.
    slaves: Vec<Arc<Broker>>,
    desk: Arc<Desk>,
}

/// The name server and whether it listens.
struct Desk {
    name_server: Arc<NameServer>,
    running: Mutex<Option<Running>>,
    address: Mutex<String>,
    port: AtomicU16,
}

impl TestCluster {
    /// One name server and one broker, over TCP on free loopback ports; topics are made by the first send.
    ///
    /// # Errors
    ///
    /// When a port cannot be opened.
    pub fn start() -> BoxFuture<'static, io::Result<Self>> {
        Self::builder().start()
    }

    /// Starts with another shape.
    pub fn builder() -> TestClusterBuilder {
        TestClusterBuilder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>, brokers: Vec<Arc<Broker>>, slaves: Vec<Arc<Broker>>) -> Self {
        let name_server = Arc::new(NameServer::new(brokers.clone(), slaves.clone()));
        let port = if shared.settings.in_memory { NAME_SERVER_PORT } else { 0 };
        let desk = Desk {
            name_server,
            running: Mutex::new(None),
            address: Mutex::new(String::new()),
            port: AtomicU16::new(port),
        };
        Self { shared, brokers, slaves, desk: Arc::new(desk) }
    }

    /// The name server's address, also while it is stopped: `127.0.0.1:<port>`; in memory `mem-ns:9876`.
    pub fn name_servers(&self) -> String {
        self.desk.address.lock().clone()
    }

    /// Opens connections without sockets.
    pub fn connector(&self) -> Connector {
        Connector::new(self.shared.network.clone())
    }

    /// Makes a topic on every broker, or changes how many queues it has on each. Clients learn it from the name server at once.
    pub fn create_topic(&self, topic: impl Into<Topic>, queues: u32) {
        let topic = topic.into();
        for broker in &self.brokers {
            broker.create_topic(topic.as_str(), queues);
        }
    }

    /// Deletes a topic everywhere, with its messages and with the progress of every group in it.
    pub fn delete_topic(&self, topic: &str) {
        for broker in self.servers() {
            broker.delete_topic(topic);
        }
    }

    /// One broker, by name.
    ///
    /// # Panics
    ///
    /// When there is no broker of that name.
    pub fn broker(&self, name: &str) -> BrokerHandle<'_> {
        match self.brokers.iter().position(|broker| broker.name() == name) {
            Some(index) => BrokerHandle::new(&self.brokers[index], self.slaves.get(index)),
            None => panic!("no broker {name:?}; there are {:?}", self.broker_names()),
        }
    }

    /// The names of all brokers.
    pub fn broker_names(&self) -> Vec<String> {
        self.brokers.iter().map(|broker| broker.name().to_owned()).collect()
    }

    /// Stops the name server: its port and its connections are closed.
    pub fn name_server_stop(&self) {
        let running = self.desk.running.lock().take();
        drop(running);
        self.shared.observer.ring();
    }

    /// Starts the name server again, at the same address. It knows every route at once.
    ///
    /// # Errors
    ///
    /// When its port is taken by somebody else.
    pub fn name_server_restart(&self) -> BoxFuture<'static, io::Result<()>> {
        self.name_server_stop();
        let (shared, desk) = (self.shared.clone(), self.desk.clone());
        Box::pin(async move {
            let port = desk.port.load(Ordering::SeqCst);
            let running = Running::start(&shared, desk.name_server.clone(), NAME_SERVER, port).await?;
            desk.port.store(running.socket.port(), Ordering::SeqCst);
            *desk.address.lock() = running.address.clone();
            *desk.running.lock() = Some(running);
            shared.observer.ring();
            Ok(())
        })
    }

    /// Orders a fault.
    pub fn fault(&self, fault: Fault) -> FaultHandle {
        self.shared.faults.order(fault)
    }

    /// Decides about every request that no [`Fault`] acts on. The first hook that does not say [`Action::Pass`] wins.
    pub fn intercept(&self, hook: impl Fn(&Intercepted<'_>) -> Action + Send + Sync + 'static) {
        self.shared.faults.hook(Arc::new(hook));
    }

    /// How many requests of this kind came, to all servers, faults included.
    pub fn requests(&self, call: Call) -> usize {
        self.shared.observer.requests(call)
    }

    /// Waits until so many requests of this kind came. As [`until`](Self::until): put a deadline around it.
    pub async fn until_requests(&self, call: Call, count: usize) {
        self.until(|cluster| cluster.requests(call) >= count).await;
    }

    /// Everything stored in a topic, over all brokers, in the order of storing. Bodies are as they were sent: compressed ones
    /// are not decompressed. Delayed messages count when they are due.
    pub fn messages(&self, topic: &str) -> Vec<ReceivedMessage> {
        let mut messages: Vec<_> = self.brokers.iter().flat_map(|broker| broker.messages(topic)).collect();
        messages.sort_by_key(|(number, _)| *number);
        messages.into_iter().map(|(_, message)| message).collect()
    }

    /// A group's progress in a topic: its stored offsets, summed up over all queues.
    pub fn committed(&self, group: &str, topic: &str) -> u64 {
        self.brokers.iter().map(|broker| broker.committed(group, topic)).sum()
    }

    /// A group's stored offset in one queue; `None` when nothing is stored.
    pub fn committed_offset(&self, group: &str, queue: &MessageQueue) -> Option<u64> {
        let broker = self.brokers.iter().find(|broker| *queue.broker() == *broker.name())?;
        broker.committed_offset(group, queue.topic().as_str(), queue.id())
    }

    /// Sets a group's offset in one queue on the broker, as administrators do. Nobody is told: until the next pull of the queue the
    /// broker drops what the group commits, and that pull is answered with the new offset. A pull that waits hears of it when a
    /// message comes or its time is over. (4.9 has the members do it.)
    ///
    /// # Panics
    ///
    /// When the queue does not exist, or ends before this offset.
    #[doc(alias = "INVOKE_BROKER_TO_RESET_OFFSET")]
    pub fn reset_offset(&self, group: &str, queue: &MessageQueue, offset: u64) {
        let broker = self.broker(queue.broker().as_str());
        if let Err(problem) = broker.broker.reset_offset(group, queue.topic().as_str(), queue.id(), offset) {
            panic!("{problem}");
        }
    }

    /// Tells every member of a group, one-way, to set its offsets in these queues, as brokers of 4.9 do for administrators. Each
    /// broker tells its members of its own queues, each topic on its own. Says how many notices went out.
    #[doc(alias = "RESET_CONSUMER_CLIENT_OFFSET")]
    pub fn tell_to_reset(&self, group: &str, offsets: &[(MessageQueue, u64)]) -> usize {
        let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (queue, offset) in offsets {
            parts.entry((queue.broker(), queue.topic())).or_default().push((queue.clone(), *offset));
        }
        let told = parts.iter().map(|((name, topic), offsets)| {
            let broker = self.brokers.iter().find(|broker| **name == *broker.name());
            broker.map_or(0, |broker| broker.tell_to_reset(group, topic, offsets))
        });
        told.sum()
    }

    /// The client id of who holds the lock of a queue in a group; `None` when it is free, or the lock ran out.
    pub fn lock_holder(&self, group: &str, queue: &MessageQueue) -> Option<String> {
        let broker = self.brokers.iter().find(|broker| *queue.broker() == *broker.name())?;
        broker.lock_holder(group, queue)
    }

    /// How many connections are open, to all servers.
    pub fn connections(&self) -> usize {
        self.shared.observer.connections()
    }

    /// The client ids of a group's members, sorted, each once though it is registered at several brokers.
    pub fn members(&self, group: &str) -> Vec<String> {
        let mut members: Vec<_> = self.servers().flat_map(|broker| broker.members(group)).collect();
        members.sort();
        members.dedup();
        members
    }

    /// The client ids of a producer group, sorted, each once though it is registered at several brokers.
    pub fn producers(&self, group: &str) -> Vec<String> {
        let mut producers: Vec<_> = self.servers().flat_map(|broker| broker.producers(group)).collect();
        producers.sort();
        producers.dedup();
        producers
    }

    /// Asks a client something, as brokers do, over the newest connection that is in a group. Its answer; `None` when there is no
    /// such connection, when it ends, and when no answer comes within 10 s.
    pub async fn ask_client<R: Request + Sync>(&self, client_id: &str, request: &R) -> Option<Command> {
        self.connection_of(client_id)?.ask(request).await
    }

    /// Sends a client what brokers send one-way, such as notices of changed members and questions about transactions, over the
    /// newest connection that is in a group. Whether there is such a connection.
    pub fn tell_client<R: Request>(&self, client_id: &str, notice: &R) -> bool {
        let connection = self.connection_of(client_id);
        if let Some(connection) = &connection {
            connection.notify(notice);
        }
        connection.is_some()
    }

    /// Loses a client as when its machine loses power or its network: nothing comes through on its connections that are in a
    /// group, in neither direction, and brokers do not notice that they end. So it stays a member until
    /// [`member_expiry`](TestClusterBuilder::member_expiry) after its last heartbeat, and its locks stay until they run out;
    /// [`connections`](Self::connections) goes on counting it. Then it is dropped, and the other members are not told. How many
    /// connections were lost.
    ///
    /// End the client itself after this, or it connects anew as soon as it notices.
    pub fn lose_client(&self, client_id: &str) -> usize {
        self.on_connections_of(client_id, Connection::lose)
    }

    /// Cuts the connections of a client that are in a group, as when its process is killed: the brokers notice at once, and tell
    /// the other members. How many there were. A client that lives connects anew.
    pub fn disconnect_client(&self, client_id: &str) -> usize {
        self.on_connections_of(client_id, Connection::close)
    }

    /// Masters and slaves.
    fn servers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.iter().chain(&self.slaves)
    }

    fn on_connections_of(&self, client_id: &str, act: impl Fn(&Connection)) -> usize {
        let connections: Vec<_> = self.servers().flat_map(|broker| broker.connections_of(client_id)).collect();
        for connection in &connections {
            act(connection);
        }
        connections.len()
    }

    fn connection_of(&self, client_id: &str) -> Option<Arc<Connection>> {
        let connections = self.servers().flat_map(|broker| broker.connections_of(client_id));
        connections.max_by_key(|connection| connection.id)
    }

    /// Delivers retries and delayed messages as if this much time had passed. What is due by then is stored when this returns.
    pub fn advance(&self, time: Duration) {
        self.shared.schedule.advance(time);
    }

    /// Waits for a condition on the cluster instead of sleeping. It is looked at after every request and every 5 ms.
    ///
    /// Waits for ever if need be: put `tokio::time::timeout` around it. Cancel-safe.
    pub async fn until(&self, condition: impl Fn(&TestCluster) -> bool + Send + Sync) {
        loop {
            let bell = self.shared.observer.bell().notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            if condition(self) {
                return;
            }
            tokio::select! {
                biased;
                () = bell => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.name_server_stop();
        for broker in self.servers() {
            broker.stop();
        }
        self.shared.life.cancel();
    }
}

impl fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCluster")
            .field("name_servers", &self.name_servers())
            .field("brokers", &self.broker_names())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
