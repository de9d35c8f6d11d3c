//! Message properties in their wire form: `name␁value␂name␁value␂…` with the bytes 0x01 and 0x02.
//!
//! Nothing is parsed until somebody asks: a look-up scans the text (PRO-VAL-30; rules of reading from the Java client).

/// Separates a name from its value.
pub const NAME_SEPARATOR: char = '\u{1}';
/// Ends a pair.
pub const PAIR_SEPARATOR: char = '\u{2}';
/// The longest property text that the 16-bit length of the wire can hold.
pub const MAX_BYTES: usize = i16::MAX as usize;

/// Names with a meaning to clients or servers.
pub mod name {
    /// Business keys, separated by single blanks.
    pub const KEYS: &str = "KEYS";
    /// The one tag.
    pub const TAGS: &str = "TAGS";
    /// Whether the broker answers only when the message is as safe as it is configured to be.
    pub const WAIT: &str = "WAIT";
    /// Delay level, decimal.
    pub const DELAY: &str = "DELAY";
    /// Original topic of a message in a retry topic.
    pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
    /// Topic before redirection by the broker.
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    /// Queue before redirection by the broker.
    pub const REAL_QID: &str = "REAL_QID";
    /// `true`: a half message.
    pub const TRAN_MSG: &str = "TRAN_MSG";
    /// Producer group of a half message.
    pub const PGROUP: &str = "PGROUP";
    /// Id of the first delivery, in retry topics.
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    /// The id that the sending client gave the message.
    pub const UNIQ_KEY: &str = "UNIQ_KEY";
    /// Namespace of the sender.
    pub const INSTANCE_ID: &str = "INSTANCE_ID";
    /// Pairs a reply with its request.
    pub const CORRELATION_ID: &str = "CORRELATION_ID";
    /// Client id of the requester.
    pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
    /// Milliseconds that the requester waits.
    pub const TTL: &str = "TTL";
    /// `reply` for replies.
    pub const MSG_TYPE: &str = "MSG_TYPE";
    /// Cluster of the broker that stored the message.
    pub const CLUSTER: &str = "CLUSTER";
    /// Ordering key.
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    /// Transaction id on committed messages.
    pub const TRANSACTION_ID: &str = "__transactionId__";
    /// Names of light message queues.
    pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
    /// Seconds until delivery.
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    /// Milliseconds until delivery.
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    /// Time of delivery, Unix milliseconds.
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    /// Original topic of a dead letter.
    pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
    /// Original id of a dead letter.
    pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
    /// Region of the broker.
    pub const MSG_REGION: &str = "MSG_REGION";
    /// Whether the message is traced.
    pub const TRACE_ON: &str = "TRACE_ON";
}

/// Names that users may not set (PRO-VAL-30), sorted.
pub const RESERVED: [&str; 54] = [
    "1ST_POP_TIME",
    "ARRIVE_TIME",
    "BORN_TIMESTAMP",
    "BUYER_ID",
    "CLUSTER",
    "CONSUME_START_TIME",
    "CORRECTION_FLAG",
    "CORRELATION_ID",
    "DELAY",
    "DLQ_ORIGIN_MESSAGE_ID",
    "DLQ_ORIGIN_TOPIC",
    "DUP_INFO",
    "EXTEND_UNIQ_INFO",
    "INNER_MULTI_QUEUE_OFFSET",
    "INSTANCE_ID",
    "KEYS",
    "MAX_OFFSET",
    "MAX_RECONSUME_TIMES",
    "MIN_OFFSET",
    "MQ2_FLAG",
    "MSG_REGION",
    "MSG_TYPE",
    "ORIGIN_GROUP",
    "ORIGIN_MESSAGE_ID",
    "PGROUP",
    "POP_CK",
    "POP_CK_OFFSET",
    "PUSH_REPLY_TIME",
    "REAL_QID",
    "REAL_TOPIC",
    "RECONSUME_TIME",
    "REPLY_TO_CLIENT",
    "RETRY_TOPIC",
    "TAGS",
    "TIMER_DELAY_LEVEL",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
    "TIMER_DEL_UNIQKEY",
    "TIMER_DEQUEUE_MS",
    "TIMER_ENQUEUE_MS",
    "TIMER_OUT_MS",
    "TIMER_ROLL_TIMES",
    "TRACE_ON",
    "TRANSFER_FLAG",
    "TRAN_MSG",
    "TRAN_PREPARED_QUEUE_OFFSET",
    "TTL",
    "UNIQ_KEY",
    "WAIT",
    "_SYS_MSG_PRIORITY_",
    "__BORNHOST",
    "__CRC32#",
    "__LITE_TOPIC",
];

/// Whether users may not set this property.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.binary_search(&name).is_ok()
}

/// Iterates over the pairs of a property text, in order, duplicates included.
///
/// As the Java client: a piece without separator, with an empty name or with an empty value is passed over; a value may
/// contain 0x01.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    text.split(PAIR_SEPARATOR).filter_map(|piece| {
        let (name, value) = piece.split_once(NAME_SEPARATOR)?;
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

/// The value of a property. The last of several wins.
pub fn find<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let bytes = text.as_bytes();
    let mut found = None;
    let mut start = 0;
    while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let end = rest.iter().position(|&byte| byte == 2).map_or(bytes.len(), |length| start + length);
        let value_at = start + name.len() + 1;
        let has_name = || rest.get(name.len()) == Some(&1) && rest.get(..name.len()) == Some(name.as_bytes());
        if value_at < end && has_name() {
            found = text.get(value_at..end);
        }
        start = end + 1;
    }
    if name.is_empty() || name.contains(NAME_SEPARATOR) { None } else { found }
}

/// What a few short properties take.
const FEW_BYTES: usize = 96;

/// Appends a pair. Neither part may contain a separator; callers check with [`is_clean`].
pub fn push(text: &mut String, name: &str, value: &str) {
    let more = name.len() + value.len() + 2;
    if text.capacity() - text.len() < more {
        // Room for a few, so that a message is not made anew with each of them.
        text.reserve(more.max(FEW_BYTES));
    }
    text.push_str(name);
    text.push(NAME_SEPARATOR);
    text.push_str(value);
    text.push(PAIR_SEPARATOR);
}

/// Sets a pair: appends it, and takes out earlier ones of the same name.
pub fn set(text: &mut String, name: &str, value: &str) {
    remove(text, name);
    push(text, name, value);
}

/// Takes out every pair of this name.
pub fn remove(text: &mut String, name: &str) {
    if find(text, name).is_none() {
        return;
    }
    let mut kept = String::with_capacity(text.len());
    for (other, value) in pairs(text).filter(|(other, _)| *other != name) {
        push(&mut kept, other, value);
    }
    *text = kept;
}

/// Whether a name or value can be written without corrupting the set.
pub fn is_clean(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, 1 | 2))
}
