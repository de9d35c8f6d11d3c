use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use ferrocket_protocol::{Command, EncodeError, Encoded, Request, RequestHead, Response, encode_request};
use tokio::time::{Instant, Sleep};

use crate::{
    CallError, Connection,
    connection::{Shared, Submitted},
    pending::Key,
};

/// A request under way. Made by [`Connection::call`].
#[must_use = "nothing is sent unless this is awaited"]
pub struct Call<'a, R> {
    exchange: Exchange<'a>,
    request: PhantomData<&'a R>,
}

/// A request without its type: what sends it and waits is compiled once, and not once per type.
pub(crate) trait Encode {
    fn encode(
        &self,
        head: &RequestHead,
        extra: &[(&'static str, &str)],
        out: &mut BytesMut,
    ) -> Result<Encoded, EncodeError>;
}

impl<R: Request> Encode for R {
    fn encode(
        &self,
        head: &RequestHead,
        extra: &[(&'static str, &str)],
        out: &mut BytesMut,
    ) -> Result<Encoded, EncodeError> {
        encode_request(self, head, extra, out)
    }
}

/// A [`Call`] whose answer is not looked at.
pub(crate) struct Exchange<'a> {
    shared: &'a Shared,
    request: &'a (dyn Encode + Sync),
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

impl<'a, R: Request + Sync> Call<'a, R> {
    pub(crate) fn new(connection: &'a Connection, request: &'a R, timeout: Duration) -> Self {
        Self { exchange: Exchange::new(connection, request, timeout), request: PhantomData }
    }
}

impl<R: Request> Future for Call<'_, R> {
    type Output = Result<R::Response, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.exchange).poll(cx).map(|answer| read(answer?))
    }
}

impl<R> Unpin for Call<'_, R> {}

/// An answer of the type that the request wants, or the error that it is instead.
pub(crate) fn read<T: Response>(answer: Command) -> Result<T, CallError> {
    if T::CODES.contains(&answer.response_code()) {
        T::read(answer).map_err(CallError::Malformed)
    } else {
        Err(refusal(&answer))
    }
}

fn refusal(answer: &Command) -> CallError {
    CallError::Answer { code: answer.response_code(), remark: answer.remark().unwrap_or_default().into_owned() }
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(connection: &'a Connection, request: &'a (dyn Encode + Sync), timeout: Duration) -> Self {
        Self { shared: connection.shared(), request, timeout, stage: Stage::New }
    }
}

impl Future for Exchange<'_> {
    type Output = Result<Command, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Queued(key) => {
                    let Some(answer) = this.shared.poll_answer(*key, this.timeout, cx.waker()) else {
                        return Poll::Pending;
                    };
                    this.stage = Stage::Done;
                    return Poll::Ready(answer);
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

impl Drop for Exchange<'_> {
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

    /// Who answers.
    pub fn address(&self) -> &str {
        self.connection.address()
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
        Poll::Ready(answer.and_then(read))
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
