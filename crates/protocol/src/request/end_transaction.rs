use ferrocket_model::{Group, Topic};

super::request! {
    /// Commits or rolls back a half message. Every commit stores the message once more: never repeat one whose outcome is
    /// unknown (§3.9).
    #[doc(alias = "END_TRANSACTION")]
    pub struct EndTransaction(END_TRANSACTION) -> () {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// Where the half message is in the commit log.
        req commit_log_offset: i64 = "commitLogOffset",
        /// What becomes of it: a [`TransactionEnding`] as its number.
        req ending: i32 = "commitOrRollback",
        /// Whether this answers the broker's question.
        dft from_check: bool = "fromTransactionCheck",
        /// The message's unique id.
        req message_id: String = "msgId",
        /// The group that sent it.
        req group: Group = "producerGroup",
        /// The topic.
        opt topic: Topic = "topic",
        /// Its offset in the queue of half messages.
        req table_offset: i64 = "tranStateTableOffset",
        /// The transaction, as the broker named it.
        opt transaction_id: String = "transactionId",
    }
}

/// What becomes of a half message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "commitOrRollback")]
pub enum TransactionEnding {
    /// It is delivered.
    Commit,
    /// It is dropped.
    Rollback,
    /// Nobody knows yet. Brokers answer nothing to this.
    Unknown,
}

impl TransactionEnding {
    /// Its number on the wire.
    pub fn code(self) -> i32 {
        match self {
            Self::Commit => 8,
            Self::Rollback => 12,
            Self::Unknown => 0,
        }
    }

    /// The ending with this number.
    pub fn from_code(code: i32) -> Option<Self> {
        match code {
            8 => Some(Self::Commit),
            12 => Some(Self::Rollback),
            0 => Some(Self::Unknown),
            _ => None,
        }
    }
}
