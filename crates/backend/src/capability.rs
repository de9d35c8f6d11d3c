/// What a transport or the servers behind it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Sending to a queue of the caller's choice.
    SelectQueue,
    /// Sends that are not answered.
    OneWay,
    /// Requests and replies between clients.
    RequestReply,
    /// Delay levels.
    DelayLevel,
    /// Listeners that take several messages at once.
    BatchListener,
    /// Every member gets every message.
    Broadcast,
    /// Pulling under the application's control.
    LitePull,
    /// Operating the cluster.
    Admin,
    /// Taking back a timer message.
    Recall,
    /// Receive, acknowledge, extend.
    SimpleConsumer,
    /// Commit and rollback are answered.
    ConfirmedTransactions,
}
