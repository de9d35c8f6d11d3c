use std::sync::{Arc, Weak};

use ferrocket_backend::{
    BoxFuture, CheckAnswer, EndTransactionRequest, Outcome, ServerEvent, TransactionCheck, Transactions,
};
use ferrocket_model::{BrokerName, Failure, Group, OffsetId, TransactionState, properties::name};
use ferrocket_protocol::{
    DecodeError,
    request::{CheckTransaction, EndTransaction, TransactionEnding},
};
use tokio::time::Instant;

use crate::{
    RemotingBackend,
    backend::{Shared, unknown_broker},
    verdict::{Peer, failure},
};

impl Transactions for RemotingBackend {
    fn end_transaction<'a>(&'a self, request: EndTransactionRequest<'a>) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let broker = request.queue.broker();
            let operation = || format!("{} transaction {}", verb(request.state), request.message_id);
            // The commit log offset is the end of the broker's id (§3.9).
            let place = request.broker_message_id.and_then(OffsetId::parse).map(|id| id.commit_log_offset);
            let Some(commit_log_offset) = place else {
                return Err(Box::new(
                    Failure::invalid_argument(
                        operation(),
                        "the broker's id of the half message says no place in its log",
                    )
                    .with_broker(broker),
                ));
            };
            let Some(address) = self.shared.brokers.master(broker) else {
                return Err(unknown_broker(broker, operation()));
            };
            let mut end = EndTransaction::new(
                commit_log_offset,
                ending(request.state).code(),
                false,
                request.message_id.as_str(),
                &*self.shared.names.group(request.group),
                i64::try_from(request.offset).unwrap_or(i64::MAX),
            );
            end.broker = Some(broker.to_string());
            end.topic = Some(request.queue.topic().clone());
            end.transaction_id = request.transaction_id.map(str::to_owned);
            let deadline = Instant::now() + request.timeout;
            let ended = self.shared.end(&end, broker, &address, deadline, operation).await;
            ended.map_err(|failure| Box::new(failure.with_topic(request.queue.topic())))
        })
    }
}

impl Shared {
    /// Brokers answer a commit and a rollback, and nothing to "unknown" (§3.9).
    async fn end(
        &self,
        end: &EndTransaction,
        broker: &BrokerName,
        address: &str,
        deadline: Instant,
        operation: impl Fn() -> String,
    ) -> Outcome<()> {
        let ended = if end.ending == TransactionEnding::Unknown.code() {
            self.pool.send_one_way(address, end, deadline).await
        } else {
            self.pool.call(address, end, deadline).await
        };
        ended.map_err(|error| failure(&error, operation(), Peer::Broker(broker, address)))
    }

    /// A broker asks what became of a half message: hands the question to a producer of its group. Without one, the broker asks
    /// somebody else later.
    pub(crate) fn check_transaction(
        self: &Arc<Self>,
        check: CheckTransaction,
        address: &Arc<str>,
    ) -> Result<(), DecodeError> {
        let named = check.header.broker.as_deref().map(BrokerName::from).or_else(|| self.brokers.name_of(address));
        let broker = named.unwrap_or_else(|| BrokerName::from(&**address));
        let half = self.decoder.lone(&check.body, &broker)?;
        let wire_group = half.property(name::PGROUP).map(Group::from).ok_or(DecodeError::MissingField(name::PGROUP))?;
        let group = self.names.plain_group(wire_group.as_str());
        let id = half
            .property(name::UNIQ_KEY)
            .map_or_else(|| check.header.broker_message_id.clone().unwrap_or_default(), str::to_owned);
        let header = check.header;
        // What is echoed is what was asked; the ending is filled in when it is known.
        let mut end = EndTransaction::new(header.commit_log_offset, 0, true, id, &wire_group, header.table_offset);
        end.broker = header.broker;
        end.topic = header.topic;
        end.transaction_id = header.transaction_id;
        let answer = self.check_answer(end, broker, address.clone());
        let event = ServerEvent::CheckTransaction(Box::new(TransactionCheck { half, answer }));
        if !self.members.ask_producer(&group, event) {
            tracing::debug!(%group, "a broker asks about a transaction, and no producer here can answer now");
        }
        Ok(())
    }

    fn check_answer(self: &Arc<Self>, mut end: EndTransaction, broker: BrokerName, address: Arc<str>) -> CheckAnswer {
        let shared: Weak<Self> = Arc::downgrade(self);
        Box::new(move |state| {
            Box::pin(async move {
                end.ending = ending(state).code();
                let operation = || format!("answer that transaction {} is to {}", end.message_id, verb(state));
                let Some(shared) = shared.upgrade() else {
                    let closed = Failure::new(ferrocket_model::ErrorKind::Closed, operation());
                    return Err(Box::new(closed.with_detail("the client was shut down")));
                };
                let deadline = Instant::now() + shared.request_timeout;
                shared.end(&end, &broker, &address, deadline, operation).await
            })
        })
    }
}

fn ending(state: TransactionState) -> TransactionEnding {
    match state {
        TransactionState::Commit => TransactionEnding::Commit,
        TransactionState::Rollback => TransactionEnding::Rollback,
        TransactionState::Unknown => TransactionEnding::Unknown,
    }
}

fn verb(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Commit => "commit",
        TransactionState::Rollback => "roll back",
        TransactionState::Unknown => "leave open",
    }
}
