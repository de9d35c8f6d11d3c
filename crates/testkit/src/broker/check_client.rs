use ferrocket_protocol::{Command, ReadRequest, ResponseCode, request::CheckClient};

use super::{
    Broker,
    filters::{check_allowed, is_tags},
};
use crate::{answer::Answer, sql::Expression};

impl Broker {
    /// Whether a subscription can be filtered by. A request without one is fine, too, and lists of tags are not looked at.
    pub(super) fn check_client(&self, command: &Command) -> Answer {
        if command.body().is_empty() {
            return Answer::success();
        }
        let subscription = match CheckClient::read_request(command).and_then(|request| request.data()) {
            Ok(data) => data.subscription_data,
            Err(error) => return Answer::unreadable(&error),
        };
        let kind = subscription.expression_type.as_str();
        if is_tags(kind) {
            return Answer::success();
        }
        if let Err(refusal) = check_allowed(kind, self.shared.settings.property_filter) {
            return refusal;
        }
        let compiled = match kind {
            "SQL92" => Expression::compile(&subscription.sub_string),
            _ => Err(format!("there are no filters of the kind {kind}")),
        };
        match compiled {
            Ok(_) => Answer::success(),
            Err(reason) => Answer::refusal(ResponseCode::SUBSCRIPTION_PARSE_FAILED, reason),
        }
    }
}
