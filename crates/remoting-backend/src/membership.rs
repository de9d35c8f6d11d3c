use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ferrocket_backend::{
    BoxFuture, ConsumerMember, EventStream, Joined, Member, MemberKind, Membership, Outcome, ServerEvent, Subscription,
    side_by_side,
};
use ferrocket_model::{ConsumeFrom, ErrorKind, Failure, Group, system};
use ferrocket_protocol::{
    body::{ConsumerData, HeartbeatData, ProducerData, SubscriptionData},
    request::Unregister,
};
use futures_core::Stream;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::Instant,
};

use crate::{RemotingBackend, backend::Shared, names::Names};

/// Events that wait for a member. To consumers they all say "compute anew", so one that finds the queue full adds nothing;
/// questions to producers are asked again.
const EVENTS: usize = 64;
/// Brokers do not learn this client's way anew more often: while they do, replies can miss it.
const RENEW_PAUSE: Duration = Duration::from_secs(5);

/// Who of this client is a member of what.
pub(crate) struct Members {
    client_id: String,
    unit_mode: bool,
    names: Arc<Names>,
    /// One entry per group that somebody of this client is in.
    groups: Mutex<BTreeMap<Group, Roles>>,
    /// Wakes the heartbeat task.
    changed: Arc<Notify>,
    /// Held while brokers learn anew how to reach this client.
    renewing: Arc<Semaphore>,
}

/// What this client is in a group. A producer and a consumer may share its name.
#[derive(Default)]
struct Roles {
    /// How many producers there are.
    producers: usize,
    /// Those of them that listen to what brokers ask.
    listening: Vec<mpsc::Sender<ServerEvent>>,
    consumer: Option<Consumer>,
}

struct Consumer {
    member: ConsumerMember,
    events: mpsc::Sender<ServerEvent>,
}

