use bytes::Bytes;
use ferrocket_model::Group;
use serde_json::json;

use crate::{Command, DecodeError, Response, body};

super::request! {
    /// What a broker knows of a consumer group: its members' connections, and the one subscription per topic that holds for all of
    /// them. A group without members is refused with `CONSUMER_NOT_ONLINE`.
    #[doc(alias = "GET_CONSUMER_CONNECTION_LIST")]
    pub struct GetConsumerConnection(GET_CONSUMER_CONNECTION_LIST) -> ConsumerConnection {
        /// The group.
        req group: Group = "consumerGroup",
    }
}

/// A consumer group as a broker knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerConnection {
    /// The client ids of the members, one per connection.
    pub client_ids: Vec<String>,
    /// `CLUSTERING` or `BROADCASTING`.
    pub message_model: String,
    /// What the group wants, by the newest word of any member.
    pub subscriptions: Vec<GroupSubscription>,
}

/// One topic of a [`ConsumerConnection`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSubscription {
    /// The topic.
    pub topic: String,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
    /// The expression.
    pub expression: String,
}

impl ConsumerConnection {
    /// What a broker answers.
    pub fn new(client_ids: Vec<String>, message_model: &str, subscriptions: Vec<GroupSubscription>) -> Self {
        Self { client_ids, message_model: message_model.to_owned(), subscriptions }
    }

    /// The body of the answer.
    pub fn to_body(&self) -> Bytes {
        let connections: Vec<_> = self.client_ids.iter().map(|id| json!({ "clientId": id })).collect();
        let table = self.subscriptions.iter().map(|one| {
            let data = json!({
                "expressionType": one.expression_type, "subString": one.expression, "topic": one.topic,
            });
            (one.topic.clone(), data)
        });
        body::write(&json!({
            "connectionSet": connections,
            "messageModel": self.message_model,
            "subscriptionTable": table.collect::<serde_json::Map<_, _>>(),
        }))
    }
}

impl Response for ConsumerConnection {
    fn read(command: Command) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        body::Reader::read(command.body(), &mut |reader, key| match key {
            "connectionSet" => reader.list(&mut |reader| {
                reader.object(&mut |reader, key| match key {
                    "clientId" => {
                        found.client_ids.push(reader.owned_text()?);
                        body::limit(found.client_ids.len(), "members of a group")
                    }
                    _ => reader.skip(),
                })
            }),
            "messageModel" => {
                found.message_model = reader.owned_text()?;
                Ok(())
            }
            "subscriptionTable" => reader.object(&mut |reader, topic| {
                let mut one = GroupSubscription { topic: topic.to_owned(), ..GroupSubscription::default() };
                reader.object(&mut |reader, key| {
                    match key {
                        "expressionType" => one.expression_type = reader.owned_text()?,
                        "subString" => one.expression = reader.owned_text()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                found.subscriptions.push(one);
                body::limit(found.subscriptions.len(), "subscriptions of a group")
            }),
            _ => reader.skip(),
        })?;
        Ok(found)
    }
}
