use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use ferrocket_model::{
    BoxError, DeliveryTime, ErrorKind, Failure, Group, Message, MessageId, SendReceipt, Topic, TransactionState,
    properties,
};

use crate::{SendError, core::Core, job::operation};

/// Sees every message before and after it is sent, each of a batch. All methods have defaults.
///
/// Interceptors run in the order in which they were given, on the task that sends; a panic in one of them is contained.
///
/// A closure `Fn(&mut Message)` is one that only changes messages.
#[doc(alias = "SendMessageHook")]
#[doc(alias = "CheckForbiddenHook")]
#[doc(alias = "EndTransactionHook")]
pub trait ProducerInterceptor: Send + Sync + 'static {
    /// Once per message, before the first attempt and before it is checked. May add properties.
    ///
    /// # Errors
    ///
    /// An error (or a panic) refuses the send: it ends with `Rejected`, and nothing was sent.
    fn before_send(&self, message: &mut Message, context: &SendContext<'_>) -> Result<(), BoxError> {
        let _ = (message, context);
        Ok(())
    }

    /// Once per message for which [`before_send`](Self::before_send) ran. `None` when nobody knows what became of it: a one-way
    /// send, or one that was dropped. An error is that of the whole batch, where the message was in one, an automatic one included.
    fn after_send(&self, context: &SendContext<'_>, result: Option<Result<&SendReceipt, &SendError>>) {
        let _ = (context, result);
    }

    /// A transaction ends: before the broker is told, whether by [`Transaction`](crate::Transaction) or by the checker.
    fn transaction_end(&self, end: &TransactionEnd) {
        let _ = end;
    }
}

impl<F> ProducerInterceptor for F
where
    F: Fn(&mut Message) + Send + Sync + 'static,
{
    fn before_send(&self, message: &mut Message, _: &SendContext<'_>) -> Result<(), BoxError> {
        self(message);
        Ok(())
    }
}

/// What an interceptor learns of a send: in [`after_send`](ProducerInterceptor::after_send), of the message as interceptors left it. A
/// view: clone of it what is to be kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[doc(alias = "SendMessageContext")]
pub struct SendContext<'a> {
    /// The producer's group.
    pub group: &'a Group,
    /// The topic.
    pub topic: &'a Topic,
    /// The id that the message has.
    pub message_id: &'a MessageId,
    /// The size of the body.
    pub body_bytes: usize,
    /// Its size as it is sent: less where it was compressed, which is known in [`after_send`](ProducerInterceptor::after_send).
    pub sent_bytes: usize,
    /// The properties in wire form, as interceptors left them.
    properties: &'a str,
    /// When the broker is to hand it out.
    pub delivery: DeliveryTime,
    /// Whether it is a half message.
    pub is_half: bool,
    /// When the send began.
    pub started: Instant,
}

impl<'a> SendContext<'a> {
    /// The tag, as interceptors left it; `None` in [`before_send`](ProducerInterceptor::before_send), which has the message.
    pub fn tag(&self) -> Option<&'a str> {
        self.property(properties::name::TAGS)
    }

    /// The keys, blanks between them, as interceptors left them; `None` in `before_send`.
    pub fn keys(&self) -> Option<&'a str> {
        self.property(properties::name::KEYS)
    }

    /// One property, as interceptors left it; `None` in `before_send`.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::find(self.properties, name)
    }

    /// All properties, names and values, as interceptors left them; none in `before_send`.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        properties::pairs(self.properties)
    }
}

/// What an interceptor learns of the end of a transaction.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[doc(alias = "EndTransactionContext")]
pub struct TransactionEnd {
    /// The producer's group.
    pub group: Group,
    /// The topic.
    pub topic: Topic,
    /// The half message.
    pub message_id: MessageId,
    /// Its tag.
    pub tag: Option<String>,
    /// Its keys, blanks between them.
    pub keys: Option<String>,
    /// The region of the broker that has it, if it said one.
    pub region: Option<String>,
    /// The broker's id of it.
    pub broker_message_id: Option<String>,
    /// The transaction, as the broker named it.
    pub transaction_id: Option<String>,
    /// What becomes of it.
    pub state: TransactionState,
    /// Whether a broker asked.
    pub from_check: bool,
}

/// The interceptors of a producer, in order.
pub(crate) type Interceptors = Vec<Arc<dyn ProducerInterceptor>>;

/// How many interceptors have seen a message before it was sent. They are to see the end, too, whatever it is: who keeps the message
/// closes its watch, at the latest when he is dropped.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// So many of them wait for the end.
    waiting: usize,
    /// By the producer's clock.
    began: Duration,
    is_half: bool,
    compressed_bytes: Option<usize>,
}

impl Watch {
    /// Shows the message to every interceptor, until one refuses it. `began` is by the producer's clock.
    pub(crate) fn open(
        &mut self,
        core: &Core,
        message: &mut Message,
        id: &MessageId,
        is_half: bool,
        began: Duration,
    ) -> Result<(), Box<Failure>> {
        (self.began, self.is_half) = (began, is_half);
        // They may change the message meanwhile.
        let topic = message.topic().clone();
        let context = SendContext {
            group: &core.group,
            topic: &topic,
            message_id: id,
            body_bytes: message.body().len(),
            sent_bytes: message.body().len(),
            properties: "",
            delivery: message.delivery(),
            is_half,
            started: core.moment(began).into_std(),
        };
        for interceptor in &core.options.interceptors {
            self.waiting += 1;
            let seen = contain(|| interceptor.before_send(message, &context));
            let refused = match seen {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => Failure::new(ErrorKind::Rejected, operation(message))
                    .with_detail(format!("an interceptor refused it: {error}"))
                    .with_source(error),
                Err(panic) => Failure::new(ErrorKind::Rejected, operation(message))
                    .with_detail(format!("an interceptor panicked: {panic}")),
            };
            return Err(Box::new(refused));
        }
        Ok(())
    }

    /// The body was compressed.
    pub(crate) fn compressed(&mut self, bytes: usize) {
        self.compressed_bytes = Some(bytes);
    }

    /// Shows what became of the message to those who wait for it.
    pub(crate) fn close(
        &mut self,
        core: &Core,
        message: &Message,
        id: &MessageId,
        result: Option<Result<&SendReceipt, &SendError>>,
    ) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting == 0 {
            return;
        }
        let context = SendContext {
            group: &core.group,
            topic: message.topic(),
            message_id: id,
            body_bytes: message.body().len(),
            sent_bytes: self.compressed_bytes.unwrap_or(message.body().len()),
            properties: message.wire_properties(),
            delivery: message.delivery(),
            is_half: self.is_half,
            started: core.moment(self.began).into_std(),
        };
        for interceptor in core.options.interceptors.iter().take(waiting) {
            if let Err(panic) = contain(|| interceptor.after_send(&context, result)) {
                tracing::warn!(%panic, "an interceptor panicked after a send");
            }
        }
    }
}

/// Shows the end of a transaction to every interceptor.
pub(crate) fn transaction_ends(core: &Core, end: impl FnOnce() -> TransactionEnd) {
    if core.options.interceptors.is_empty() {
        return;
    }
    let end = end();
    for interceptor in &core.options.interceptors {
        if let Err(panic) = contain(|| interceptor.transaction_end(&end)) {
            tracing::warn!(%panic, "an interceptor panicked at the end of a transaction");
        }
    }
}

/// Runs code of the user; a panic becomes its text.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(&*panic))
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text").to_owned()
}
