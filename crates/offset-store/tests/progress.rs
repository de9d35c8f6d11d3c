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

/// R-I4: brokers do what they are asked in any order, so nothing is asked for while a write of the same queue is under way: the regular
/// store leaves it out, and who stores last waits for it. Seen to fail with turns that several may have.
#[tokio::test(start_paused = true)]
async fn one_write_of_a_queue_is_under_way_at_most() {
    for one_place in [false, true] {
        let store = Arc::new(Store::default());
        let make = if one_place { Progress::in_one_place } else { Progress::new };
        let progress = make("g".into(), Arc::new(store.clone()));
        advanced(&progress);
        let queue = queues().remove(0);
        let turn = progress.turn(&queue).expect("nobody writes");
        assert!(progress.turn(&queue).is_none());
        assert_eq!(progress.flush(TIMEOUT).await, [], "what is under way has not failed");
        let written: Vec<_> = store.calls.lock().iter().flatten().cloned().collect();
        assert_eq!(written, queues()[1..].iter().map(|queue| (queue.clone(), 15)).collect::<Vec<_>>());

        store.calls.lock().clear();
        let last = async {
            let turns = progress.turns([queue.clone()], TIMEOUT).await;
            progress.flush_turns(turns, TIMEOUT).await
        };
        let first = async {
            tokio::time::sleep(TIMEOUT / 3).await;
            assert_eq!(*store.calls.lock(), Vec::<Vec<_>>::new(), "it waits");
            progress.with(|table| table.written(&queue, 15));
            progress.with(|table| table.advance(&queue, 20));
            drop(turn);
        };
        assert_eq!(tokio::join!(last, first).0, []);
        assert_eq!(*store.calls.lock(), [[(queue.clone(), 20)]], "what is settled by then");
        assert!(progress.turn(&queue).is_some(), "it has given the turn back");
    }
}

/// R-I7: a turn without an end holds nobody up for ever.
#[tokio::test(start_paused = true)]
async fn who_writes_last_waits_for_a_write_under_way_as_long_as_it_says_and_writes_then() {
    let store = Arc::new(Store::default());
    let progress = Progress::new("g".into(), Arc::new(store.clone()));
    advanced(&progress);
    let queue = queues().remove(0);
    let _lost = progress.turn(&queue).expect("nobody writes");
    let began = tokio::time::Instant::now();
    let turns = progress.turns(queues(), TIMEOUT / 2).await;
    assert_eq!((began.elapsed(), turns.len()), (TIMEOUT / 2, 3));
    assert_eq!(progress.flush_turns(turns, TIMEOUT).await, []);
    assert_eq!(store.calls.lock().len(), 3);
    assert!(progress.turn(&queue).is_none(), "it is still not free");
}
