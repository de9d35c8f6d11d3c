use std::time::SystemTime;

/// Where a group without a stored offset begins.
///
/// Meant literally: `Latest` starts at the end of the queue, whatever the queue holds. (The Java client may start at 0
/// on young topics, CON-CFW-04.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
#[doc(alias = "ConsumeFromWhere")]
pub enum ConsumeFrom {
    /// Only messages that are stored from now on.
    #[default]
    #[doc(alias = "CONSUME_FROM_LAST_OFFSET")]
    Latest,
    /// Everything the broker still has.
    #[doc(alias = "CONSUME_FROM_FIRST_OFFSET")]
    Earliest,
    /// Messages stored at this time or later.
    #[doc(alias = "CONSUME_FROM_TIMESTAMP")]
    Time(SystemTime),
}

/// Where to go in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekTo {
    /// The first message the broker still has.
    #[doc(alias = "seekToBegin")]
    Earliest,
    /// Behind the last message.
    #[doc(alias = "seekToEnd")]
    Latest,
    /// This offset.
    Offset(u64),
    /// The first message stored at this time or later.
    #[doc(alias = "searchOffset")]
    Time(SystemTime),
}

impl From<u64> for SeekTo {
    fn from(offset: u64) -> Self {
        Self::Offset(offset)
    }
}

impl From<SystemTime> for SeekTo {
    fn from(time: SystemTime) -> Self {
        Self::Time(time)
    }
}
