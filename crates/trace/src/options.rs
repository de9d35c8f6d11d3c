use ferrocket_model::Topic;

/// The most records that may wait. A channel has a limit, too, and panics beyond it.
const MAX_QUEUE: usize = 1 << 20;
/// The most records of one message.
const MAX_BATCH: usize = 20;

/// How messages are traced.
#[derive(Clone, Debug)]
#[doc(alias = "AsyncTraceDispatcher")]
#[doc(alias = "enableTrace")]
pub struct MessageTrace {
    pub(crate) topic: Topic,
    pub(crate) queue: usize,
    pub(crate) batch: usize,
}

impl Default for MessageTrace {
    fn default() -> Self {
        Self { topic: Topic::from_static("RMQ_SYS_TRACE_TOPIC"), queue: 2_048, batch: 10 }
    }
}

impl MessageTrace {
    /// The topic that records go to. Default: `RMQ_SYS_TRACE_TOPIC`, which brokers have when they are set up for it.
    #[doc(alias = "traceTopic")]
    pub fn topic(mut self, topic: impl Into<Topic>) -> Self {
        self.topic = topic.into();
        self
    }

    /// How many records may wait, 1,048,576 at most; further ones are dropped and counted. Default: 2,048.
    pub fn queue(mut self, records: usize) -> Self {
        self.queue = records;
        self
    }

    /// How many records go into one message, 20 at most. Default: 10. What is older than a second goes with fewer.
    #[doc(alias = "traceMsgBatchNum")]
    pub fn batch(mut self, records: usize) -> Self {
        self.batch = records;
        self
    }

    /// What cannot work.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        if let Err(invalid) = self.topic.check() {
            return Err(format!("topic {:?} cannot be used: {invalid}", self.topic));
        }
        if self.queue == 0 {
            return Err("a queue of 0 would drop every record".to_owned());
        }
        if self.queue > MAX_QUEUE {
            return Err(format!("a queue of {} records; {MAX_QUEUE} at most may wait", self.queue));
        }
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return Err(format!("a batch of {} records; 1 to {MAX_BATCH} go into a message", self.batch));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_their_range_are_refused() {
        let (lowest, highest) =
            (MessageTrace::default().queue(1).batch(1), MessageTrace::default().queue(MAX_QUEUE).batch(20));
        assert_eq!((lowest.check(), highest.check()), (Ok(()), Ok(())));
        for wrong in [
            MessageTrace::default().queue(0),
            MessageTrace::default().queue(usize::MAX),
            MessageTrace::default().batch(0),
            MessageTrace::default().batch(21),
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert!(MessageTrace::default().topic("no blanks").check().is_err());
    }
}
