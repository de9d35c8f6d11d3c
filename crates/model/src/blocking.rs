use std::sync::Arc;

/// A closure that may block. Made by [`blocking`].
#[derive(Debug)]
pub struct Blocking<F>(#[doc(hidden)] pub Arc<F>);

impl<F> Clone for Blocking<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Marks a closure as blocking, for listeners and transaction checkers: it runs on tokio's blocking pool, never on an
/// I/O worker.
pub fn blocking<F>(f: F) -> Blocking<F> {
    Blocking(Arc::new(f))
}
