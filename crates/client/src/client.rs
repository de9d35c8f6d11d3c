use std::{fmt, sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, Capability, Ending, Leftover, ShutdownError, ShuttingDown, Stage, side_by_side};
use ferrocket_consumer::{ConsumerReport, PushConsumerBuilder};
use ferrocket_model::{ErrorKind, Failure, Group, LookupError, MessageQueue, SetupError, Topic};
use ferrocket_producer::{
    Producer, ProducerBuilder, ProducerReport, TransactionChecker, TransactionProducer, TransactionProducerBuilder,
};
use ferrocket_remoting_backend::{RemotingBackend, parse_addresses};
use ferrocket_route::Stack;
use tokio::time::Instant;

use crate::{BrokerHealth, ClientBuilder, Health, Metrics, QueueWatch};

/// One cluster, one set of connections, shared by all producers and consumers made from it. Cheap to clone. Nothing is global: two
/// clients share nothing.
///
/// Dropping it does nothing while producers or consumers live; with the last of them the connections close.
#[derive(Clone)]
#[doc(alias = "MQClientInstance")]
#[doc(alias = "MQClientManager")]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    stack: Stack,
    remoting: Arc<RemotingBackend>,
    shutdown_timeout: Duration,
    ending: Ending,
    #[cfg(feature = "trace")]
    tracer: Option<Arc<ferrocket_trace::Tracer>>,
}

/// The group of the producer that sends trace records, as Java's begin.
#[cfg(feature = "trace")]
const TRACE_GROUP: &str = "_INNER_TRACE_PRODUCER";

