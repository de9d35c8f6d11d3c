use ferrocket_model::{Topic, system};
use ferrocket_protocol::{Command, ReadRequest, ResponseCode, request::CreateTopic};

use super::Broker;
use crate::answer::{Answer, NO_CODE};

/// More queues than this is a mistake of a test, and would be memory for the asking.
const MAX_QUEUES: u32 = 65_536;

impl Broker {
    pub(super) fn create_topic_request(&self, command: &Command) -> Answer {
        let request = match CreateTopic::read_request(command) {
            Ok(request) => request,
            Err(error) => return Answer::unreadable(&error),
        };
        if let Some(refusal) = refuse_name(request.topic.as_str()) {
            return refusal;
        }
        if system::is_system_topic(request.topic.as_str()) {
            let text = format!("The topic[{}] is conflict with system topic.", request.topic);
            return Answer::refusal(ResponseCode::INVALID_PARAMETER, text);
        }
        let queues = request.read_queues.max(request.write_queues).min(MAX_QUEUES);
        let mut state = self.state.lock();
        state.log.set_topic(request.topic.as_str(), queues, request.perm);
        if request.attributes.split(',').any(|change| change == "+queue.type=BatchCQ") {
            state.log.keep_batches(request.topic.as_str());
        }
        Answer::success().with_remark(NO_CODE)
    }
}

/// Refuses names that brokers refuse.
pub(super) fn refuse_name(topic: &str) -> Option<Answer> {
    let invalid = Topic::from(topic).check_for_consuming().err()?;
    Some(Answer::refusal(ResponseCode::INVALID_PARAMETER, format!("The specified topic: {topic}, {invalid}")))
}
