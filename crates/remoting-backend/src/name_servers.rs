use std::{sync::Arc, time::Duration};

use ferrocket_backend::{BoxFuture, Outcome};
use ferrocket_model::{ErrorKind, Failure, Lines};
use ferrocket_protocol::Request;
use ferrocket_remoting::{CallError, Pool, PoolError};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::verdict::{Peer, failure, reason};

/// The name servers: one is in use until it fails, then the next one is. A call that fails on one goes on with the others
/// within its deadline (Java asks one only, EDGE-29).
pub(crate) struct NameServers {
    pool: Pool,
    state: Mutex<State>,
}

struct State {
    addresses: Arc<[Arc<str>]>,
    current: usize,
    last_error: Option<String>,
    /// The one that answered last.
    answered: Option<Arc<str>>,
}

impl NameServers {
    pub(crate) fn new(pool: Pool, addresses: &[String]) -> Self {
        let state = State {
            addresses: shared(addresses),
            // A random start spreads many clients over the servers.
            current: if addresses.is_empty() { 0 } else { fastrand::usize(..addresses.len()) },
            last_error: None,
            answered: None,
        };
        Self { pool, state: Mutex::new(state) }
    }

    /// Replaces the list. The server in use stays in use, if it is in the new one.
    pub(crate) fn replace(&self, addresses: &[String]) {
        let mut state = self.state.lock();
        let current = state.addresses.get(state.current).cloned();
        state.addresses = shared(addresses);
        state.current = state.addresses.iter().position(|address| Some(address) == current.as_ref()).unwrap_or(0);
    }

    /// The list.
    pub(crate) fn list(&self) -> Arc<[Arc<str>]> {
        self.state.lock().addresses.clone()
    }

    /// Whether an address is in the list.
    pub(crate) fn has(&self, address: &str) -> bool {
        self.state.lock().addresses.iter().any(|known| **known == *address)
    }

    /// The server that answered last, and what went wrong last.
    pub(crate) fn health(&self) -> (Option<String>, Option<String>) {
        let state = self.state.lock();
        (state.answered.as_deref().map(str::to_owned), state.last_error.clone())
    }

    /// Asks one server after the other until one answers. A refusal is an answer.
    pub(crate) fn ask<'a, R: Request + Sync>(
        &'a self,
        request: &'a R,
        operation: String,
        timeout: Duration,
    ) -> BoxFuture<'a, Outcome<R::Response>> {
        // Boxed: one state machine per request, whoever asks.
        Box::pin(self.ask_each(request, operation, timeout))
    }

    async fn ask_each<R: Request + Sync>(
        &self,
        request: &R,
        operation: String,
        timeout: Duration,
    ) -> Outcome<R::Response> {
        let (addresses, start) = {
            let state = self.state.lock();
            (state.addresses.clone(), state.current)
        };
        let deadline = Instant::now() + timeout;
        let mut causes = Vec::new();
        let mut last = None;
        for step in 0..addresses.len() {
            let index = (start + step) % addresses.len();
            let Some(address) = addresses.get(index) else { break };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                causes.push(format!("{address}: not asked, the time was over"));
                continue;
            }
            // One that hangs leaves time for the others.
            let others = u32::try_from(addresses.len() - step).unwrap_or(u32::MAX);
            let share = if others > 1 { (left / others).max(timeout / 4).min(left) } else { left };
            let until = Instant::now() + share;
            let mut asked = self.pool.call(address, request, until).await;
            if let Err(PoolError::Call(call)) = &asked
                && matches!(**call, CallError::Closed { .. })
            {
                // The connection ended under the question; the server may be well, and look-ups can be repeated.
                asked = self.pool.call(address, request, until).await;
            }
            match asked {
                Ok(answer) => {
                    self.answered(address, index);
                    return Ok(answer);
                }
                Err(error) => {
                    if let PoolError::Call(call) = &error
                        && matches!(
                            &**call,
                            CallError::Answer { .. } | CallError::Malformed(_) | CallError::TooLarge(_)
                        )
                    {
                        self.answered(address, index);
                        return Err(failure(&error, operation, Peer::NameServer(address)));
                    }
                    causes.push(format!("{address}: {}", describe(&error)));
                    last = Some(error);
                }
            }
        }
        let detail = match causes.len() {
            0 => "there is no name server in the list".to_owned(),
            1 => causes.concat(),
            n => format!("none of {n} name servers answered: {}", causes.join("; ")),
        };
        self.state.lock().last_error = Some(detail.clone());
        let kind =
            if matches!(last, Some(PoolError::Closed)) { ErrorKind::Closed } else { ErrorKind::NameServerUnreachable };
        Err(Box::new(
            Failure::new(kind, operation)
                .with_detail(detail)
                .with_advice("check the addresses, and that a name server listens there")
                .with_source(Lines(causes)),
        ))
    }

    fn answered(&self, address: &Arc<str>, index: usize) {
        let mut state = self.state.lock();
        if state.addresses.get(index) == Some(address) {
            state.current = index;
        }
        state.answered = Some(address.clone());
        state.last_error = None;
    }
}

fn shared(addresses: &[String]) -> Arc<[Arc<str>]> {
    addresses.iter().map(|address| Arc::from(address.as_str())).collect()
}

fn describe(error: &PoolError) -> String {
    match error {
        PoolError::Connect(error) => reason(error),
        PoolError::Call(error) => match &**error {
            CallError::Closed { cause, .. } => format!("the connection ended: {cause}"),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}
