use bytes::Bytes;
use ferrocket_model::{Filter, FilterKind, java_string_hash};
use serde::{Deserialize, Serialize};

use super::nullable;
use crate::DecodeError;

/// What a client says in a heartbeat. Lists are never left out: brokers fail on a `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// The client's id.
    #[serde(rename = "clientID", deserialize_with = "nullable")]
    pub client_id: String,
    /// The consumer groups it is a member of.
    #[serde(deserialize_with = "nullable")]
    pub consumer_data_set: Vec<ConsumerData>,
    /// 0 for a full heartbeat (V1).
    pub heartbeat_fingerprint: i32,
    /// The producer groups.
    #[serde(deserialize_with = "nullable")]
    pub producer_data_set: Vec<ProducerData>,
    /// Whether subscriptions are left out because the broker knows them (V2).
    pub without_sub: bool,
}

impl HeartbeatData {
    /// The body.
    pub fn to_body(&self) -> Bytes {
        super::write(self)
    }

    /// Reads a body.
    ///
    /// # Errors
    ///
    /// When it is not the JSON of a heartbeat.
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        super::read(body)
    }
}

/// A producer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// Its name.
    #[serde(deserialize_with = "nullable")]
    pub group_name: String,
}

/// A consumer group and what this member says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// `CONSUME_FROM_LAST_OFFSET` and its like.
    #[serde(deserialize_with = "nullable")]
    pub consume_from_where: String,
    /// `CONSUME_ACTIVELY` (pull), `CONSUME_PASSIVELY` (push) or `CONSUME_POP`.
    #[serde(deserialize_with = "nullable")]
    pub consume_type: String,
    /// The group's name.
    #[serde(deserialize_with = "nullable")]
    pub group_name: String,
    /// `CLUSTERING` or `BROADCASTING`.
    #[serde(deserialize_with = "nullable")]
    pub message_model: String,
    /// The subscriptions.
    #[serde(deserialize_with = "nullable")]
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    pub unit_mode: bool,
}

/// One subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// A dead feature; false.
    pub class_filter_mode: bool,
    /// Hashes of the tags, by which brokers filter.
    #[serde(deserialize_with = "nullable")]
    pub code_set: Vec<i32>,
    /// `TAG` or `SQL92`.
    #[serde(deserialize_with = "nullable")]
    pub expression_type: String,
    /// The expression as the user wrote it; `*` for everything.
    #[serde(deserialize_with = "nullable")]
    pub sub_string: String,
    /// Grows when the subscription changes; the newest of a group wins.
    pub sub_version: i64,
    /// The tags; empty for everything and for SQL.
    #[serde(deserialize_with = "nullable")]
    pub tags_set: Vec<String>,
    /// The topic.
    #[serde(deserialize_with = "nullable")]
    pub topic: String,
}

impl SubscriptionData {
    /// The subscription of a topic with a filter.
    #[doc(alias = "FilterAPI")]
    pub fn new(topic: &str, filter: &Filter, version: i64) -> Self {
        let tags = filter.tag_list();
        Self {
            class_filter_mode: false,
            code_set: tags.iter().map(|tag| java_string_hash(tag)).collect(),
            expression_type: match filter.kind() {
                FilterKind::Sql => "SQL92".to_owned(),
                _ => "TAG".to_owned(),
            },
            sub_string: filter.expression().to_owned(),
            sub_version: version,
            tags_set: tags.into_iter().map(str::to_owned).collect(),
            topic: topic.to_owned(),
        }
    }
}
