use ferrocket_model::Topic;

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

    /// How many records may wait; further ones are dropped and counted. Default: 2,048.
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
        if !(1..=20).contains(&self.batch) {
            return Err(format!("a batch of {} records; 1 to 20 go into a message", self.batch));
        }
        Ok(())
    }
}
