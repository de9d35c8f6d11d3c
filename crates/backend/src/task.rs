use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::BoxFuture;

/// Starts a task on the current runtime. All of ours start here: what a runtime compiles for each type of task is then in a
/// program once, and not once per task and crate.
///
/// # Panics
///
/// Outside of a runtime.
pub fn spawn(task: BoxFuture<'static, ()>) -> JoinHandle<()> {
    tokio::spawn(task)
}

/// Runs tasks side by side and waits for all of them, so that a slow one holds up nobody. The results come in the order in which
/// the tasks ended; one that panicked has none. Dropping this future aborts those that still run.
///
/// # Panics
///
/// Outside of a runtime.
pub async fn side_by_side<T: Send + 'static>(tasks: impl IntoIterator<Item = BoxFuture<'static, T>>) -> Vec<T> {
    let results = Arc::new(Mutex::new(Vec::new()));
    let start = |task: BoxFuture<'static, T>| {
        let results = results.clone();
        Running(spawn(Box::pin(async move {
            let result = task.await;
            results.lock().push(result);
        })))
    };
    let running: Vec<_> = tasks.into_iter().map(start).collect();
    for mut task in running {
        // It ended or panicked: either way it is over.
        let _ = (&mut task.0).await;
    }
    std::mem::take(&mut *results.lock())
}

/// No task outlives who waits for it.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{future, time::Duration};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_tasks_hold_up_nobody_and_a_panic_takes_only_its_own_result() {
        let after = |seconds: u64| -> BoxFuture<'static, u64> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                assert_ne!(seconds, 2, "a panic of this test");
                seconds
            })
        };
        let begun = tokio::time::Instant::now();
        assert_eq!(side_by_side([after(3), after(2), after(1)]).await, [1, 3]);
        assert_eq!(begun.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_no_longer_aborts_the_tasks() {
        let (alive, ended) = oneshot::channel::<()>();
        let endless: BoxFuture<'static, ()> = Box::pin(async move {
            let _alive = alive;
            future::pending().await
        });
        assert!(tokio::time::timeout(Duration::from_secs(1), side_by_side([endless])).await.is_err());
        assert!(ended.await.is_err(), "the task was dropped");
    }
}
