use std::{fmt::Write, sync::Arc};

use ferrocket_protocol::{
    Command, ReadRequest, RequestCode, ResponseCode,
    body::{BrokerAddresses, QueueData, TopicRoute},
    request::GetRoute,
};

use crate::{
    answer::{Answer, Handled},
    broker::{Broker, SLAVE_ID},
    connection::Connection,
    server::Service,
    shared::CLUSTER,
};

/// Knows the brokers of the cluster at first hand: what it says is always true, at once.
pub(crate) struct NameServer {
    brokers: Vec<Arc<Broker>>,
    /// None, or one for each broker, in the same order.
    slaves: Vec<Arc<Broker>>,
}

impl NameServer {
    pub(crate) fn new(brokers: Vec<Arc<Broker>>, slaves: Vec<Arc<Broker>>) -> Self {
        Self { brokers, slaves }
    }

    /// Each broker that runs, or whose slave does, and its addresses. A slave never takes a master's place.
    fn running(&self) -> impl Iterator<Item = (&Arc<Broker>, BrokerAddresses)> {
        self.brokers.iter().enumerate().filter_map(|(index, broker)| {
            let master = broker.address();
            let slave = self.slaves.get(index).and_then(|slave| slave.address());
            if master.is_none() && slave.is_none() {
                return None;
            }
            let mut addresses = BrokerAddresses::new(broker.name(), CLUSTER, "");
            addresses.master = master;
            addresses.slaves.extend(slave.map(|address| (SLAVE_ID, address)));
            Some((broker, addresses))
        })
    }

    fn route(&self, command: &Command) -> Answer {
        let topic = match GetRoute::read_request(command) {
            Ok(request) => request.topic.to_string(),
            Err(_) => "null".to_owned(),
        };
        let (mut brokers, mut queue_data) = (Vec::new(), Vec::new());
        for (broker, addresses) in self.running() {
            let Some((queues, perm)) = broker.topic(&topic) else { continue };
            brokers.push(addresses);
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
        for (broker, addresses) in self.running() {
            let master = addresses.master.map(|address| format!(r#"0:"{address}""#));
            let slaves = addresses.slaves.into_iter().map(|(id, address)| format!(r#"{id}:"{address}""#));
            let addresses: Vec<_> = master.into_iter().chain(slaves).collect();
            let addresses = addresses.join(",");
            let comma = if names.is_empty() { "" } else { "," };
            let name = broker.name();
            let _ = write!(
                table,
                r#"{comma}"{name}":{{"brokerAddrs":{{{addresses}}},"brokerName":"{name}","cluster":"{CLUSTER}","enableActingMaster":false}}"#
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
