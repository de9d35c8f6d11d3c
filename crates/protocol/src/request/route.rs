use ferrocket_model::Topic;

use crate::body::TopicRoute;

super::request! {
    /// Where the queues of a topic are. To a name server; an unknown topic is refused with `TOPIC_NOT_EXIST`.
    #[doc(alias = "GET_ROUTEINFO_BY_TOPIC")]
    pub struct GetRoute(GET_ROUTEINFO_BY_TOPIC) -> TopicRoute {
        /// Asks for standard JSON; name servers give it to our version anyway.
        opt standard_json: bool = "acceptStandardJsonOnly",
        /// The topic.
        req topic: Topic = "topic",
    }
}