impl Members {
    pub(crate) fn new(client_id: String, unit_mode: bool, names: Arc<Names>) -> Self {
        Self {
            client_id,
            unit_mode,
            names,
            groups: Mutex::default(),
            changed: Arc::default(),
            renewing: Arc::new(Semaphore::new(1)),
        }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What sends a heartbeat soon when it rings.
    pub(crate) fn bell(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Sends a heartbeat soon.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits for [`wake`](Self::wake).
    pub(crate) async fn woken(&self) {
        self.changed.notified().await;
    }

    /// Whether anybody here consumes; slaves are told then, too.
    pub(crate) fn has_consumers(&self) -> bool {
        self.groups.lock().values().any(|roles| roles.consumer.is_some())
    }

    /// Whether somebody here has that role in this group.
    pub(crate) fn has(&self, group: &Group, consumer: bool) -> bool {
        let has_role = |roles: &Roles| if consumer { roles.consumer.is_some() } else { roles.producers > 0 };
        self.groups.lock().get(group).is_some_and(has_role)
    }

    /// Whether there is anybody to tell of.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.lock().is_empty()
    }

    pub(crate) fn deliver(&self, group: &Group, event: ServerEvent) {
        if let Some(consumer) = self.groups.lock().get(group).and_then(|roles| roles.consumer.as_ref()) {
            // Full: the same event waits there already.
            let _ = consumer.events.try_send(event);
        }
    }

    /// Tells every consumer here.
    pub(crate) fn deliver_all(&self, event: impl Fn() -> ServerEvent) {
        for consumer in self.groups.lock().values().filter_map(|roles| roles.consumer.as_ref()) {
            let _ = consumer.events.try_send(event());
        }
    }

    /// Asks the consumer of a group. Gives the event back when there is none, or when it does not listen.
    pub(crate) fn ask_consumer(&self, group: &Group, event: ServerEvent) -> Result<(), ServerEvent> {
        let groups = self.groups.lock();
        let Some(consumer) = groups.get(group).and_then(|roles| roles.consumer.as_ref()) else { return Err(event) };
        consumer.events.try_send(event).map_err(|error| match error {
            mpsc::error::TrySendError::Full(event) | mpsc::error::TrySendError::Closed(event) => event,
        })
    }

    /// Asks any producer of a group that listens and has room.
    pub(crate) fn ask_producer(&self, group: &Group, mut event: ServerEvent) -> bool {
        let groups = self.groups.lock();
        for producer in groups.get(group).into_iter().flat_map(|roles| &roles.listening) {
            match producer.try_send(event) {
                Ok(()) => return true,
                Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => event = back,
            }
        }
        false
    }

    /// What brokers are told. As every Java client we name the inner producer group too, for look-ups by client id.
    pub(crate) fn heartbeat(&self) -> HeartbeatData {
        let groups = self.groups.lock();
        let producers = groups.iter().filter(|(_, roles)| roles.producers > 0);
        let producers = producers.map(|(group, _)| self.names.group(group).to_string());
        let producers = producers.chain([system::CLIENT_INNER_PRODUCER.to_owned()]);
        HeartbeatData {
            client_id: self.client_id.clone(),
            consumer_data_set: groups
                .iter()
                .filter_map(|(group, roles)| Some(self.consumer_data(group, &roles.consumer.as_ref()?.member)))
                .collect(),
            heartbeat_fingerprint: 0,
            producer_data_set: producers.map(|group_name| ProducerData { group_name }).collect(),
            without_sub: false,
        }
    }

    fn consumer_data(&self, group: &Group, member: &ConsumerMember) -> ConsumerData {
        let subscriptions = member.subscriptions.iter();
        ConsumerData {
            consume_from_where: from_where(member.consume_from).to_owned(),
            consume_type: "CONSUME_PASSIVELY".to_owned(),
            group_name: self.names.group(group).to_string(),
            message_model: if member.is_broadcast { "BROADCASTING" } else { "CLUSTERING" }.to_owned(),
            subscription_data_set: subscriptions
                .map(|subscription| {
                    SubscriptionData::new(
                        self.names.topic(&subscription.topic).as_str(),
                        &subscription.filter,
                        subscription.version,
                    )
                })
                .collect(),
            unit_mode: self.unit_mode,
        }
    }

    fn add(&self, member: Member) -> Outcome<EventStream> {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let mut groups = self.groups.lock();
        let roles = groups.entry(member.group.clone()).or_default();
        match member.kind {
            MemberKind::Consumer(consumer) => {
                if roles.consumer.is_some() {
                    return Err(Box::new(
                        Failure::new(ErrorKind::Conflict, format!("join group {} as a consumer", member.group))
                            .with_detail("this client has a consumer in the group already")
                            .with_advice("use one consumer per group and client, or another client"),
                    ));
                }
                roles.consumer = Some(Consumer { member: consumer, events: sender });
            }
            _ => {
                roles.producers += 1;
                roles.listening.retain(|events| !events.is_closed());
                roles.listening.push(sender);
            }
        }
        Ok(Box::pin(Events(receiver)))
    }

    pub(crate) fn resubscribe(&self, group: &Group, subscriptions: Vec<Subscription>) {
        if let Some(consumer) = self.groups.lock().get_mut(group).and_then(|roles| roles.consumer.as_mut()) {
            consumer.member.subscriptions = subscriptions;
        }
    }

    /// Returns whether nobody of this client is left in that role.
    fn remove(&self, group: &Group, consumer: bool) -> bool {
        let mut groups = self.groups.lock();
        let Some(roles) = groups.get_mut(group) else { return false };
        let is_last = if consumer {
            roles.consumer.take().is_some()
        } else {
            let is_last = roles.producers == 1;
            roles.producers = roles.producers.saturating_sub(1);
            is_last
        };
        if roles.producers == 0 && roles.consumer.is_none() {
            groups.remove(group);
        }
        is_last
    }
}

impl Membership for RemotingBackend {
    fn client_id(&self) -> &str {
        &self.shared.members.client_id
    }

    fn join(&self, member: Member) -> BoxFuture<'_, Outcome<Joined>> {
        Box::pin(async move {
            let events = self.shared.members.add(member)?;
            self.shared.beat().await;
            Ok(Joined { events })
        })
    }

