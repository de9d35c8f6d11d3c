use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ferrocket_backend::BoxFuture;

/// How a handler ended.
pub(crate) enum Handled<T> {
    Returned(T),
    Panicked(String),
    TimedOut,
}

/// Runs a handler: a panic is contained, and it is dropped when it takes longer than `limit`. The timer is made only when the
/// handler does not return at once.
pub(crate) async fn run<T>(mut handler: BoxFuture<'static, T>, limit: Duration) -> Handled<T> {
    let first = std::future::poll_fn(|cx| Poll::Ready(poll_contained(&mut handler, cx))).await;
    if let Poll::Ready(handled) = first {
        return handled;
    }
    let rest = std::future::poll_fn(|cx| poll_contained(&mut handler, cx));
    tokio::time::timeout(limit, rest).await.unwrap_or(Handled::TimedOut)
}

/// Starts a handler: the closure itself may panic before there is a future.
pub(crate) fn start<T>(make: impl FnOnce() -> BoxFuture<'static, T>) -> Result<BoxFuture<'static, T>, String> {
    std::panic::catch_unwind(AssertUnwindSafe(make)).map_err(|panic| text(&*panic))
}

fn poll_contained<T>(handler: &mut BoxFuture<'static, T>, cx: &mut Context<'_>) -> Poll<Handled<T>> {
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::as_mut(handler).poll(cx)));
    match polled {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Handled::Returned(value)),
        Err(panic) => Poll::Ready(Handled::Panicked(text(&*panic))),
    }
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".to_owned())
}
