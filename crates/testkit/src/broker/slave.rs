use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use ferrocket_protocol::{RequestCode, ResponseCode};

use super::Broker;
use crate::answer::Answer;

/// The broker id of a slave here; a master's is 0.
pub(crate) const SLAVE_ID: u64 = 1;
/// How often a slave copies what is no message.
const COPY_EVERY: Duration = Duration::from_secs(60);

impl Broker {
    pub(super) fn is_slave(&self) -> bool {
        self.master.is_some()
    }

    /// What only a master does.
    pub(super) fn refuse_as_slave(&self, code: RequestCode) -> Option<Answer> {
        if !self.is_slave() {
            return None;
        }
        match code {
            RequestCode::SEND_MESSAGE
            | RequestCode::SEND_MESSAGE_V2
            | RequestCode::SEND_BATCH_MESSAGE
            | RequestCode::CONSUMER_SEND_MSG_BACK => {
                let text = "[REJECTREQUEST]system busy, start flow control for a while";
                Some(Answer::refusal(ResponseCode::SYSTEM_BUSY, text))
            }
            RequestCode::END_TRANSACTION => Some(Answer::success().with_code(ResponseCode::SLAVE_NOT_AVAILABLE)),
            RequestCode::RECALL_MESSAGE => {
                let text = "recall failed, broker service not available";
                Some(Answer::refusal(ResponseCode::SLAVE_NOT_AVAILABLE, text))
            }
            _ => None,
        }
    }

    /// A slave takes what its master stored, whether the master runs or not. Masters are never locked before their slaves.
    pub(super) fn catch_up(&self) {
        if let Some(master) = &self.master {
            let mut state = self.state.lock();
            state.log.follow(&master.state.lock().log);
        }
    }

    /// A slave takes the offsets of its master, if that runs. Those that the master has not are kept.
    pub(crate) fn copy_offsets(&self) {
        let Some(master) = self.master.as_ref().filter(|master| master.address().is_some()) else { return };
        let offsets = master.state.lock().offsets.clone();
        let mut state = self.state.lock();
        for (group, queues) in offsets {
            state.offsets.entry(group).or_default().extend(queues);
        }
        drop(state);
        self.shared.observer.ring();
    }
}

/// Copies from time to time, as long as the slave lives.
pub(crate) async fn keep_copying(slave: Weak<Broker>) {
    while let Some(slave) = next(&slave).await {
        if slave.address().is_some() {
            slave.copy_offsets();
        }
    }
}

async fn next(slave: &Weak<Broker>) -> Option<Arc<Broker>> {
    tokio::time::sleep(COPY_EVERY).await;
    slave.upgrade()
}
