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

/// R-I4: brokers do what they are asked in any order, so nothing is asked for while a write of the same queue is under way. Seen to fail
/// with writes that do not wait.
#[tokio::test(start_paused = true)]
async fn of_two_writes_of_a_queue_the_later_one_waits_and_writes_what_is_settled_then() {
    for one_place in [false, true] {
        let store = Arc::new(Store::default());
        let make = if one_place { Progress::in_one_place } else { Progress::new };
        let progress = make("g".into(), Arc::new(store.clone()));
        let queue = queues().remove(0);
        progress.with(|table| table.start(queue.clone(), 10));
        progress.with(|table| table.advance(&queue, 15));
        let turn = progress.turn(&queue).expect("nobody writes");
        assert!(progress.turn(&queue).is_none() && progress.is_being_written(&queue));
        let ids = [queue.clone()];
        let first = progress.flush_queues(&ids, TIMEOUT);
        let second = async {
            tokio::time::sleep(TIMEOUT / 3).await;
            assert_eq!(*store.calls.lock(), Vec::<Vec<_>>::new(), "it waits");
            progress.with(|table| table.advance(&queue, 20));
            drop(turn);
            progress.flush_queues(&ids, TIMEOUT).await
        };
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first, second), (vec![], vec![]));
        assert_eq!(*store.calls.lock(), [[(queue.clone(), 20)]], "once, and what is settled by then");

        // What is written by whoever had the turn is not written again, and a turn without an end holds nobody up for ever.
        progress.with(|table| table.advance(&queue, 25));
        let turn = progress.turn(&queue).expect("nobody writes");
        let waiting = progress.flush_queues(&ids, TIMEOUT);
        let writing = async {
            progress.with(|table| table.written(&queue, 25));
            drop(turn);
        };
        assert_eq!(tokio::join!(waiting, writing).0, []);
        progress.with(|table| table.advance(&queue, 30));
        let _turn = progress.turn(&queue).expect("nobody writes");
        let began = tokio::time::Instant::now();
        assert_eq!(progress.flush_queues(&ids, TIMEOUT).await, ids);
        assert_eq!((began.elapsed(), store.calls.lock().len()), (TIMEOUT, 1));
    }
}

/// R12: who waits for a write holds up none of the others.
#[tokio::test(start_paused = true)]
async fn queues_whose_turn_is_taken_are_written_last() {
    let store = Arc::new(Store::default());
    let progress = Progress::new("g".into(), Arc::new(store.clone()));
    advanced(&progress);
    let _turn = progress.turn(&queues()[0]).expect("nobody writes");
    assert_eq!(progress.flush(TIMEOUT).await, queues()[..1]);
    let written: Vec<_> = store.calls.lock().iter().flatten().map(|(queue, _)| queue.clone()).collect();
    assert_eq!(written.len(), 2);
    assert!(queues()[1..].iter().all(|queue| written.contains(queue)));
}
