use std::{collections::HashMap, sync::Arc};

use ferrocket_model::Filter;
use ferrocket_protocol::{ResponseCode, body::SubscriptionData, message::StoredMessages, request::PullHeader};

use crate::{answer::Answer, log::Record, sql::Expression};

const SQL: &str = "SQL92";

/// Which messages a pull gets.
#[derive(Debug)]
pub(super) enum Passing {
    Everything,
    /// Those with such a hash of their tag.
    Tags(Vec<i32>),
    Sql(Arc<Expression>),
}

/// The SQL filters of a group, which outlive its members.
#[derive(Debug, Default)]
pub(super) struct Filters {
    by_topic: HashMap<String, Registered>,
}

#[derive(Debug)]
struct Registered {
    text: String,
    version: i64,
    expression: Arc<Expression>,
}

impl Passing {
    pub(super) fn passes(&self, record: &Record) -> bool {
        match self {
            Self::Everything => true,
            Self::Tags(codes) => record.tag_hash.is_some_and(|hash| codes.contains(&hash)),
            Self::Sql(expression) => {
                let stored = StoredMessages::new(&record.bytes).without_crc().next();
                let Some(Ok(stored)) = stored else { return false };
                expression.accepts(&String::from_utf8_lossy(stored.properties))
            }
        }
    }

    /// By the subscription of the pull itself. SQL that cannot be read passes everything, as on 5.5.0.
    pub(super) fn of_request(request: &PullHeader, sql_allowed: bool) -> Result<Self, Answer> {
        let unreadable = || {
            let text = "parse the consumer's subscription failed";
            Answer::refusal(ResponseCode::SUBSCRIPTION_PARSE_FAILED, text)
        };
        let text = request.subscription.as_deref().unwrap_or_default();
        let kind = request.expression_type.as_deref().unwrap_or("TAG");
        if kind == "TAG" {
            let filter = Filter::from(text);
            filter.check().map_err(|_| unreadable())?;
            return Ok(Self::of_tags(&SubscriptionData::new(request.topic.as_str(), &filter, 0)));
        }
        if text.is_empty() {
            return Err(unreadable());
        }
        if is_tags(kind) {
            // Nobody takes the tags apart then.
            return Ok(if text == "*" { Self::Everything } else { Self::Tags(Vec::new()) });
        }
        check_allowed(kind, sql_allowed)?;
        let expression = if kind == SQL { Expression::compile(text).ok() } else { None };
        Ok(expression.map_or(Self::Everything, |expression| Self::Sql(Arc::new(expression))))
    }

    /// By what heartbeats said of a topic, and the filters that were registered with them.
    pub(super) fn of_heartbeats(
        subscription: &SubscriptionData,
        filters: &Filters,
        request: &PullHeader,
        sql_allowed: bool,
    ) -> Result<Self, Answer> {
        if is_tags(&subscription.expression_type) {
            return Ok(Self::of_tags(subscription));
        }
        let Some(registered) = filters.by_topic.get(&subscription.topic) else {
            let text = "The broker's consumer filter data is not exist!Your expression may be wrong!";
            return Err(Answer::refusal(ResponseCode::FILTER_DATA_NOT_EXIST, text));
        };
        if registered.version < request.subscription_version {
            let text = "the consumer's consumer filter data not latest";
            return Err(Answer::refusal(ResponseCode::FILTER_DATA_NOT_LATEST, text));
        }
        check_allowed(&subscription.expression_type, sql_allowed)?;
        Ok(Self::Sql(registered.expression.clone()))
    }

    fn of_tags(subscription: &SubscriptionData) -> Self {
        match subscription.sub_string.as_str() {
            "*" => Self::Everything,
            _ => Self::Tags(subscription.code_set.clone()),
        }
    }
}

impl Filters {
    /// What a heartbeat says. An expression that does not compile takes the old one out, and is not kept: the same version may
    /// come again with a better one.
    pub(super) fn register(&mut self, subscriptions: &[SubscriptionData]) {
        for new in subscriptions {
            if is_tags(&new.expression_type) || new.sub_string.is_empty() {
                continue;
            }
            match self.by_topic.get_mut(&new.topic) {
                Some(old) if old.version >= new.sub_version => continue,
                Some(old) if old.text == new.sub_string && new.expression_type == SQL => {
                    old.version = new.sub_version;
                    continue;
                }
                _ => {}
            }
            self.by_topic.remove(&new.topic);
            if new.expression_type == SQL
                && let Ok(expression) = Expression::compile(&new.sub_string)
            {
                let (text, version) = (new.sub_string.clone(), new.sub_version);
                self.by_topic.insert(new.topic.clone(), Registered { text, version, expression: Arc::new(expression) });
            }
        }
    }
}

/// Whether expressions of this kind are lists of tags.
pub(super) fn is_tags(kind: &str) -> bool {
    matches!(kind, "" | "TAG")
}

/// Refuses all kinds but tags while SQL is switched off.
pub(super) fn check_allowed(kind: &str, sql_allowed: bool) -> Result<(), Answer> {
    if sql_allowed {
        return Ok(());
    }
    let text = format!("The broker does not support consumer to filter message by {kind}");
    Err(Answer::refusal(ResponseCode::SYSTEM_ERROR, text))
}
