use std::sync::Arc;

use bytes::Bytes;
use ferrocket_protocol::{Command, EncodeError, ResponseCode, WriteFields};
use tokio::sync::mpsc;

use crate::{connection::Shared, stats::Stats};

/// A request that a server started over a connection of ours.
#[derive(Debug)]
pub struct Inbound {
    /// The request.
    pub command: Command,
    /// The server's address, as it was dialed.
    pub address: Arc<str>,
    shared: Arc<Shared>,
}

impl Inbound {
    /// Answers over the connection that the request came on. Does nothing for one-way requests, or when the connection has
    /// ended meanwhile.
    ///
    /// # Errors
    ///
    /// When the answer is too large to be written.
    pub fn respond(
        &self,
        code: ResponseCode,
        remark: Option<&str>,
        fields: &dyn WriteFields,
        body: Bytes,
    ) -> Result<(), EncodeError> {
        if self.command.is_one_way() {
            return Ok(());
        }
        self.shared.respond(self.command.opaque, code, remark, fields, body)
    }
}

/// Where requests of servers go: a bounded queue. When it is full, or nobody listens, they are refused, and that is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(pub(crate) Option<mpsc::Sender<Inbound>>);

impl Events {
    pub(crate) fn deliver(&self, command: Command, shared: &Arc<Shared>) {
        let inbound = Inbound { command, address: shared.address.clone(), shared: shared.clone() };
        let (refused, code) = match &self.0 {
            None => (inbound, ResponseCode::REQUEST_CODE_NOT_SUPPORTED),
            Some(sender) => match sender.try_send(inbound) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(inbound)) => (inbound, ResponseCode::SYSTEM_BUSY),
                Err(mpsc::error::TrySendError::Closed(inbound)) => (inbound, ResponseCode::REQUEST_CODE_NOT_SUPPORTED),
            },
        };
        Stats::add(&shared.stats.refused_events, 1);
        // A refusal fits any limit.
        let _ = refused.respond(
            code,
            Some("this client does not take the request now"),
            &ferrocket_protocol::NoFields,
            Bytes::new(),
        );
    }
}
