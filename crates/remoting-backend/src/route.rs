use std::time::Duration;

use ferrocket_backend::{BoxFuture, Outcome, RouteRequest, Routes};
use ferrocket_model::{ErrorKind, Failure, Route, RouteBroker, Topic, system};
use ferrocket_protocol::{body::TopicRoute, request::GetRoute};

use crate::{RemotingBackend, backend::Shared};

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
                refuse_static(topic, &found)?;
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
        let request = GetRoute::new(&*self.names.topic(topic));
        let operation = format!("find topic {topic}");
        let answer = self.name_servers.ask(&request, operation, timeout).await;
        answer.map_err(|failure| Box::new(failure.with_topic(topic)))
    }

    /// The queues that a topic will have which the first send creates (INS-RTE-10). `None` when brokers create none.
    async fn template_route(&self, topic: &Topic, queues: u32, timeout: Duration) -> Option<Route> {
        let template = Topic::from_static(system::TEMPLATE_TOPIC);
        let found = self.ask_route(&template, timeout).await.ok()?;
        self.learn(&template, &found);
        let publish = found.template_queues(topic, queues);
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

/// Logical queues stand for others, of other brokers: without their table a message would be sent to, or read from, a wrong one.
fn refuse_static(topic: &Topic, found: &TopicRoute) -> Outcome<()> {
    if !found.has_static_queues {
        return Ok(());
    }
    let failure = Failure::new(ErrorKind::Unsupported, format!("find topic {topic}"))
        .with_detail("it is a static topic (logical queues), which this version does not resolve")
        .with_topic(topic);
    Err(Box::new(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_topic_is_refused_with_its_name_and_any_other_is_not() {
        let (topic, mut route) = (Topic::from("Orders"), TopicRoute::default());
        assert!(refuse_static(&topic, &route).is_ok());
        route.has_static_queues = true;
        let failure = refuse_static(&topic, &route).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Unsupported);
        assert!(failure.to_string().starts_with("cannot find topic Orders: it is a static topic"), "{failure}");
    }
}
