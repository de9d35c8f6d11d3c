use std::time::Duration;

use ferrocket_model::{Route, Topic};

use crate::{BoxFuture, Outcome};

/// Asks where the queues of a topic are.
#[derive(Clone, Debug)]
pub struct RouteRequest {
    /// The topic.
    pub topic: Topic,
    /// For producers: when the topic does not exist and brokers create topics, answer with this many queues per broker.
    pub new_topic_queues: Option<u32>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Finding topics.
pub trait Routes {
    /// Looks a topic up.
    ///
    /// # Errors
    ///
    /// `RouteNotFound` when servers answered that there is no such topic; `NameServerUnreachable` when none could be asked.
    fn route(&self, request: RouteRequest) -> BoxFuture<'_, Outcome<Route>>;
}
