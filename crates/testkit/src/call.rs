use ferrocket_protocol::RequestCode;

/// A kind of request, for faults and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// A topic's route, asked of a name server.
    Route,
    /// A client's heartbeat.
    Heartbeat,
    /// A client leaves a group.
    Unregister,
    /// A message, or a batch of them, is stored.
    Send,
    /// A reply is pushed to who asked.
    Reply,
    /// A half message is committed or rolled back.
    EndTransaction,
    /// A timer message is taken back.
    Recall,
    /// Messages of a queue are fetched.
    Pull,
    /// Messages are fetched by POP.
    Pop,
    /// A message fetched by POP is acknowledged.
    Ack,
    /// A group's progress is read.
    ReadOffset,
    /// A group's progress is stored.
    CommitOffset,
    /// The offset behind the last message of a queue.
    MaxOffset,
    /// The first offset of a queue.
    MinOffset,
    /// The offset of a time.
    SearchOffset,
    /// Messages are looked for by a key.
    Query,
    /// One message is fetched by its place.
    View,
    /// A subscription is checked before its consumer starts.
    CheckClient,
    /// The members of a group.
    ConsumerList,
    /// A message is given back for a retry.
    SendBack,
    /// Queues are locked.
    Lock,
    /// Queues are unlocked.
    Unlock,
    /// A topic is created or changed.
    CreateTopic,
}

impl Call {
    pub(crate) const COUNT: usize = Self::CreateTopic as usize + 1;

    /// The kind of a request code, if it has one.
    pub(crate) fn of(code: RequestCode) -> Option<Self> {
        Some(match code {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => Self::Route,
            RequestCode::HEART_BEAT => Self::Heartbeat,
            RequestCode::UNREGISTER_CLIENT => Self::Unregister,
            RequestCode::SEND_MESSAGE | RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => Self::Send,
            RequestCode::SEND_REPLY_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => Self::Reply,
            RequestCode::END_TRANSACTION => Self::EndTransaction,
            RequestCode::RECALL_MESSAGE => Self::Recall,
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => Self::Pull,
            RequestCode::POP_MESSAGE => Self::Pop,
            RequestCode::ACK_MESSAGE | RequestCode::BATCH_ACK_MESSAGE => Self::Ack,
            RequestCode::QUERY_CONSUMER_OFFSET => Self::ReadOffset,
            RequestCode::UPDATE_CONSUMER_OFFSET => Self::CommitOffset,
            RequestCode::GET_MAX_OFFSET => Self::MaxOffset,
            RequestCode::GET_MIN_OFFSET => Self::MinOffset,
            RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => Self::SearchOffset,
            RequestCode::QUERY_MESSAGE => Self::Query,
            RequestCode::VIEW_MESSAGE_BY_ID => Self::View,
            RequestCode::CHECK_CLIENT_CONFIG => Self::CheckClient,
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => Self::ConsumerList,
            RequestCode::CONSUMER_SEND_MSG_BACK => Self::SendBack,
            RequestCode::LOCK_BATCH_MQ => Self::Lock,
            RequestCode::UNLOCK_BATCH_MQ => Self::Unlock,
            RequestCode::UPDATE_AND_CREATE_TOPIC => Self::CreateTopic,
            _ => return None,
        })
    }
}
