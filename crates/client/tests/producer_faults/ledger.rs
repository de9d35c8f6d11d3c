//! What was sent, what the client said of it, and what the brokers have.

use std::{collections::HashMap, time::Duration};

use ferrocket::{Applied, Message, Producer, SendError, SendReceipt};
use ferrocket_testkit::TestCluster;
use parking_lot::Mutex;
use tokio::time::timeout;

/// Every send of a case. Bodies are unique: they name the send.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<(String, Verdict)>>,
}

pub(crate) enum Verdict {
    Stored(Box<SendReceipt>),
    Failed(Applied),
}

impl Ledger {
    /// Sends a body of its own and writes down what became of it.
    ///
    /// R-I7: the answer must be there within the time of the send, to the millisecond of the simulated clock.
    pub(crate) async fn send(
        &self,
        producer: &Producer,
        body: impl Into<String>,
        timeout: Duration,
    ) -> Result<(), SendError> {
        let body = body.into();
        let sending = producer.send(Message::new("Orders", body.clone())).timeout(timeout);
        self.watch(body, sending, timeout).await
    }

    /// Writes down what becomes of a send of this body, which must end within this time: one that never ends fails the case, and does
    /// not hold it up. Seen to fail with attempts of which every 256th is pending for ever.
    pub(crate) async fn watch(
        &self,
        body: String,
        sending: impl Future<Output = Result<SendReceipt, SendError>>,
        limit: Duration,
    ) -> Result<(), SendError> {
        let sent = timeout(limit + Duration::from_millis(1), sending).await;
        let sent = sent.unwrap_or_else(|_| panic!("{body}: it did not end within {limit:?}"));
        self.write(body, sent)
    }

    /// Writes down what became of a send of this body.
    pub(crate) fn write(&self, body: String, sent: Result<SendReceipt, SendError>) -> Result<(), SendError> {
        let (verdict, result) = match sent {
            Ok(receipt) => (Verdict::Stored(Box::new(receipt)), Ok(())),
            Err(error) => (Verdict::Failed(error.applied()), Err(error)),
        };
        self.entries.lock().push((body, verdict));
        result
    }

    /// Sends until it works, every 10 ms. R-I7: back within this bound, or the case has failed.
    pub(crate) async fn until_sent(&self, producer: &Producer, name: &str, bound: Duration) {
        let mut number = 0;
        let sending = async {
            while self.send(producer, format!("{name} {number}"), Duration::from_secs(3)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                number += 1;
            }
        };
        let sent = timeout(bound + Duration::from_millis(1), sending).await;
        sent.unwrap_or_else(|_| panic!("{name}: after {bound:?} no send had succeeded, the last was {number}"));
    }

    /// How many sends were stored, how many were not, and of how many nobody knows.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for (_, verdict) in self.entries.lock().iter() {
            match verdict {
                Verdict::Stored(_) => counts.0 += 1,
                Verdict::Failed(Applied::No) => counts.1 += 1,
                Verdict::Failed(_) => counts.2 += 1,
            }
        }
        counts
    }

    /// Holds what the client said against what the brokers have.
    pub(crate) fn check(&self, cluster: &TestCluster) {
        self.check_after(&Self::default(), cluster);
    }

    /// As [`check`](Self::check), where the brokers may also have what an earlier ledger says was sent.
    pub(crate) fn check_after(&self, earlier: &Self, cluster: &TestCluster) {
        let mut stored: HashMap<String, Vec<(String, u64)>> = HashMap::new();
        let mut places = HashMap::new();
        for message in cluster.messages("Orders") {
            let body = String::from_utf8_lossy(message.body()).into_owned();
            let place = (message.queue().to_string(), message.offset());
            places.insert(place.clone(), (body.clone(), message.id().to_string()));
            stored.entry(body).or_default().push(place);
        }
        for (body, verdict) in self.entries.lock().iter() {
            match verdict {
                Verdict::Stored(receipt) => {
                    // R-I1: what was acknowledged is there. R-I10: the answer was this send's own, not another one's.
                    let place = (receipt.queue().expect("a queue").to_string(), receipt.offset().expect("an offset"));
                    let (found, id) = places.get(&place).unwrap_or_else(|| panic!("{body}: nothing at {place:?}"));
                    assert_eq!(found, body, "the answer is another send's: {place:?}");
                    assert_eq!(id, receipt.message_id().as_str());
                }
                // R-I2: what "was not stored" is not there.
                Verdict::Failed(Applied::No) => {
                    assert!(!stored.contains_key(body), "{body} was said not to be stored, and is");
                }
                Verdict::Failed(_) => {}
            }
        }
        let knows = |ledger: &Self, body: &String| ledger.entries.lock().iter().any(|(known, _)| known == body);
        for body in stored.keys() {
            assert!(knows(self, body) || knows(earlier, body), "{body} is stored, and was never sent");
        }
    }
}
