use std::{sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, ShuttingDown};
use ferrocket_model::{
    Failure, Group, Message, MessageQueue, SendReceipt, SendStatus, SetupError, Topic, TransactionState,
};
use ferrocket_route::Stack;

use crate::{
    AutoBatch, Compression, FaultTolerance, IntoTransactionState, Producer, ProducerBuilder, ProducerInterceptor,
    SendError, Sending, Transaction, TransactionChecker,
    checks::Checks,
    sending::Start,
    transaction::{self, DynChecker},
};

/// A producer that can send half messages: kept aside by the broker until they are committed or rolled back. Cheap to clone.
///
/// ```text
/// begin ─► half message on the broker ─► your own work ─► commit or rollback
///                                                  └─► (gone, or unknown) ─► the broker asks a checker of the group
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "TransactionMQProducer")]
pub struct TransactionProducer {
    producer: Producer,
}

impl TransactionProducer {
    /// For those who build their own stack. Users say `client.transaction_producer(group, checker)`.
    pub fn builder(
        stack: Stack,
        group: impl Into<Group>,
        checker: impl TransactionChecker,
    ) -> TransactionProducerBuilder {
        TransactionProducerBuilder {
            producer: Producer::builder(stack, group),
            checker: Arc::new(checker),
            check_concurrency: 64,
        }
    }

    /// Sends a half message. Your own work comes next, then [`Transaction::commit`] or [`Transaction::rollback`].
    ///
    /// # Errors
    ///
    /// As [`Producer::send`]. A message with a delay is refused: brokers would lose it.
    ///
    /// # Cancel safety
    ///
    /// As [`Producer::send`]; a half message that was stored is left to the checker.
    #[doc(alias = "sendMessageInTransaction")]
    pub fn begin(&self, message: Message) -> Sending<Transaction> {
        Sending::new(self.producer.core().clone(), Start::One(message, transaction::begin))
    }

    /// Half message, then your local transaction, then its end, in one call. An error of the closure means `Unknown`. A half
    /// message that is not as safe as wanted ([`SendStatus::Ok`]) is rolled back without your closure (PRO-TRX-03).
    ///
    /// When the broker does not confirm the end, that is logged, and the checker decides.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    ///
    /// # Cancel safety
    ///
    /// Dropped after the half message was sent, it leaves the decision to the checker.
    #[doc(alias = "sendMessageInTransaction")]
    #[doc(alias = "executeLocalTransaction")]
    pub async fn send_in_transaction<F, R>(
        &self,
        message: Message,
        local: F,
    ) -> Result<(SendReceipt, TransactionState), SendError>
    where
        F: AsyncFnOnce(&Transaction) -> R,
        R: IntoTransactionState,
    {
        let transaction = self.begin(message).await?;
        let receipt = transaction.receipt().clone();
        let state = if receipt.status() == SendStatus::Ok {
            local(&transaction).await.into_transaction_state().unwrap_or_else(|error| {
                tracing::warn!(message = %receipt.message_id(), %error, "the local transaction failed; the checker decides");
                TransactionState::Unknown
            })
        } else {
            TransactionState::Rollback
        };
        if let Err(error) = transaction.end(state).await {
            tracing::warn!(message = %receipt.message_id(), %error, "a transaction may not have ended so");
        }
        Ok((receipt, state))
    }

    /// The plain producer of the same group.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// As [`Producer::shutdown`]. Questions of brokers are answered until everything in flight is done.
    ///
    /// # Errors
    ///
    /// What was left undone.
    pub fn shutdown(&self) -> ShuttingDown {
        self.producer.shutdown()
    }
}

/// Options of a transaction producer: those of a [`ProducerBuilder`], and how many questions are answered at once. Nothing runs
/// before [`build`](Self::build).
#[must_use = "a builder does nothing until `build().await`"]
pub struct TransactionProducerBuilder {
    producer: ProducerBuilder,
    checker: Arc<dyn DynChecker>,
    check_concurrency: usize,
}

impl TransactionProducerBuilder {
    /// How many questions of brokers the checker answers at once. Default: 64. More wait, and what finds no room is asked again by
    /// the broker.
    #[doc(alias = "checkThreadPoolMaxSize")]
    pub fn check_concurrency(mut self, checks: usize) -> Self {
        self.check_concurrency = checks;
        self
    }

