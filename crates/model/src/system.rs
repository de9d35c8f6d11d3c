//! Names that servers keep for themselves.

/// The template of topics that brokers create on the first send.
pub const TEMPLATE_TOPIC: &str = "TBW102";
/// The producer group that no user may take (PRO-VAL-04).
pub const DEFAULT_PRODUCER: &str = "DEFAULT_PRODUCER";
/// The consumer group that no user may take.
pub const DEFAULT_CONSUMER: &str = "DEFAULT_CONSUMER";
/// The producer group that every client announces, for broker-side look-ups.
pub const CLIENT_INNER_PRODUCER: &str = "CLIENT_INNER_PRODUCER";
/// Prefix of the topic that a group's retries go through.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of the topic that holds what a group gave up on.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// Prefix of topics that belong to the servers.
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// Prefix of groups that belong to the servers.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

const NO_SEND: [&str; 8] = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

const OTHERS: [&str; 4] = [TEMPLATE_TOPIC, "BenchmarkTest", "RMQ_SYS_TRACE_TOPIC", "CHECKPOINT_TOPIC"];

/// Whether brokers refuse sends to this topic (PRO-VAL-09).
pub fn is_send_forbidden(topic: &str) -> bool {
    NO_SEND.contains(&topic)
}

/// Whether a topic belongs to the servers: such names are never put into a namespace.
pub fn is_system_topic(topic: &str) -> bool {
    topic.starts_with(SYSTEM_TOPIC_PREFIX) || OTHERS.contains(&topic) || NO_SEND.contains(&topic)
}

/// Whether a group belongs to the servers.
pub fn is_system_group(group: &str) -> bool {
    group.starts_with(SYSTEM_GROUP_PREFIX)
}
