use std::{fmt::Write, sync::Arc};

use ferrocket_protocol::{
    Command, ReadRequest, RequestCode, ResponseCode,
    body::{BrokerAddresses, QueueData, TopicRoute},
    request::GetRoute,
};

use crate::{
    answer::{Answer, Handled},
    broker::Broker,
    connection::Connection,
    server::Service,
    shared::CLUSTER,
};

/// Knows the brokers of the cluster at first hand: what it says is always true, at once.
pub(crate) struct NameServer {
    brokers: Vec<Arc<Broker>>,
}

impl NameServer {
    pub(crate) fn new(brokers: Vec<Arc<Broker>>) -> Self {
        Self { brokers }
    }

    fn route(&self, command: &Command) -> Answer {
        let topic = match GetRoute::read_request(command) {
            Ok(request) => request.topic.to_string(),
            Err(_) => "null".to_owned(),
        };
        let (mut brokers, mut queue_data) = (Vec::new(), Vec::new());
        for broker in &self.brokers {
            let (Some(address), Some((queues, perm))) = (broker.address(), broker.topic(&topic)) else { continue };
            brokers.push(BrokerAddresses::new(broker.name(), CLUSTER, address));
            queue_data.push(QueueData {
                broker_name: broker.name().to_owned(),
                perm,
                read_queue_nums: queues,
                topic_sys_flag: 0,
                write_queue_nums: queues,
            });
        }
        if brokers.is_empty() {
            let text = format!("No topic route info in name server for the topic: {topic}");
            return Answer::refusal_with_faq(ResponseCode::TOPIC_NOT_EXIST, text);
        }
        Answer::success().with_body(TopicRoute::new(brokers, queue_data).to_body())
    }

    /// With bare number keys, as every name server writes this body.
    fn cluster_info(&self) -> Answer {
        let (mut table, mut names) = (String::new(), String::new());
        for broker in &self.brokers {
            let Some(address) = broker.address() else { continue };
            let comma = if names.is_empty() { "" } else { "," };
            let name = broker.name();
            let _ = write!(
                table,
                r#"{comma}"{name}":{{"brokerAddrs":{{0:"{address}"}},"brokerName":"{name}","cluster":"{CLUSTER}","enableActingMaster":false}}"#
            );
            let _ = write!(names, r#"{comma}"{name}""#);
        }
        let body = format!(r#"{{"brokerAddrTable":{{{table}}},"clusterAddrTable":{{"{CLUSTER}":[{names}]}}}}"#);
        Answer::success().with_body(body.into())
    }
}

impl Service for NameServer {
    fn broker(&self) -> Option<&str> {
        None
    }

    fn handle(self: Arc<Self>, _: &Arc<Connection>, command: &Command) -> Handled {
        let answer = match RequestCode(command.code) {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => self.route(command),
            RequestCode::GET_BROKER_CLUSTER_INFO => self.cluster_info(),
            RequestCode(code) => Answer::unsupported(code),
        };
        answer.into()
    }

    fn disconnected(&self, _: u64) {}
}