    fn announce(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.beat())
    }

    fn renew(&self) {
        let shared = self.shared.clone();
        let Ok(renewing) = shared.members.renewing.clone().try_acquire_owned() else { return };
        self.shared.spawn(Box::pin(async move {
            shared.renew().await;
            tokio::time::sleep(RENEW_PAUSE).await;
            drop(renewing);
        }));
    }

    fn leave<'a>(&'a self, group: &'a Group, consumer: bool, timeout: Duration) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move {
            let until = Instant::now() + timeout;
            let left = move || until.saturating_duration_since(Instant::now());
            if !self.shared.members.remove(group, consumer) {
                return Vec::new();
            }
            let mut request = Unregister::new(self.client_id());
            if consumer {
                request.consumer_group = Some(self.shared.names.group(group).into_owned());
            } else {
                request.producer_group = Some(self.shared.names.group(group).into_owned());
            }
            let request = Arc::new(request);
            // Brokers keep one way to a client, for replies, and forget it with any producer group that leaves. They learn it anew
            // only with a group that is new to them: so the inner group leaves too, and comes back with the next heartbeat.
            let stays = !consumer && !self.shared.members.is_empty();
            let mut inner = Unregister::new(self.client_id());
            inner.producer_group = Some(Group::from_static(system::CLIENT_INNER_PRODUCER));
            let inner = Arc::new(inner);
            let brokers = self.shared.brokers.for_heartbeat(consumer);
            let calls = brokers.into_iter().map(|(broker, address)| -> BoxFuture<'static, Option<String>> {
                let (shared, request, inner) = (self.shared.clone(), request.clone(), inner.clone());
                let group = group.clone();
                Box::pin(async move {
                    let operation = || "unregister".to_owned();
                    shared.unanswered.answered(&address, (left() / 2).min(shared.request_timeout)).await;
                    // A broker without a connection of ours knows nothing of us; or somebody has come in the meantime.
                    if shared.pool.connected(&address).is_none() || shared.members.has(&group, consumer) {
                        return None;
                    }
                    let mut told = shared.call(&broker, &address, &*request, left(), operation).await;
                    if stays && told.is_ok() {
                        told = shared.call(&broker, &address, &*inner, left(), operation).await;
                    }
                    told.err().map(|_| address.to_string())
                })
            });
            let untold = side_by_side(calls).await.into_iter().flatten().collect();
            if stays && tokio::time::timeout_at(until, self.shared.beat()).await.is_err() {
                self.shared.members.wake();
            }
            untold
        })
    }

    fn forget(&self, group: &Group, consumer: bool) {
        self.shared.members.remove(group, consumer);
    }
}

impl Shared {
    /// Takes the inner group back everywhere, and announces it anew.
    async fn renew(self: &Arc<Self>) {
        let mut inner = Unregister::new(&self.members.client_id);
        inner.producer_group = Some(Group::from_static(system::CLIENT_INNER_PRODUCER));
        let inner = Arc::new(inner);
        let brokers = self.brokers.for_heartbeat(false);
        let calls = brokers.into_iter().map(|(broker, address)| -> BoxFuture<'static, ()> {
            let (shared, inner) = (self.clone(), inner.clone());
            Box::pin(async move {
                let operation = || "unregister".to_owned();
                // One that cannot be told has nothing to forget.
                let _ = shared.call(&broker, &address, &*inner, shared.request_timeout, operation).await;
            })
        });
        side_by_side(calls).await;
        self.beat().await;
    }
}

/// Java's name of where a group begins.
pub(crate) fn from_where(from: ConsumeFrom) -> &'static str {
    match from {
        ConsumeFrom::Earliest => "CONSUME_FROM_FIRST_OFFSET",
        ConsumeFrom::Time(_) => "CONSUME_FROM_TIMESTAMP",
        _ => "CONSUME_FROM_LAST_OFFSET",
    }
}

/// The events of one member.
struct Events(mpsc::Receiver<ServerEvent>);

impl Stream for Events {
    type Item = ServerEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServerEvent>> {
        self.0.poll_recv(cx)
    }
}
