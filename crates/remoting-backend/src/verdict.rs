//! What an error means: one table for the codes of servers, one function for what went wrong on the way.

use ferrocket_model::{Applied, BrokerName, ErrorKind, Failure, Remedy, ServerCode};
use ferrocket_protocol::ResponseCode;
use ferrocket_remoting::{CallError, ConnectError, PoolError};

/// Whom a call went to.
#[derive(Clone, Copy)]
pub(crate) enum Peer<'a> {
    NameServer(&'a str),
    Broker(&'a BrokerName, &'a str),
}

/// A code's meaning: what went wrong, whether the request took effect, and what would help.
pub(crate) fn verdict(code: ResponseCode, remark: &str) -> (ErrorKind, Applied, Remedy) {
    use Applied::{No, Unknown};
    use Remedy::{Nothing, OtherBroker, RefreshRoute, Wait};
    match code {
        ResponseCode::SYSTEM_BUSY | ResponseCode::FLOW_CONTROL => (ErrorKind::Busy, No, Wait),
        ResponseCode::REQUEST_CODE_NOT_SUPPORTED | ResponseCode::VERSION_NOT_SUPPORTED => {
            (ErrorKind::Unsupported, No, Nothing)
        }
        // The topic has fewer queues than the route said.
        ResponseCode::INVALID_PARAMETER if remark.contains("queueId") => (ErrorKind::InvalidArgument, No, RefreshRoute),
        ResponseCode::MESSAGE_ILLEGAL | ResponseCode::INVALID_PARAMETER | ResponseCode::SUBSCRIPTION_PARSE_FAILED => {
            (ErrorKind::InvalidArgument, No, Nothing)
        }
        ResponseCode::SERVICE_NOT_AVAILABLE => (ErrorKind::Busy, No, OtherBroker),
        ResponseCode::GO_AWAY => (ErrorKind::BrokerUnreachable, No, OtherBroker),
        // ACL 2.0 refuses everything with one code; whether it knows the user, only its text tells people.
        ResponseCode::NO_PERMISSION => (ErrorKind::PermissionDenied, No, Nothing),
        ResponseCode::TOPIC_NOT_EXIST => (ErrorKind::RouteNotFound, No, RefreshRoute),
        ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST => (ErrorKind::GroupNotFound, No, Nothing),
        ResponseCode::SUBSCRIPTION_NOT_EXIST
        | ResponseCode::SUBSCRIPTION_NOT_LATEST
        | ResponseCode::FILTER_DATA_NOT_EXIST
        | ResponseCode::FILTER_DATA_NOT_LATEST => (ErrorKind::Conflict, No, Wait),
        ResponseCode::QUERY_NOT_FOUND | ResponseCode::NO_MESSAGE => (ErrorKind::NotFound, No, Nothing),
        ResponseCode::PULL_OFFSET_MOVED => (ErrorKind::OffsetOutOfRange, No, Nothing),
        ResponseCode::ILLEGAL_OPERATION => (ErrorKind::Expired, No, Nothing),
        ResponseCode::NO_BUYER_ID | ResponseCode::NOT_IN_CURRENT_UNIT => (ErrorKind::Server, No, OtherBroker),
        // An exception in the server: it may have happened before or after the work. ACL 1.0 refuses with this code as well.
        ResponseCode::SYSTEM_ERROR if remark.contains("AclException") => (ErrorKind::PermissionDenied, No, Nothing),
        // Of a message that is given back: the broker was replaced, or has not kept it for so long.
        ResponseCode::SYSTEM_ERROR if remark.starts_with("look message by offset failed") => {
            (ErrorKind::NotFound, No, Nothing)
        }
        ResponseCode::SYSTEM_ERROR => (ErrorKind::Server, Unknown, OtherBroker),
        _ => (ErrorKind::Server, Unknown, Nothing),
    }
}

/// What became of a call, as a failure of the operation that made it.
pub(crate) fn failure(error: &PoolError, operation: String, peer: Peer<'_>) -> Box<Failure> {
    let unreachable = match peer {
        Peer::NameServer(_) => ErrorKind::NameServerUnreachable,
        Peer::Broker(..) => ErrorKind::BrokerUnreachable,
    };
    let failure = match error {
        PoolError::Connect(error) => Failure::new(unreachable, operation)
            .with_detail(reason(error))
            .with_advice("check the address, and that something listens there")
            .with_source(Shared(error.clone())),
        PoolError::ConnectTimeout(after) => {
            Failure::new(unreachable, operation).with_detail(format!("no connection within {after:.1?}"))
        }
        PoolError::Closed => Failure::new(ErrorKind::Closed, operation).with_detail("the client was shut down"),
        PoolError::Call(error) => match &**error {
            CallError::Timeout { after, queued } => Failure::new(ErrorKind::Timeout, operation)
                .with_detail(format!("no answer within {after:.1?}"))
                .with_applied(if *queued { Applied::Unknown } else { Applied::No })
                .with_remedy(Remedy::OtherBroker),
            CallError::Closed { written, cause } => Failure::new(unreachable, operation)
                .with_detail(format!("the connection ended before the answer came: {cause}"))
                .with_applied(if *written { Applied::Unknown } else { Applied::No })
                .with_remedy(Remedy::OtherBroker),
            CallError::Answer { code, remark } => {
                let (kind, applied, remedy) = verdict(*code, remark);
                let failure = Failure::new(kind, operation)
                    .with_answer(ServerCode::Remoting(code.0), remark.as_str())
                    .with_applied(applied)
                    .with_remedy(remedy);
                match advice(*code) {
                    Some(advice) => failure.with_advice(advice),
                    None => failure,
                }
            }
            CallError::Malformed(error) => Failure::new(ErrorKind::Undecodable, operation)
                .with_detail(format!("the answer cannot be read: {error}"))
                .with_source(error.clone()),
            CallError::TooLarge(error) => Failure::invalid_argument(operation, error.to_string()).with_source(*error),
            other => Failure::new(ErrorKind::Server, operation).with_detail(other.to_string()),
        },
        other => Failure::new(ErrorKind::Server, operation).with_detail(other.to_string()),
    };
    Box::new(match peer {
        Peer::NameServer(address) => failure.with_address(address),
        Peer::Broker(broker, address) => failure.with_broker(broker).with_address(address),
    })
}

fn advice(code: ResponseCode) -> Option<&'static str> {
    match code {
        ResponseCode::TOPIC_NOT_EXIST => Some("create the topic, or let brokers create it (autoCreateTopicEnable)"),
        ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST => {
            Some("create the consumer group, or let brokers create it (autoCreateSubscriptionGroup)")
        }
        ResponseCode::NO_PERMISSION => Some("check credentials and permissions of this client"),
        ResponseCode::SYSTEM_BUSY | ResponseCode::FLOW_CONTROL => Some("send slower, or wait"),
        _ => None,
    }
}

/// Why connecting failed, in one line.
pub(crate) fn reason(error: &ConnectError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A shared error as a source.
#[derive(Debug)]
struct Shared(std::sync::Arc<ConnectError>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