impl Client {
    pub(crate) fn new(
        stack: Stack,
        remoting: Arc<RemotingBackend>,
        shutdown_timeout: Duration,
        #[cfg(feature = "trace")] tracer: Option<Arc<ferrocket_trace::Tracer>>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                #[cfg(feature = "trace")]
                tracer,
                stack,
                remoting,
                shutdown_timeout,
                ending: Ending::new(),
            }),
        }
    }

    pub(crate) fn remoting(&self) -> &RemotingBackend {
        &self.inner.remoting
    }

    /// `Client::builder().name_servers(list).connect()`.
    ///
    /// # Errors
    ///
    /// When the list cannot be read, or no name server answers.
    pub fn connect(name_servers: impl Into<String>) -> BoxFuture<'static, Result<Self, SetupError>> {
        Self::builder().name_servers(name_servers).connect()
    }

    /// A builder with every option.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A producer of a group.
    pub fn producer(&self, group: impl Into<Group>) -> ProducerBuilder {
        let builder = Producer::builder(self.inner.stack.clone(), group);
        #[cfg(feature = "trace")]
        if let Some(tracer) = &self.inner.tracer {
            return builder.interceptor((**tracer).clone());
        }
        builder
    }

    /// A producer of a group that sends half messages; `checker` answers when brokers ask what became of one.
    pub fn transaction_producer(
        &self,
        group: impl Into<Group>,
        checker: impl TransactionChecker,
    ) -> TransactionProducerBuilder {
        let builder = TransactionProducer::builder(self.inner.stack.clone(), group, checker);
        #[cfg(feature = "trace")]
        if let Some(tracer) = &self.inner.tracer {
            return builder.interceptor((**tracer).clone());
        }
        builder
    }

    /// A push consumer of a group: messages come to a listener.
    pub fn push_consumer(&self, group: impl Into<Group>) -> PushConsumerBuilder {
        let builder = PushConsumerBuilder::new(self.inner.stack.clone(), self.inner.remoting.clone(), group);
        #[cfg(feature = "trace")]
        if let Some(tracer) = &self.inner.tracer {
            return builder.interceptor((**tracer).clone());
        }
        builder
    }

    /// The queues of a topic that can be written.
    ///
    /// # Errors
    ///
    /// `RouteNotFound` when there is no such topic; `NameServerUnreachable` when nobody could be asked.
    #[doc(alias = "fetchPublishMessageQueues")]
    #[doc(alias = "fetchMessageQueues")]
    pub fn queues(&self, topic: impl Into<Topic>) -> BoxFuture<'static, Result<Vec<MessageQueue>, LookupError>> {
        let (stack, topic) = (self.inner.stack.clone(), topic.into());
        Box::pin(async move {
            if let Err(invalid) = topic.check_for_consuming() {
                let problem = format!("{topic:?} cannot be used: {invalid}");
                return Err(Failure::invalid_argument("look a topic up", problem).with_topic(&topic).into());
            }
            let route = stack.routes.route(&topic, None, stack.request_timeout).await?;
            if route.is_template {
                let failure = Failure::new(ErrorKind::RouteNotFound, format!("find topic {topic}"));
                return Err(failure
                    .with_detail("it does not exist yet; the first send creates it")
                    .with_topic(&topic)
                    .into());
            }
            Ok(route.publish.clone())
        })
    }

    /// The queues of a topic, each time they change.
    #[doc(alias = "TopicMessageQueueChangeListener")]
    pub fn watch_queues(&self, topic: impl Into<Topic>) -> QueueWatch {
        QueueWatch::new(self.inner.stack.routes.watch(&topic.into()))
    }

    /// Whether the transport, and the servers behind it as far as they are known, can do something.
    pub fn supports(&self, capability: Capability) -> bool {
        self.inner.stack.backend.supports(capability)
    }

    /// The id under which this client is a member of groups.
    pub fn client_id(&self) -> &str {
        self.inner.stack.backend.client_id()
    }

    /// Replaces the list of name servers. The one in use stays in use, if it is in the new list.
    ///
    /// # Errors
    ///
    /// When the list cannot be read; the old one stays.
    #[doc(alias = "updateNameServerAddress")]
    pub fn update_name_servers(&self, list: impl Into<String>) -> Result<(), SetupError> {
        let addresses = parse_addresses(&list.into()).map_err(|problem| {
            SetupError::from(Failure::invalid_argument("update name servers", problem).with_option("name_servers"))
        })?;
        self.inner.remoting.update_name_servers(&addresses);
        Ok(())
    }

    /// A picture of now. Without I/O.
    pub fn health(&self) -> Health {
        let backend = self.inner.remoting.health();
        let mut health = Health {
            name_server: backend.name_server,
            name_server_error: backend.name_server_error,
            routes_refreshed: self.inner.stack.routes.refreshed(),
            brokers: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
        };
        health.brokers.extend(backend.brokers.into_iter().map(|broker| BrokerHealth {
            name: broker.name,
            address: broker.address,
            connected_since: broker.connected_since,
            last_error: broker.last_error,
            in_flight: broker.in_flight,
        }));
        for report in self.inner.stack.scope.reports() {
            match report.downcast::<ProducerReport>() {
                Ok(report) => health.producers.push(report.health),
                Err(report) => {
                    health.consumers.extend(report.downcast::<ConsumerReport>().ok().map(|report| report.health))
                }
            }
        }
        health
    }

    /// Counters. Without I/O.
    pub fn metrics(&self) -> Metrics {
        let backend = self.inner.remoting.health();
        let mut metrics = Metrics {
            connections_opened: backend.stats.opened,
            connections_lost: backend.stats.lost,
            unwanted_replies: backend.unwanted_replies,
            ..Metrics::default()
        };
        for report in self.inner.stack.scope.reports() {
            match report.downcast::<ProducerReport>() {
                Ok(report) => {
                    metrics.sent += report.counters.sent;
                    metrics.send_failed += report.counters.failed;
                    metrics.send_unknown += report.counters.unknown;
                    metrics.send_retries += report.counters.retries;
                    metrics.send_time_total += report.counters.time_total;
                    metrics.transaction_checks += report.counters.checks;
                    metrics.send_latency.extend(report.latencies);
                }
                Err(report) => {
                    let Ok(report) = report.downcast::<ConsumerReport>() else { continue };
                    metrics.received += report.counters.received;
                    metrics.consumed += report.counters.consumed;
                    metrics.consume_failed += report.counters.failed;
                    metrics.dead_lettered += report.counters.dead_lettered;
                    metrics.skipped += report.counters.skipped;
                    metrics.offset_moves += report.counters.moves;
                    metrics.handler_panics += report.counters.panics;
                    metrics.consume_time_total += report.counters.time_total;
                    metrics.buffered += report.health.buffered as u64;
                    metrics.buffered_bytes += report.health.buffered_bytes as u64;
                    metrics.lag += report.health.lag();
                }
            }
        }
        #[cfg(feature = "trace")]
        if let Some(tracer) = &self.inner.tracer {
            let counters = tracer.counters();
            (metrics.trace_dropped, metrics.trace_lost) = (counters.dropped, counters.lost);
        }
        metrics.merge_latencies();
        metrics
    }

    /// Ends everything made from this client: consumers first, then producers, then message trace, whose last records are sent, then
    /// the connections. Within the builder's `shutdown_timeout`, or what [`ShuttingDown::within`] says.
    ///
    /// # Errors
    ///
    /// What was left undone.
    pub fn shutdown(&self) -> ShuttingDown {
        let inner = self.inner.clone();
        ShuttingDown::new(inner.shutdown_timeout, move |deadline| {
            Box::pin(async move {
                let stack = inner.stack.clone();
                let leftovers = inner.ending.run(move || Box::pin(end(stack, deadline))).await;
                if leftovers.is_empty() { Ok(()) } else { Err(ShutdownError::new(leftovers, deadline)) }
            })
        })
    }
}

/// Records of message trace go through a producer of their own, that ends after all others.
#[cfg(feature = "trace")]
pub(crate) fn start_tracer(
    stack: &Stack,
    trace: ferrocket_trace::MessageTrace,
) -> Result<Arc<ferrocket_trace::Tracer>, SetupError> {
    use ferrocket_backend::{Managed, Scope};
    let own = Stack { scope: Arc::new(Scope::new()), ..stack.clone() };
    let tracer = Arc::new(ferrocket_trace::Tracer::start(trace, Producer::builder(own, TRACE_GROUP))?);
    stack.scope.add(&(tracer.clone() as Arc<dyn Managed>));
    Ok(tracer)
}

async fn end(stack: Stack, deadline: Duration) -> Vec<Leftover> {
    let until = Instant::now() + deadline;
    let mut leftovers = Vec::new();
    for stage in [Stage::Consumers, Stage::Producers, Stage::Trace] {
        let left = until.saturating_duration_since(Instant::now());
        // All of one stage side by side; each has a deadline of its own.
        let endings = stack.scope.members(stage).into_iter().map(|member| member.end(left));
        leftovers.extend(side_by_side(endings).await.into_iter().flatten());
    }
    stack.routes.close();
    stack.backend.close().await;
    leftovers
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("client_id", &self.client_id()).finish_non_exhaustive()
    }
}