    /// As [`ProducerBuilder::topics`].
    pub fn topics<T: Into<Topic>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.producer = self.producer.topics(topics);
        self
    }

    /// As [`ProducerBuilder::send_timeout`].
    pub fn send_timeout(mut self, total: Duration) -> Self {
        self.producer = self.producer.send_timeout(total);
        self
    }

    /// As [`ProducerBuilder::attempt_timeout`].
    pub fn attempt_timeout(mut self, each: Duration) -> Self {
        self.producer = self.producer.attempt_timeout(each);
        self
    }

    /// As [`ProducerBuilder::max_attempts`].
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.producer = self.producer.max_attempts(attempts);
        self
    }

    /// As [`ProducerBuilder::retry_unknown`].
    pub fn retry_unknown(mut self, retry: bool) -> Self {
        self.producer = self.producer.retry_unknown(retry);
        self
    }

    /// As [`ProducerBuilder::retry_not_ok`].
    pub fn retry_not_ok(mut self, retry: bool) -> Self {
        self.producer = self.producer.retry_not_ok(retry);
        self
    }

    /// As [`ProducerBuilder::retry_codes`].
    pub fn retry_codes(mut self, codes: impl IntoIterator<Item = i32>) -> Self {
        self.producer = self.producer.retry_codes(codes);
        self
    }

    /// As [`ProducerBuilder::max_message_bytes`].
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.producer = self.producer.max_message_bytes(bytes);
        self
    }

    /// As [`ProducerBuilder::compression`].
    pub fn compression(mut self, compression: Compression) -> Self {
        self.producer = self.producer.compression(compression);
        self
    }

    /// As [`ProducerBuilder::max_in_flight`].
    pub fn max_in_flight(mut self, sends: usize) -> Self {
        self.producer = self.producer.max_in_flight(sends);
        self
    }

    /// As [`ProducerBuilder::max_in_flight_bytes`].
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.producer = self.producer.max_in_flight_bytes(bytes);
        self
    }

    /// As [`ProducerBuilder::auto_batch`]; for the messages of [`TransactionProducer::producer`], as half messages go alone.
    pub fn auto_batch(mut self, options: AutoBatch) -> Self {
        self.producer = self.producer.auto_batch(options);
        self
    }

    /// As [`ProducerBuilder::fault_tolerance`].
    pub fn fault_tolerance(mut self, tolerance: FaultTolerance) -> Self {
        self.producer = self.producer.fault_tolerance(tolerance);
        self
    }

    /// As [`ProducerBuilder::new_topic_queues`].
    pub fn new_topic_queues(mut self, queues: u32) -> Self {
        self.producer = self.producer.new_topic_queues(queues);
        self
    }

    /// As [`ProducerBuilder::interceptor`].
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor) -> Self {
        self.producer = self.producer.interceptor(interceptor);
        self
    }

    /// As [`ProducerBuilder::shutdown_timeout`].
    pub fn shutdown_timeout(mut self, deadline: Duration) -> Self {
        self.producer = self.producer.shutdown_timeout(deadline);
        self
    }

    /// As [`ProducerBuilder::select_queue`].
    pub fn select_queue<F, R>(mut self, select: F) -> Self
    where
        F: Fn(&[MessageQueue], &Message) -> R + Send + Sync + 'static,
        R: Into<Option<usize>>,
    {
        self.producer = self.producer.select_queue(select);
        self
    }

    /// As [`ProducerBuilder::build`]. From then on the checker answers what brokers ask the group.
    ///
    /// # Errors
    ///
    /// The option that cannot work, with its value and what to do.
    ///
    /// # Cancel safety
    ///
    /// Nothing stays when it is dropped.
    pub fn build(self) -> BoxFuture<'static, Result<TransactionProducer, SetupError>> {
        Box::pin(async move {
            let Self { producer, checker, check_concurrency } = self;
            let concurrency = match u32::try_from(check_concurrency) {
                Ok(0) | Err(_) => {
                    let problem = format!("{check_concurrency} cannot work; 1 answers one question at a time");
                    let operation = "build a transaction producer";
                    return Err(Failure::invalid_argument(operation, problem).with_option("check_concurrency").into());
                }
                Ok(concurrency) => concurrency,
            };
            let (producer, events) = producer.join().await?;
            Checks::answer(producer.core(), events, checker, concurrency);
            Ok(TransactionProducer { producer })
        })
    }
}

impl std::fmt::Debug for TransactionProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionProducerBuilder").field("producer", &self.producer).finish_non_exhaustive()
    }
}
