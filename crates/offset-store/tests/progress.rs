//! How `Progress` writes: queue by queue to brokers, in one call to a store that is one place.

use std::{sync::Arc, time::Duration};

use ferrocket_model::{BoxError, Group, MessageQueue};
use ferrocket_offset_store::{OffsetStore, Progress};
use parking_lot::Mutex;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Keeps what it is called with, and can be out of order, or silent.
#[derive(Default)]
struct Store {
    calls: Mutex<Vec<Vec<(MessageQueue, u64)>>>,
    fails: Mutex<bool>,
    hangs: Mutex<bool>,
}

impl OffsetStore for Store {
    async fn read(&self, _: &Group, _: &MessageQueue) -> Result<Option<u64>, BoxError> {
        Ok(None)
    }

    async fn write(&self, _: &Group, offsets: &[(MessageQueue, u64)]) -> Result<(), BoxError> {
        self.calls.lock().push(offsets.to_vec());
        if *self.hangs.lock() {
            std::future::pending::<()>().await;
        }
        if *self.fails.lock() { Err("out of order".into()) } else { Ok(()) }
    }
}

fn queues() -> Vec<MessageQueue> {
    [("a", 0), ("a", 1), ("b", 0)].map(|(broker, id)| MessageQueue::new("T", broker, id)).into()
}

fn advanced(progress: &Progress) {
    for queue in queues() {
        progress.with(|table| {
            table.start(queue.clone(), 10);
            table.advance(&queue, 15)
        });
    }
}

#[tokio::test]
async fn a_store_that_is_one_place_is_called_once() {
    let store = Arc::new(Store::default());
    let progress = Progress::in_one_place("g".into(), Arc::new(store.clone()));
    advanced(&progress);
    assert_eq!(progress.flush(TIMEOUT).await, []);
    assert_eq!(progress.flush(TIMEOUT).await, [], "nothing changed, nothing is written");
    assert_eq!(*store.calls.lock(), [queues().into_iter().map(|queue| (queue, 15)).collect::<Vec<_>>()]);
}

#[tokio::test(start_paused = true)]
async fn what_one_place_did_not_take_stays_changed_as_a_whole() {
    let store = Arc::new(Store::default());
    let progress = Progress::in_one_place("g".into(), Arc::new(store.clone()));
    advanced(&progress);
    *store.fails.lock() = true;
    assert_eq!(progress.flush(TIMEOUT).await, queues());
    (*store.fails.lock(), *store.hangs.lock()) = (false, true);
    assert_eq!(progress.flush(TIMEOUT).await, queues());
    *store.hangs.lock() = false;
    assert_eq!(progress.flush_queues(&queues()[..1], TIMEOUT).await, []);
    assert_eq!(progress.with(|table| table.changed()).len(), 2);
    assert_eq!(progress.flush(TIMEOUT).await, []);
    let sizes: Vec<_> = store.calls.lock().iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 1, 2]);
}

// R12
#[tokio::test]
async fn brokers_are_written_queue_by_queue() {
    let store = Arc::new(Store::default());
    let progress = Progress::new("g".into(), Arc::new(store.clone()));
    advanced(&progress);
    assert_eq!(progress.flush(TIMEOUT).await, []);
    assert!(store.calls.lock().iter().all(|call| call.len() == 1));
    assert_eq!(store.calls.lock().len(), 3);
}
