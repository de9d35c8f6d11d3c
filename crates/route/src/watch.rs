use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ferrocket_backend::BoxFuture;
use ferrocket_model::Route;
use tokio::sync::watch;

/// The pictures of one topic's route.
type Snapshots = watch::Receiver<Option<Arc<Route>>>;

/// The route of a topic, each time it changes.
pub struct RouteWatch {
    receiver: Snapshots,
    /// The wait for the next picture, on a receiver of its own, so that a stream can keep it from poll to poll.
    next: Option<BoxFuture<'static, Option<Snapshots>>>,
}

impl RouteWatch {
    pub(crate) fn new(mut receiver: Snapshots) -> Self {
        receiver.mark_changed();
        Self { receiver, next: None }
    }

    /// The next route. `None` when the table was closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub async fn changed(&mut self) -> Option<Arc<Route>> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    /// As [`changed`](Self::changed), for streams.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Route>>> {
        loop {
            let mut receiver = self.receiver.clone();
            let next = self
                .next
                .get_or_insert_with(|| Box::pin(async move { receiver.changed().await.ok().map(|()| receiver) }));
            let Poll::Ready(changed) = Pin::new(next).poll(cx) else { return Poll::Pending };
            self.next = None;
            let Some(receiver) = changed else { return Poll::Ready(None) };
            self.receiver = receiver;
            if let Some(route) = self.receiver.borrow_and_update().clone() {
                return Poll::Ready(Some(route));
            }
        }
    }
}

impl std::fmt::Debug for RouteWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteWatch").finish_non_exhaustive()
    }
}

/// The route of a topic, as it is known at the moment of asking.
#[derive(Debug)]
pub struct RouteView {
    receiver: Snapshots,
}

impl RouteView {
    pub(crate) fn new(receiver: Snapshots) -> Self {
        Self { receiver }
    }

    /// The route now. `None` as long as no look-up has found one.
    pub fn current(&self) -> Option<Arc<Route>> {
        self.receiver.borrow().clone()
    }
}
