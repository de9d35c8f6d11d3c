use std::{
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
        Self { shared: &connection.shared, request, timeout, stage: Stage::New }
    }

    fn read(answer: Result<Command, CallError>) -> Result<R::Response, CallError> {
        let answer = answer?;
        let code = answer.response_code();
        if R::Response::CODES.contains(&code) {
            R::Response::read(answer).map_err(CallError::Malformed)
        } else {
            let remark = answer.remark().unwrap_or_default().into_owned();
            Err(CallError::Answer { code, remark })
        }
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
                    return Poll::Ready(Self::read(answer));
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
                    match this.shared.submit(this.request, deadline, cx.waker()) {
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

/// Queues a request that nobody answers, waiting for room.
pub(crate) async fn one_way<R: Request + Sync>(
    connection: &Connection,
    request: &R,
    timeout: Duration,
) -> Result<(), CallError> {
    let queued = std::future::poll_fn(|cx| match connection.shared.submit_one_way(request, cx.waker()) {
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
