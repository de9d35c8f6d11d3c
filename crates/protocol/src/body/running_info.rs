use std::collections::BTreeMap;

use bytes::Bytes;
use ferrocket_model::MessageQueue;
use serde::{Deserialize, Serialize};

use super::{SubscriptionData, nullable, queues};
use crate::DecodeError;

/// What a member of a consumer group does right now, for administrators.
///
/// Names and types are those of Java, because `mqadmin` and consoles read them. They fail without the properties
/// [`CONSUME_TYPE`](Self::CONSUME_TYPE) and [`START_TIMESTAMP`](Self::START_TIMESTAMP).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "ConsumerRunningInfo")]
pub struct RunningInfo {
    /// What every thread is doing, if that was asked for.
    pub jstack: Option<String>,
    /// The queues that are consumed by POP.
    #[serde(rename = "mqPopTable", deserialize_with = "queues::table")]
    #[doc(alias = "mqPopTable")]
    pub pop_queues: BTreeMap<MessageQueue, PopQueueInfo>,
    /// The queues that are pulled.
    #[serde(rename = "mqTable", deserialize_with = "queues::table")]
    #[doc(alias = "mqTable")]
    pub queues: BTreeMap<MessageQueue, QueueInfo>,
    /// Settings by their Java names. Never secrets: consoles show them all.
    #[serde(deserialize_with = "nullable")]
    pub properties: BTreeMap<String, String>,
    /// Rates of each topic, the retry topic included.
    #[serde(rename = "statusTable", deserialize_with = "nullable")]
    #[doc(alias = "statusTable")]
    pub topics: BTreeMap<String, TopicStatus>,
    /// What the member subscribes to; written in the order of topic and expression.
    #[serde(rename = "subscriptionSet", deserialize_with = "nullable")]
    #[doc(alias = "subscriptionSet")]
    pub subscriptions: Vec<SubscriptionData>,
    /// The user's own words; empty in Java.
    #[serde(rename = "userConsumerInfo", deserialize_with = "nullable")]
    #[doc(alias = "userConsumerInfo")]
    pub user_info: BTreeMap<String, String>,
}

/// A queue that is pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "ProcessQueueInfo")]
pub struct QueueInfo {
    /// How many messages wait here or are being consumed.
    #[serde(rename = "cachedMsgCount")]
    pub cached_count: i32,
    /// The last of them; 0 without any.
    #[serde(rename = "cachedMsgMaxOffset")]
    pub cached_max_offset: i64,
    /// The first of them; 0 without any.
    #[serde(rename = "cachedMsgMinOffset")]
    pub cached_min_offset: i64,
    /// How large they are, in whole MiB.
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_mib: i32,
    /// The offset to commit next.
    pub commit_offset: i64,
    /// Whether the queue was given away.
    #[serde(rename = "droped")]
    #[doc(alias = "droped")]
    pub dropped: bool,
    /// When a message was consumed last, Unix milliseconds, as all times here.
    #[serde(rename = "lastConsumeTimestamp")]
    pub last_consume_ms: i64,
    /// When the broker's lock was got or kept last.
    #[serde(rename = "lastLockTimestamp")]
    pub last_lock_ms: i64,
    /// When the queue was pulled last.
    #[serde(rename = "lastPullTimestamp")]
    pub last_pull_ms: i64,
    /// Whether the broker's lock is held.
    pub locked: bool,
    /// Of an orderly consumer: how many messages are being consumed.
    #[serde(rename = "transactionMsgCount")]
    pub transaction_count: i32,
    /// The last of these; 0 without any.
    #[serde(rename = "transactionMsgMaxOffset")]
    pub transaction_max_offset: i64,
    /// The first of these; 0 without any.
    #[serde(rename = "transactionMsgMinOffset")]
    pub transaction_min_offset: i64,
    /// How often it was tried to give the lock back.
    #[serde(rename = "tryUnlockTimes")]
    pub unlock_attempts: i64,
}

