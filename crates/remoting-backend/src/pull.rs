use std::time::Duration;

use ferrocket_backend::{BoxFuture, Outcome, PullOutcome, PullRequest, Pulled, Pulls, Records};
use ferrocket_model::{ErrorKind, Failure, FilterKind};
use ferrocket_protocol::{
    ResponseCode,
    request::{Pull, PullAnswer, PullFlags, PullHeader},
};

use crate::{RemotingBackend, backend::unknown_broker, records::PulledRecords};

/// Brokers look at suspended pulls every 5 s only, so the answer may come that much later than asked for (§12.4).
const SUSPEND_SLACK: Duration = Duration::from_secs(10);

impl Pulls for RemotingBackend {
    fn pull<'a>(&'a self, request: PullRequest<'a>) -> BoxFuture<'a, Outcome<Pulled>> {
        Box::pin(async move {
            let queue = &request.source.queue;
            let operation = || format!("pull from {queue} for group {}", request.group);
            let Some(address) = self.shared.brokers.to_pull(queue) else {
                return Err(unknown_broker(queue.broker(), operation()));
            };
            // Slaves keep progress only until they copy the master's.
            let is_master = self.shared.brokers.master(queue.broker()).is_some_and(|master| master == address);
            let commit = request.commit.filter(|_| is_master);
            let timeout = request.wait + SUSPEND_SLACK + request.patience;
            let header = self.pull_header(&request, commit);
            match self.shared.call_patiently(queue.broker(), &address, &header, timeout, operation).await {
                Ok(answer) => {
                    let mut pulled = self.pulled(&request, answer)?;
                    pulled.committed = commit;
                    Ok(pulled)
                }
                Err(failure) => Err(Box::new(failure.with_topic(queue.topic()))),
            }
        })
    }
}

impl RemotingBackend {
    fn pulled(&self, request: &PullRequest<'_>, answer: PullAnswer) -> Outcome<Pulled> {
        let queue = &request.source.queue;
        self.shared.brokers.suggest(queue, answer.suggested_broker);
        let outcome = match answer.code {
            ResponseCode::SUCCESS => PullOutcome::Found,
            ResponseCode::PULL_RETRY_IMMEDIATELY => PullOutcome::Filtered,
            ResponseCode::PULL_OFFSET_MOVED => PullOutcome::Moved,
            _ => PullOutcome::Nothing,
        };
        let mut pulled = Pulled::empty(outcome, answer.next_offset, answer.min_offset, answer.max_offset);
        if outcome == PullOutcome::Found {
            let filter = &request.subscription.filter;
            let decoder = &self.shared.decoder;
            let (records, broken) =
                PulledRecords::read(decoder, &answer.messages, request.source, answer.offset_delta, filter);
            if let Some(error) = broken {
                // What came before it is handed out; the next pull begins at the record itself, and fails with the reason.
                let Some(last) = records.last() else {
                    return Err(Box::new(
                        Failure::new(ErrorKind::Undecodable, format!("pull from {queue} for group {}", request.group))
                            .with_detail(format!("the record at offset {} cannot be read: {error}", request.offset))
                            .with_topic(queue.topic())
                            .with_broker(queue.broker())
                            .with_source(error),
                    ));
                };
                pulled.next_offset = last + 1;
            }
            if records.is_empty() {
                pulled.outcome = PullOutcome::Filtered;
            }
            pulled.records = Box::new(records);
        }
        Ok(pulled)
    }

    fn pull_header(&self, request: &PullRequest<'_>, commit: Option<u64>) -> Pull {
        let names = &self.shared.names;
        let queue = &request.source.queue;
        let suspend_ms = u64::try_from(request.wait.as_millis()).unwrap_or(u64::MAX);
        let mut sys_flag = 0;
        if !request.wait.is_zero() {
            sys_flag |= PullFlags::SUSPEND;
        }
        if commit.is_some() {
            sys_flag |= PullFlags::COMMIT_OFFSET;
        }
        let mut header = PullHeader::new(
            commit.unwrap_or(0),
            &*names.group(request.group),
            request.max_messages,
            queue.id(),
            request.offset,
            request.subscription.version,
            suspend_ms,
            sys_flag,
            &*names.topic(queue.topic()),
        );
        header.broker = Some(queue.broker().to_string());
        let sql = request.subscription.filter.kind() == FilterKind::Sql;
        header.expression_type = Some(if sql { "SQL92" } else { "TAG" }.to_owned());
        Pull(header)
    }
}
