use std::time::Duration;

use ferrocket_backend::{BoxFuture, Outcome, RouteRequest, Routes};
use ferrocket_model::{ErrorKind, Failure, MessageQueue, Route, RouteBroker, Topic, system};
use ferrocket_protocol::{body::TopicRoute, request::GetRoute};

use crate::{RemotingBackend, backend::Shared};

/// The bits of a template's queues that a topic made from it needs: write, and inherit.
const TEMPLATE_PERM: i32 = 2 | 1;

impl Routes for RemotingBackend {
    fn route(&self, request: RouteRequest) -> BoxFuture<'_, Outcome<Route>> {
        Box::pin(async move { self.shared.route(&request).await })
    }
}

impl Shared {
    async fn route(&self, request: &RouteRequest) -> Outcome<Route> {
        let topic = &request.topic;
        match self.ask_route(topic, request.timeout).await {
            Ok(found) => {
                if found.has_static_queues {
                    return Err(Box::new(
                        Failure::new(ErrorKind::Unsupported, format!("find topic {topic}"))
                            .with_detail("it is a static topic (logical queues), which this version does not resolve")
                            .with_topic(topic),
                    ));
                }
                self.learn(topic, &found);
                let brokers = found.brokers.iter().map(|broker| {
                    RouteBroker::new(broker.name.as_str(), broker.cluster.as_str(), broker.master.is_some())
                });
                Ok(Route::new(found.publish_queues(topic), found.subscribe_queues(topic), brokers.collect()))
            }
            Err(failure) if failure.kind() == ErrorKind::RouteNotFound => {
                self.brokers.forget_topic(topic);
                match request.new_topic_queues {
                    Some(queues) => self.template_route(topic, queues, request.timeout).await.ok_or(failure),
                    None => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    async fn ask_route(&self, topic: &Topic, timeout: Duration) -> Outcome<TopicRoute> {
        let request = GetRoute::new(topic);
        let operation = format!("find topic {topic}");
        let answer = self.name_servers.ask(&request, &operation, timeout).await;
        answer.map_err(|failure| Box::new(failure.with_topic(topic)))
    }

    /// The queues that a topic will have which the first send creates (INS-RTE-10). `None` when brokers create none.
    async fn template_route(&self, topic: &Topic, queues: u32, timeout: Duration) -> Option<Route> {
        let template = Topic::from_static(system::TEMPLATE_TOPIC);
        let found = self.ask_route(&template, timeout).await.ok()?;
        self.learn(&template, &found);
        let with_master =
            |name: &str| found.brokers.iter().any(|broker| broker.name == name && broker.master.is_some());
        let mut data: Vec<_> = found
            .queue_data
            .iter()
            .filter(|data| data.perm & TEMPLATE_PERM == TEMPLATE_PERM && with_master(&data.broker_name))
            .collect();
        data.sort_by(|one, two| one.broker_name.cmp(&two.broker_name));
        let publish: Vec<_> = data
            .into_iter()
            .flat_map(|data| {
                (0..queues.min(data.read_queue_nums)).map(|id| MessageQueue::new(topic, data.broker_name.as_str(), id))
            })
            .collect();
        if publish.is_empty() {
            return None;
        }
        let mut route = Route::new(publish, Vec::new(), Vec::new());
        route.is_template = true;
        Some(route)
    }

    fn learn(&self, topic: &Topic, route: &TopicRoute) {
        if self.brokers.learn(topic, route, &self.pool) {
            // A broker, or an address, that nobody has told yet who is here.
            self.members.wake();
        }
    }
}
