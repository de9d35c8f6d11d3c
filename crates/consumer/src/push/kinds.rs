use std::time::Duration;

use ferrocket_backend::BoxFuture;
use ferrocket_model::SetupError;

use super::{DeliveryStream, PushConsumer, PushConsumerBuilder, start};

/// State of the builder: no listener was chosen, so there is no `build`.
#[derive(Debug)]
pub enum NoListener {}

/// State of the builder: messages are handled side by side.
#[derive(Debug)]
pub enum Concurrent {}

/// State of the builder: messages of one queue are handled one after the other.
#[derive(Debug)]
pub enum Orderly {}

/// State of the builder: messages are taken from a stream.
#[derive(Debug)]
pub enum Streaming {}

impl PushConsumerBuilder<Concurrent> {
    /// How long a handler may take; then it is dropped, and its message is retried. Default: 15 min.
    #[doc(alias = "consumeTimeout")]
    pub fn handler_timeout(self, limit: Duration) -> Self {
        self.set(|settings| settings.options.handler_timeout = limit)
    }

    /// How far the last buffered message of a queue may be from the first unsettled one; then its pulls stop. Default: 2,000.
    #[doc(alias = "consumeConcurrentlyMaxSpan")]
    pub fn max_offset_span(self, offsets: u64) -> Self {
        self.set(|settings| settings.options.max_offset_span = offsets)
    }

    /// Checks every option, joins the group, and starts. Topics that do not exist yet are waited for.
    ///
    /// # Errors
    ///
    /// The option that cannot work, with its value and what to do; `Conflict` when this client has a consumer in the group.
    ///
    /// # Cancel safety
    ///
    /// Nothing stays when it is dropped.
    pub fn build(self) -> BoxFuture<'static, Result<PushConsumer, SetupError>> {
        Box::pin(async move { Ok(PushConsumer::new(start::core(self.settings).await?)) })
    }
}

impl PushConsumerBuilder<Orderly> {
    /// How long a queue rests after a message failed, 10 ms to 30 s. Default: 1 s.
    #[doc(alias = "suspendCurrentQueueTimeMillis")]
    pub fn suspend(self, pause: Duration) -> Self {
        self.set(|settings| settings.options.suspend = pause)
    }

    /// Checks every option, joins the group, and starts. Topics that do not exist yet are waited for.
    ///
    /// # Errors
    ///
    /// The option that cannot work, with its value and what to do; `Conflict` when this client has a consumer in the group.
    ///
    /// # Cancel safety
    ///
    /// Nothing stays when it is dropped.
    pub fn build(self) -> BoxFuture<'static, Result<PushConsumer, SetupError>> {
        Box::pin(async move { Ok(PushConsumer::new(start::core(self.settings).await?)) })
    }
}

impl PushConsumerBuilder<Streaming> {
    /// How far the last buffered message of a queue may be from the first unsettled one; then its pulls stop. Default: 2,000.
    #[doc(alias = "consumeConcurrentlyMaxSpan")]
    pub fn max_offset_span(self, offsets: u64) -> Self {
        self.set(|settings| settings.options.max_offset_span = offsets)
    }

    /// Checks every option, joins the group, and starts. Topics that do not exist yet are waited for.
    ///
    /// # Errors
    ///
    /// The option that cannot work, with its value and what to do; `Conflict` when this client has a consumer in the group.
    ///
    /// # Cancel safety
    ///
    /// Nothing stays when it is dropped.
    pub fn build(self) -> BoxFuture<'static, Result<DeliveryStream, SetupError>> {
        Box::pin(async move { Ok(DeliveryStream::new(PushConsumer::new(start::core(self.settings).await?))) })
    }
}
