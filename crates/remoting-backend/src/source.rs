use ferrocket_backend::BoxFuture;
use ferrocket_model::BoxError;

/// Where name-server addresses come from, when they change. Asked at the start, every 120 s, and when no server can be reached.
/// A closure `Fn() -> Future` is one.
#[doc(alias = "TopAddressing")]
pub trait NameServerSource: Send + Sync + 'static {
    /// The addresses now, each `host:port`.
    fn addresses(&self) -> impl Future<Output = Result<Vec<String>, BoxError>> + Send;
}

impl<F, Fut> NameServerSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<String>, BoxError>> + Send,
{
    fn addresses(&self) -> impl Future<Output = Result<Vec<String>, BoxError>> + Send {
        self()
    }
}

/// The object-safe twin; made by builders, never written by a user.
#[doc(hidden)]
pub trait DynNameServerSource: Send + Sync + 'static {
    fn addresses(&self) -> BoxFuture<'_, Result<Vec<String>, BoxError>>;
}

impl<S: NameServerSource> DynNameServerSource for S {
    fn addresses(&self) -> BoxFuture<'_, Result<Vec<String>, BoxError>> {
        Box::pin(NameServerSource::addresses(self))
    }
}
