/// A closure that may block. Made by [`blocking`].
#[derive(Clone, Debug)]
pub struct Blocking<F>(#[doc(hidden)] pub F);

/// Marks a closure as blocking, for listeners and transaction checkers: it runs on tokio's blocking pool, never on an
/// I/O worker.
pub fn blocking<F>(f: F) -> Blocking<F> {
    Blocking(f)
}
