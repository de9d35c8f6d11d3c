//! What brokers are asked, as far as it matters to the promises, and what is made to go wrong with it.
//!
//! Both in one place: a request that fails is seen as well, which the faults of the test kit would hide.

use std::sync::{Arc, Weak};

use ferrocket::{MessageQueue, ReceivedMessage};
use ferrocket_protocol::{
    ReadRequest,
    request::{CommitOffset, GetMaxOffset, Pull, PullFlags, QueryOffset, SendBack},
};
use ferrocket_testkit::{Action, Call, Intercepted, TestCluster};
use parking_lot::Mutex;

use crate::books::Books;

/// Faults in force: so many requests of a kind, and what happens to them.
#[derive(Clone, Default)]
pub(crate) struct Orders(Arc<Mutex<Vec<(Call, usize, Action)>>>);

impl Orders {
    pub(crate) fn add(&self, call: Call, times: usize, action: Action) {
        self.0.lock().push((call, times, action));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    /// What happens to a request. Name servers are well.
    fn action(&self, request: &Intercepted<'_>) -> Action {
        let (Some(call), Some(_)) = (request.call(), request.broker()) else { return Action::Pass };
        let mut orders = self.0.lock();
        let Some(index) = orders.iter().position(|(wanted, ..)| *wanted == call) else { return Action::Pass };
        orders[index].1 -= 1;
        let action = orders[index].2.clone();
        if orders[index].1 == 0 {
            orders.remove(index);
        }
        action
    }
}

/// Writes down what brokers are asked from now on.
pub(crate) fn watch(cluster: &Arc<TestCluster>, books: &Books, orders: &Orders) {
    let (books, orders, weak) = (books.clone(), orders.clone(), Arc::downgrade(cluster));
    cluster.intercept(move |request| {
        let action = orders.action(request);
        note(&weak, &books, request, &action);
        action
    });
}

fn note(cluster: &Weak<TestCluster>, books: &Books, request: &Intercepted<'_>, action: &Action) {
    let Some(broker) = request.broker() else { return };
    let who = request.origin().and_then(|origin| origin.parse().ok()).unwrap_or_default();
    let history = books.of(who);
    if let Some(call) = request.call() {
        history.lock().detail(format_args!("{broker} is asked for {call:?} by {who}: {action:?}"));
    }
    let is_done = !matches!(action, Action::Answer(..) | Action::DropRequest);
    match request.call() {
        Some(Call::ReadOffset) if is_done => {
            let Ok(read) = QueryOffset::read_request(request.command()) else { return };
            history.lock().reads(who, &MessageQueue::new(read.topic, broker, read.queue_id));
        }
        // Also one that fails: nobody may ask for it.
        Some(Call::CommitOffset) => {
            let Ok(commit) = CommitOffset::read_request(request.command()) else { return };
            history.lock().commits(who, MessageQueue::new(commit.topic, broker, commit.queue_id), commit.offset);
        }
        Some(Call::Pull) => {
            let Ok(pull) = Pull::read_request(request.command()) else { return };
            let pull = pull.0;
            let queue = MessageQueue::new(pull.topic, broker, pull.queue_id);
            if pull.sys_flag & PullFlags::COMMIT_OFFSET != 0 {
                history.lock().commits(who, queue.clone(), pull.commit_offset);
            }
            if is_done {
                let end = || cluster.upgrade().map_or(0, |cluster| end_of(&cluster, &queue));
                history.lock().pulls(who, &queue, pull.queue_offset, end);
            }
        }
        // Who begins at the end passes over what is there.
        Some(Call::MaxOffset) if is_done => {
            let Ok(asked) = GetMaxOffset::read_request(request.command()) else { return };
            let queue = MessageQueue::new(asked.queue.topic(), broker, asked.queue.id());
            let end = cluster.upgrade().map_or(0, |cluster| end_of(&cluster, &queue));
            history.lock().begins_at_end(&queue, end);
        }
        Some(Call::SendBack) if is_done => {
            let Ok(back) = SendBack::read_request(request.command()) else { return };
            let stored = || {
                let cluster = cluster.upgrade()?;
                let is_it = |message: &ReceivedMessage| {
                    message.queue().broker().as_str() == broker && message.commit_log_offset() == back.commit_log_offset
                };
                cluster.messages("Orders").into_iter().find(is_it)
            };
            history.lock().given_back(broker, back.commit_log_offset, stored);
        }
        _ => {}
    }
}

/// Where a queue ends.
pub(crate) fn end_of(cluster: &TestCluster, queue: &MessageQueue) -> u64 {
    let messages = cluster.messages(queue.topic().as_str());
    messages.iter().filter(|message| message.queue() == queue).map(|message| message.offset() + 1).max().unwrap_or(0)
}
