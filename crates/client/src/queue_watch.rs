use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use ferrocket_model::MessageQueue;
use ferrocket_route::RouteWatch;
use futures_core::Stream;

/// The queues of a topic that can be written, each time they change; the first time as soon as they are known. Ends when the client
/// is shut down.
#[derive(Debug)]
pub struct QueueWatch {
    routes: RouteWatch,
    last: Option<Vec<MessageQueue>>,
}

impl QueueWatch {
    pub(crate) fn new(routes: RouteWatch) -> Self {
        Self { routes, last: None }
    }
}

impl Stream for QueueWatch {
    type Item = Vec<MessageQueue>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(route) = ready!(self.routes.poll_changed(cx)) else { return Poll::Ready(None) };
            if self.last.as_ref() != Some(&route.publish) {
                self.last = Some(route.publish.clone());
                return Poll::Ready(Some(route.publish.clone()));
            }
        }
    }
}
