use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use tokio_util::sync::CancellationToken;

/// Runs a future until the token is cancelled; `None` then. The future stays where it is:
/// [`CancellationToken::run_until_cancelled`] moves it, and so has room for it twice.
pub(crate) async fn until_cancelled<F: Future>(
    token: &CancellationToken,
    mut running: Pin<&mut F>,
) -> Option<F::Output> {
    let mut cancelled = pin!(token.cancelled());
    poll_fn(|cx| match cancelled.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => running.as_mut().poll(cx).map(Some),
    })
    .await
}
