use bytes::Bytes;
use ferrocket_model::Topic;

use crate::{Command, DecodeError, FieldSink, ReadRequest, Request, RequestCode, WriteFields};

/// From a broker, one-way: what became of this half message? The body is the message as it is stored, with its topic and queue
/// restored; the answer is an [`EndTransaction`](super::EndTransaction) on the connection that the question came on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "CHECK_TRANSACTION_STATE")]
pub struct CheckTransaction {
    /// The header.
    pub header: CheckTransactionHeader,
    /// One stored message.
    pub body: Bytes,
}

crate::field::header_fields! {
    /// The header of a [`CheckTransaction`].
    pub struct CheckTransactionHeader {
        /// The broker's name.
        opt broker: String = "bname",
        /// Where the half message is in the commit log.
        req commit_log_offset: i64 = "commitLogOffset",
        /// The message's unique id.
        opt message_id: String = "msgId",
        /// The broker's id of it.
        opt broker_message_id: String = "offsetMsgId",
        /// The topic of half messages; via a proxy the message's own.
        opt topic: Topic = "topic",
        /// Its offset in the queue of half messages.
        req table_offset: i64 = "tranStateTableOffset",
        /// The transaction.
        opt transaction_id: String = "transactionId",
    }
}

impl WriteFields for CheckTransaction {
    fn write_fields(&self, sink: &mut dyn FieldSink) {
        self.header.write_fields(sink);
    }
}

impl Request for CheckTransaction {
    const CODE: RequestCode = RequestCode::CHECK_TRANSACTION_STATE;
    type Response = ();

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl ReadRequest for CheckTransaction {
    fn read_request(command: &Command) -> Result<Self, DecodeError> {
        Ok(Self { header: CheckTransactionHeader::read_fields(command)?, body: command.body().clone() })
    }
}
