use std::{
    fmt,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll},
};

use ferrocket_model::ReceivedMessage;
use futures_core::Stream;
use tokio::sync::futures::OwnedNotified;

use super::PushConsumer;
use crate::{
    Outcome,
    deliver::{self, InHand},
};

/// A push consumer without a listener: each message comes with a handle that says what became of it. The stream ends when the
/// consumer does.
///
/// Nothing is handed out that was not asked for, so whoever polls sets the pace. When the stream is dropped the intake stops;
/// deliveries that were taken before can still be settled.
pub struct DeliveryStream {
    consumer: PushConsumer,
    bell: Option<Pin<Box<OwnedNotified>>>,
}

impl DeliveryStream {
    pub(super) fn new(consumer: PushConsumer) -> Self {
        consumer.core().ready.listen();
        Self { consumer, bell: None }
    }

    /// The consumer, to pause it, to look at its health, to shut it down.
    pub fn consumer(&self) -> &PushConsumer {
        &self.consumer
    }
}

impl Stream for DeliveryStream {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let core = self.consumer.core().clone();
        loop {
            if core.ending.is_cancelled() {
                return Poll::Ready(None);
            }
            if let Some((message, in_hand)) = deliver::take(&core) {
                return Poll::Ready(Some(Delivery { message, in_hand: Some(in_hand) }));
            }
            // First the bell, then another look: what comes in between rings it.
            match &mut self.bell {
                Some(bell) => {
                    if bell.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.bell = None;
                }
                None => self.bell = Some(Box::pin(core.ready.bell())),
            }
        }
    }
}

impl fmt::Debug for DeliveryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryStream").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

/// A message, to be settled. Dropped without a word, it is retried: the broker gets it back.
#[must_use = "a delivery that is dropped is retried"]
pub struct Delivery {
    message: ReceivedMessage,
    /// Taken when it is settled.
    in_hand: Option<InHand>,
}

impl Delivery {
    /// It was handled.
    pub fn ack(self) {
        self.settle(Outcome::consumed());
    }

    /// What became of it. Retries and dead letters are given to the broker in the background; until it has confirmed, the offset
    /// waits.
    pub fn settle(mut self, outcome: Outcome) {
        self.end(&outcome);
    }

    fn end(&mut self, outcome: &Outcome) {
        if let Some(in_hand) = self.in_hand.take() {
            in_hand.settle(self.message.clone(), outcome);
        }
    }
}

impl Deref for Delivery {
    type Target = ReceivedMessage;

    fn deref(&self) -> &ReceivedMessage {
        &self.message
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.end(&Outcome::retry("the delivery was dropped"));
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivery").field(&self.message).finish()
    }
}
