use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ferrocket_protocol::{Command, Request, Response};
use tokio::time::{Instant, Sleep};

use crate::{
    CallError, Connection,
    connection::{Shared, Submitted},
    pending::Key,
};

/// A request under way. Made by [`Connection::call`].
#[must_use = "nothing is sent unless this is awaited"]
pub struct Call<'a, R> {
    shared: &'a Shared,
    request: &'a R,
    timeout: Duration,
    stage: Stage,
}

enum Stage {
    New,
    /// No room yet. The timer is needed only here: once queued, the connection keeps the deadline.
    Waiting {
        deadline: Instant,
        timer: Pin<Box<Sleep>>,
    },
    Queued(Key),
    Done,
}

impl<'a, R: Request> Call<'a, R> {
    pub(crate) fn new(connection: &'a Connection, request: &'a R, timeout: Duration) -> Self {
        Self { shared: connection.shared(), request, timeout, stage: Stage::New }
    }
}

/// An answer of the type that the request wants, or the error that came instead.
fn read<T: Response>(answer: Result<Command, CallError>) -> Result<T, CallError> {
    let answer = answer?;
    let code = answer.response_code();
    if T::CODES.contains(&code) {
        T::read(answer).map_err(CallError::Malformed)
    } else {
        let remark = answer.remark().unwrap_or_default().into_owned();
        Err(CallError::Answer { code, remark })
    }
}

impl<R: Request> Future for Call<'_, R> {
    type Output = Result<R::Response, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Queued(key) => {
                    let Some(answer) = this.shared.poll_answer(*key, this.timeout, cx.waker()) else {
                        return Poll::Pending;
                    };
                    this.stage = Stage::Done;
                    return Poll::Ready(read(answer));
                }
                Stage::New | Stage::Waiting { .. } => {
                    let deadline = match &mut this.stage {
                        Stage::Waiting { deadline, timer } => {
                            if timer.as_mut().poll(cx).is_ready() {
                                this.stage = Stage::Done;
                                return Poll::Ready(Err(CallError::Timeout { after: this.timeout, queued: false }));
                            }
                            *deadline
                        }
                        _ => Instant::now() + this.timeout,
                    };
                    match this.shared.submit(this.request, deadline, Some(cx.waker())) {
                        Submitted::Queued(key) => this.stage = Stage::Queued(key),
                        Submitted::Failed(error) => {
                            this.stage = Stage::Done;
                            return Poll::Ready(Err(error));
                        }
                        Submitted::Full => {
                            if matches!(this.stage, Stage::New) {
                                let mut timer = Box::pin(tokio::time::sleep_until(deadline));
                                let _ = timer.as_mut().poll(cx);
                                this.stage = Stage::Waiting { deadline, timer };
                            }
                            return Poll::Pending;
                        }
                    }
                }
                // Polled again after it was ready: it stays pending, as fused futures do.
                Stage::Done => return Poll::Pending,
            }
        }
    }
}

impl<R> Unpin for Call<'_, R> {}

impl<R> Drop for Call<'_, R> {
    fn drop(&mut self) {
        if let Stage::Queued(key) = self.stage {
            self.shared.forget(key);
        }
    }
}

/// The answer to a request that is in the connection's buffer already. Made by [`Endpoint::begin`](crate::Endpoint::begin).
///
/// # Errors
///
/// See [`CallError`].
///
/// # Cancel safety
///
/// Dropping it forgets the answer and frees its place at once; the request may have been written.
#[must_use = "nobody learns of the answer unless this is awaited"]
pub struct Answer<T> {
    connection: Connection,
    key: Option<Key>,
    after: Duration,
    response: PhantomData<fn() -> T>,
}

impl<T: Response> Answer<T> {
    /// Queues a request now. `None` when there is no room, or the connection cannot take it.
    pub(crate) fn begin<R>(connection: Connection, request: &R, deadline: Instant, after: Duration) -> Option<Self>
    where
        R: Request<Response = T>,
    {
        match connection.shared().submit(request, deadline, None) {
            Submitted::Queued(key) => Some(Self { connection, key: Some(key), after, response: PhantomData }),
            Submitted::Full | Submitted::Failed(_) => None,
        }
    }
}

impl<T: Response> Future for Answer<T> {
    type Output = Result<T, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Polled again after it was ready: it stays pending, as fused futures do.
        let Some(key) = this.key else { return Poll::Pending };
        let Some(answer) = this.connection.shared().poll_answer(key, this.after, cx.waker()) else {
            return Poll::Pending;
        };
        this.key = None;
        Poll::Ready(read(answer))
    }
}

impl<T> Unpin for Answer<T> {}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.connection.shared().forget(key);
        }
    }
}

/// Queues a request that nobody answers, waiting for room.
pub(crate) async fn one_way<R: Request + Sync>(
    connection: &Connection,
    request: &R,
    timeout: Duration,
) -> Result<(), CallError> {
    let queued = std::future::poll_fn(|cx| match connection.shared().submit_one_way(request, Some(cx.waker())) {
        Ok(true) => Poll::Ready(Ok(())),
        Ok(false) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    });
    let mut queued = std::pin::pin!(queued);
    // The usual case needs no timer.
    if let Poll::Ready(done) = std::future::poll_fn(|cx| Poll::Ready(queued.as_mut().poll(cx))).await {
        return done;
    }
    tokio::time::timeout(timeout, queued).await.unwrap_or(Err(CallError::Timeout { after: timeout, queued: false }))
}
