use std::{fmt, pin::Pin, time::Duration};

use ferrocket_model::{ConsumeFrom, Filter, Group, MessageQueue, Topic};
use futures_core::Stream;

use crate::{BoxFuture, DirectConsumption, Outcome, PictureAnswer, TransactionCheck};

/// What a member wants of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: Topic,
    /// Which of its messages.
    pub filter: Filter,
    /// Grows when the subscription changes.
    pub version: i64,
}

/// Who joins a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// The group.
    pub group: Group,
    /// As what.
    pub kind: MemberKind,
}

/// As what a member joins.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MemberKind {
    /// It sends.
    Producer,
    /// It consumes.
    Consumer(ConsumerMember),
}

/// A consuming member.
#[derive(Clone, Debug)]
pub struct ConsumerMember {
    /// What it wants, its retry topic included.
    pub subscriptions: Vec<Subscription>,
    /// Whether every member gets every message.
    pub is_broadcast: bool,
    /// Where a new group begins.
    pub consume_from: ConsumeFrom,
}

/// What a server tells a member.
#[non_exhaustive]
pub enum ServerEvent {
    /// Members of the group came or went: compute the shares anew.
    MembersChanged,
    /// To a producer: what became of this half message?
    CheckTransaction(Box<TransactionCheck>),
    /// To a consumer: a connection to a broker was lost, or is back. The broker may have forgotten locks.
    ConnectionsChanged,
    /// To a consumer: an administrator has set offsets. What was fetched of these queues is to be dropped, and consumption goes on at
    /// these places.
    ResetOffsets(Vec<(MessageQueue, u64)>),
    /// To a consumer: an administrator wants to see it.
    ShowPicture(PictureAnswer),
    /// To a consumer: an administrator lets it handle this message.
    ConsumeDirectly(Box<DirectConsumption>),
}

impl fmt::Debug for ServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MembersChanged => f.write_str("MembersChanged"),
            Self::CheckTransaction(check) => f.debug_tuple("CheckTransaction").field(check).finish(),
            Self::ConnectionsChanged => f.write_str("ConnectionsChanged"),
            Self::ResetOffsets(offsets) => f.debug_tuple("ResetOffsets").field(offsets).finish(),
            Self::ShowPicture(_) => f.write_str("ShowPicture"),
            Self::ConsumeDirectly(message) => f.debug_tuple("ConsumeDirectly").field(message).finish(),
        }
    }
}

/// What a server tells a member, as it comes. Bounded: what finds the queue full is dropped, because an equal notice waits there
/// anyway, or because the server asks again.
pub type EventStream = Pin<Box<dyn Stream<Item = ServerEvent> + Send>>;

/// A member that has joined.
pub struct Joined {
    /// What servers tell it.
    pub events: EventStream,
}

/// Groups and their members.
pub trait Membership {
    /// The id under which this client is a member of groups.
    fn client_id(&self) -> &str;

    /// Joins a group: servers are told at once, and kept informed until [`leave`](Self::leave).
    ///
    /// # Errors
    ///
    /// `Conflict` when this client is a member of the group in that role already. A server that cannot be reached is no error:
    /// it is told later.
    fn join(&self, member: Member) -> BoxFuture<'_, Outcome<Joined>>;

    /// Tells the servers now, instead of at the next interval: subscriptions changed, or a broker is new.
    fn announce(&self) -> BoxFuture<'_, ()>;

    /// Makes servers learn anew how to reach this client. Brokers keep one way to a client, for replies, and lose it with a
    /// connection of it that has ended meanwhile; heartbeats alone do not bring it back. Runs in the background and ends with the
    /// transport; not again for a few seconds, however often it is asked for.
    fn renew(&self);

    /// Leaves a group. Says which servers could not be told; their other members learn it only when the servers notice.
    /// Takes this long at most.
    fn leave<'a>(&'a self, group: &'a Group, consumer: bool, timeout: Duration) -> BoxFuture<'a, Vec<String>>;

    /// Takes a group off this client without telling anybody, for handles that are dropped. A dropped consumer tells
    /// servers later, by [`withdraw`](ConsumerGroups::withdraw).
    fn forget(&self, group: &Group, consumer: bool);
}

/// What servers take a consumer group for: by the newest word of any member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// Topics and filters.
    pub subscriptions: Vec<(Topic, Filter)>,
    /// Whether every member gets every message.
    pub is_broadcast: bool,
}

/// Consumer groups, as their members see them.
pub trait ConsumerGroups {
    /// From here on, what servers ask on behalf of administrators is passed to the consumers of this client
    /// ([`ServerEvent`]). A client that has none need not understand it.
    fn answer_administrators(&self);

    /// Asks a broker of the topic whether it understands a filter, before it is used. Only filters that brokers compile need it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` or another verdict with the broker's text, when it does not; else when nobody could be asked.
    fn check_filter<'a>(&'a self, group: &'a Group, subscription: &'a Subscription) -> BoxFuture<'a, Outcome<()>>;

    /// What servers take the group's subscriptions for, and whether for a broadcasting one. `topic` says where to ask.
    ///
    /// # Errors
    ///
    /// When no server could say.
    fn group_view<'a>(&'a self, group: &'a Group, topic: &'a Topic) -> BoxFuture<'a, Outcome<GroupView>>;

    /// Tells servers that this client has no consumer in a group (any more), unless it has one. Takes this long at most.
    fn withdraw<'a>(&'a self, group: &'a Group, timeout: Duration) -> BoxFuture<'a, ()>;

    /// Changes what the consumer of a group wants, and tells the servers now. Does nothing when this client has none there.
    fn resubscribe<'a>(&'a self, group: &'a Group, subscriptions: Vec<Subscription>) -> BoxFuture<'a, ()>;

    /// The ids of a consumer group's members, sorted as Java sorts texts. `topic` says where to ask. An id is there once per
    /// connection under which it is known: twice, when two clients have the same one.
    ///
    /// # Errors
    ///
    /// When no server could say.
    fn members<'a>(&'a self, group: &'a Group, topic: &'a Topic) -> BoxFuture<'a, Outcome<Vec<String>>>;
}
