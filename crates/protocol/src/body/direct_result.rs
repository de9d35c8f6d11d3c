use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::DecodeError;

/// What became of a message that was consumed directly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[doc(alias = "ConsumeMessageDirectlyResult")]
pub struct DirectResult {
    /// Of an orderly listener: whether it commits by itself. Tools show it.
    #[serde(default = "auto_commit")]
    pub auto_commit: bool,
    /// What the listener said.
    #[serde(rename = "consumeResult")]
    #[doc(alias = "consumeResult")]
    pub outcome: DirectOutcome,
    /// Whether the consumer is an orderly one.
    #[serde(default)]
    pub order: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long the listener took, in milliseconds.
    #[serde(rename = "spentTimeMills", default)]
    #[doc(alias = "spentTimeMills")]
    pub spent_ms: u64,
}

/// What a listener said to a message that it consumed directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "CMResult")]
pub enum DirectOutcome {
    /// Consumed.
    #[serde(rename = "CR_SUCCESS")]
    Success,
    /// Not consumed: again later, or from an orderly one, suspend the queue.
    #[serde(rename = "CR_LATER")]
    Later,
    /// Of an orderly one without automatic commit: roll back.
    #[serde(rename = "CR_ROLLBACK")]
    Rollback,
    /// Of an orderly one without automatic commit: commit.
    #[serde(rename = "CR_COMMIT")]
    Commit,
    /// It panicked, or in Java, threw.
    #[serde(rename = "CR_THROW_EXCEPTION")]
    Exception,
    /// It said nothing. Only Java's can.
    #[serde(rename = "CR_RETURN_NULL")]
    Nothing,
}

impl DirectResult {
    /// A result of a listener that commits by itself.
    pub fn new(outcome: DirectOutcome, order: bool, spent_ms: u64) -> Self {
        Self { auto_commit: true, outcome, order, remark: None, spent_ms }
    }

    /// The body of the answer.
    pub fn to_body(&self) -> Bytes {
        super::write(self)
    }

    /// Reads a body, as tools do.
    ///
    /// # Errors
    ///
    /// When it is not the JSON of such an answer.
    pub fn read_body(body: &[u8]) -> Result<Self, DecodeError> {
        super::read(body)
    }
}

fn auto_commit() -> bool {
    true
}