/// A queue that is consumed by POP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "PopProcessQueueInfo")]
pub struct PopQueueInfo {
    /// Whether the queue was given away.
    #[serde(rename = "droped")]
    #[doc(alias = "droped")]
    pub dropped: bool,
    /// When the queue was popped last, Unix milliseconds.
    #[serde(rename = "lastPopTimestamp")]
    pub last_pop_ms: i64,
    /// How many messages are not acknowledged yet.
    #[serde(rename = "waitAckCount")]
    pub unacknowledged: i32,
}

/// How fast a topic is pulled and consumed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[doc(alias = "ConsumeStatus")]
pub struct TopicStatus {
    /// Messages that failed within the last hour.
    #[serde(rename = "consumeFailedMsgs")]
    pub failed_messages: i64,
    /// Messages that failed, per second within the last minute, as all rates here.
    #[serde(rename = "consumeFailedTPS")]
    pub failed_per_second: f64,
    /// Messages that were consumed.
    #[serde(rename = "consumeOKTPS")]
    pub consumed_per_second: f64,
    /// How long a call of the listener took, in milliseconds.
    #[serde(rename = "consumeRT")]
    pub consume_ms: f64,
    /// How long a pull took that brought messages, in milliseconds.
    #[serde(rename = "pullRT")]
    pub pull_ms: f64,
    /// Messages that were pulled.
    #[serde(rename = "pullTPS")]
    pub pulled_per_second: f64,
}

impl RunningInfo {
    /// The property that says `CONSUME_PASSIVELY` (push), `CONSUME_ACTIVELY` (pull) or `CONSUME_POP`. Tools fail without it.
    #[doc(alias = "PROP_CONSUME_TYPE")]
    pub const CONSUME_TYPE: &'static str = "PROP_CONSUME_TYPE";
    /// The property that says when the consumer began, Unix milliseconds. Tools fail without it.
    #[doc(alias = "PROP_CONSUMER_START_TIMESTAMP")]
    pub const START_TIMESTAMP: &'static str = "PROP_CONSUMER_START_TIMESTAMP";
    /// The property that says whether messages are consumed in order, `true` or `false`.
    #[doc(alias = "PROP_CONSUMEORDERLY")]
    pub const ORDERLY: &'static str = "PROP_CONSUMEORDERLY";
    /// The property that says how many messages are consumed at a time.
    #[doc(alias = "PROP_THREADPOOL_CORE_SIZE")]
    pub const CONCURRENCY: &'static str = "PROP_THREADPOOL_CORE_SIZE";
    /// The property that lists the name servers, each followed by `;`.
    #[doc(alias = "PROP_NAMESERVER_ADDR")]
    pub const NAME_SERVERS: &'static str = "PROP_NAMESERVER_ADDR";
    /// The property that names the protocol's version, as in `V5_5_0`.
    #[doc(alias = "PROP_CLIENT_VERSION")]
    pub const CLIENT_VERSION: &'static str = "PROP_CLIENT_VERSION";

    /// The body of the answer. Queues are objects as keys: tools of 5.5.0 read no other form.
    pub fn to_body(&self) -> Bytes {
        let mut out = Vec::with_capacity(1_024 + 512 * self.queues.len());
        if let Some(jstack) = &self.jstack {
            queues::push_field(&mut out, "jstack", jstack);
        }
        queues::push_table(&mut out, "mqPopTable", &mut self.pop_queues.iter());
        queues::push_table(&mut out, "mqTable", &mut self.queues.iter());
        queues::push_field(&mut out, "properties", &self.properties);
        queues::push_field(&mut out, "statusTable", &self.topics);
        let mut subscriptions: Vec<_> = self.subscriptions.iter().collect();
        subscriptions.sort_by_cached_key(|one| format!("{}@{}", one.topic, one.sub_string));
        queues::push_field(&mut out, "subscriptionSet", &subscriptions);
        queues::push_field(&mut out, "userConsumerInfo", &self.user_info);
        queues::end(out)
    }

    /// Reads a body, as tools do.
    ///
    /// # Errors
    ///
    /// When it is not the JSON of such an answer.
    pub fn read_body(body: &[u8]) -> Result<Self, DecodeError> {
        super::read(body)
    }
}
