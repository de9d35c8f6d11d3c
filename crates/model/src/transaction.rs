/// What becomes of a half message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "LocalTransactionState")]
pub enum TransactionState {
    /// It is delivered.
    #[doc(alias = "COMMIT_MESSAGE")]
    Commit,
    /// It is dropped.
    #[doc(alias = "ROLLBACK_MESSAGE")]
    Rollback,
    /// Nobody knows yet: the broker asks again later.
    #[doc(alias = "UNKNOW")]
    Unknown,
}
