use std::sync::{Arc, Weak};

use bytes::Bytes;
use ferrocket_backend::ServerEvent;
use ferrocket_protocol::{
    NoFields, ReadRequest, RequestCode, ResponseCode,
    request::{CheckTransaction, MembersChanged, PushReply},
};
use ferrocket_remoting::Inbound;
use tokio::sync::mpsc;

use crate::backend::Shared;

/// Looks at what servers ask. What this client does not know is answered so, never left open (R18).
pub(crate) async fn run(shared: Weak<Shared>, mut inbox: mpsc::Receiver<Inbound>) {
    while let Some(inbound) = inbox.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let inbound = match shared.inspection.get() {
            Some(inspect) => inspect(&shared, inbound),
            None => Some(inbound),
        };
        let Some(inbound) = inbound else { continue };
        let (code, remark) = handle(&shared, &inbound);
        if inbound.respond(code, remark.as_deref(), &NoFields, Bytes::new()).is_err() {
            tracing::debug!(address = %inbound.address, "an answer to a server was too large");
        }
    }
}

fn handle(shared: &Arc<Shared>, inbound: &Inbound) -> (ResponseCode, Option<String>) {
    let code = RequestCode(inbound.command.code);
    match code {
        RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => match MembersChanged::read_request(&inbound.command) {
            Ok(notice) => {
                tracing::debug!(address = %inbound.address, group = %notice.group, "members changed");
                let group = shared.names.plain_group(notice.group.as_str());
                shared.members.deliver(&group, ServerEvent::MembersChanged);
                (ResponseCode::SUCCESS, None)
            }
            Err(error) => (ResponseCode::SYSTEM_ERROR, Some(error.to_string())),
        },
        RequestCode::CHECK_TRANSACTION_STATE => {
            let check = CheckTransaction::read_request(&inbound.command);
            match check.and_then(|check| shared.check_transaction(check, &inbound.address)) {
                Ok(()) => (ResponseCode::SUCCESS, None),
                Err(error) => (ResponseCode::SYSTEM_ERROR, Some(error.to_string())),
            }
        }
        RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => match PushReply::read_request(&inbound.command) {
            Ok(push) => {
                shared.reply_came(push, &inbound.address);
                (ResponseCode::SUCCESS, None)
            }
            Err(error) => (ResponseCode::SYSTEM_ERROR, Some(error.to_string())),
        },
        other => {
            tracing::debug!(address = %inbound.address, code = %other, "a server asks what this client does not know");
            (ResponseCode::REQUEST_CODE_NOT_SUPPORTED, Some(format!("request type {} not supported", other.0)))
        }
    }
}
