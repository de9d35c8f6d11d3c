use std::{sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, ConsumerGroups, GroupView, Membership, Outcome, Subscription, side_by_side};
use ferrocket_model::{BrokerName, Filter, Group, Topic, java_string_order};
use ferrocket_protocol::{
    Request,
    body::{CheckClientData, SubscriptionData},
    request::{CheckClient, ConsumerConnection, GetConsumerConnection, GetConsumerList, Unregister},
};

use tokio::time::Instant;

use crate::{RemotingBackend, backend::unknown_broker};

impl ConsumerGroups for RemotingBackend {
    fn answer_administrators(&self) {
        // Named only here, so that a program without consumers does not carry it.
        let _ = self.shared.inspection.set(crate::inspection::handle);
    }

    fn check_filter<'a>(&'a self, group: &'a Group, subscription: &'a Subscription) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let topic = &subscription.topic;
            let operation = || format!("check the filter of topic {topic} for group {group}");
            let names = &self.shared.names;
            let request = CheckClient::new(&CheckClientData {
                client_id: self.client_id().to_owned(),
                group: names.group(group).to_string(),
                namespace: None,
                subscription_data: SubscriptionData::new(
                    names.topic(topic).as_str(),
                    &subscription.filter,
                    subscription.version,
                ),
            });
            let Some((broker, address)) = self.brokers_of(topic).next() else {
                return Err(Box::new(unknown_broker(&"any".into(), operation()).with_topic(topic)));
            };
            let answer = self.shared.call(&broker, &address, &request, self.shared.request_timeout, operation).await;
            answer.map_err(|failure| Box::new(failure.with_topic(topic)))
        })
    }

    fn group_view<'a>(&'a self, group: &'a Group, topic: &'a Topic) -> BoxFuture<'a, Outcome<GroupView>> {
        Box::pin(async move {
            let operation = || format!("look at group {group}");
            let request = GetConsumerConnection::new(&*self.shared.names.group(group));
            let found: ConsumerConnection = self.ask_any(topic, &request, operation).await?;
            let subscriptions = found.subscriptions.into_iter().map(|one| {
                let filter = match one.expression_type.as_str() {
                    "SQL92" => Filter::sql(one.expression),
                    _ => Filter::from(one.expression),
                };
                (self.shared.names.plain_topic(&one.topic), filter)
            });
            let subscriptions = subscriptions.collect();
            Ok(GroupView { subscriptions, is_broadcast: found.message_model == "BROADCASTING" })
        })
    }

    fn withdraw<'a>(&'a self, group: &'a Group, timeout: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let until = Instant::now() + timeout;
            let mut request = Unregister::new(self.client_id());
            request.consumer_group = Some(self.shared.names.group(group).into_owned());
            let request = Arc::new(request);
            let brokers = self.shared.brokers.for_heartbeat(true);
            let calls = brokers.into_iter().map(|(broker, address)| -> BoxFuture<'static, ()> {
                let (shared, request, group) = (self.shared.clone(), request.clone(), group.clone());
                Box::pin(async move {
                    let operation = || "unregister".to_owned();
                    shared.unanswered.answered(&address, timeout / 2).await;
                    // A broker without a connection of ours knows nothing of us; or another consumer has come in the meantime.
                    if shared.pool.connected(&address).is_none() || shared.members.has(&group, true) {
                        return;
                    }
                    let left = until.saturating_duration_since(Instant::now());
                    if let Err(failure) = shared.call(&broker, &address, &*request, left, operation).await {
                        tracing::debug!(%failure, "a broker notices by itself that a consumer has left");
                    }
                })
            });
            side_by_side(calls).await;
        })
    }

    fn resubscribe<'a>(&'a self, group: &'a Group, subscriptions: Vec<Subscription>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.shared.members.resubscribe(group, subscriptions);
            self.shared.beat().await;
        })
    }

    fn members<'a>(&'a self, group: &'a Group, topic: &'a Topic) -> BoxFuture<'a, Outcome<Vec<String>>> {
        Box::pin(async move {
            let operation = || format!("list the members of group {group}");
            let request = GetConsumerList::new(&*self.shared.names.group(group));
            let mut list = self.ask_any(topic, &request, operation).await?;
            list.consumer_id_list.sort_unstable_by(|one, two| java_string_order(one, two));
            Ok(list.consumer_id_list)
        })
    }
}

impl RemotingBackend {
    /// The brokers of a topic, in any order.
    fn brokers_of(&self, topic: &Topic) -> impl Iterator<Item = (BrokerName, Arc<str>)> {
        let mut brokers = self.shared.brokers.of_topic(topic);
        fastrand::shuffle(&mut brokers);
        brokers.into_iter().filter_map(|broker| {
            let address = self.shared.brokers.any(&broker)?;
            Some((broker, address))
        })
    }

    /// Asks one broker of a topic after the other until one answers.
    async fn ask_any<R: Request + Sync>(
        &self,
        topic: &Topic,
        request: &R,
        operation: impl Fn() -> String,
    ) -> Outcome<R::Response> {
        let mut last = None;
        let brokers: Vec<_> = self.brokers_of(topic).collect();
        for (broker, address) in brokers {
            let timeout = self.shared.request_timeout;
            match self.shared.call(&broker, &address, request, timeout, &operation).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => last = Some(failure),
            }
        }
        let nobody = || unknown_broker(&"any".into(), operation());
        Err(Box::new(last.unwrap_or_else(nobody).with_topic(topic)))
    }
}
