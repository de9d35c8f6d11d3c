use serde::{Deserialize, Serialize};

use super::{SubscriptionData, nullable};

/// Which subscription of which client a broker is to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "CheckClientRequestBody")]
pub struct CheckClientData {
    /// The client's id.
    #[serde(deserialize_with = "nullable")]
    pub client_id: String,
    /// The group.
    #[serde(deserialize_with = "nullable")]
    pub group: String,
    /// Its namespace, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The subscription.
    #[serde(deserialize_with = "nullable")]
    pub subscription_data: SubscriptionData,
}
