use ferrocket_model::Topic;

super::request! {
    /// Creates a topic on one broker, or changes it. To each master; success comes with the remark `not set any response code`.
    #[doc(alias = "UPDATE_AND_CREATE_TOPIC")]
    pub struct CreateTopic(UPDATE_AND_CREATE_TOPIC) -> () {
        /// Changes of attributes, such as `+message.type=FIFO`; empty for none.
        dft attributes: String = "attributes",
        /// The template; brokers ask for it and do not use it.
        req default_topic: String = "defaultTopic",
        /// Whether the topic is marked as ordered.
        req order: bool = "order",
        /// 4 read, 2 write.
        req perm: i32 = "perm",
        /// Queues to read.
        req read_queues: u32 = "readQueueNums",
        /// The topic.
        req topic: Topic = "topic",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        req filter_type: String = "topicFilterType",
        /// Unit bits.
        opt sys_flag: i32 = "topicSysFlag",
        /// Queues to write.
        req write_queues: u32 = "writeQueueNums",
    }
}

impl CreateTopic {
    /// A topic that is read and written, with this many queues.
    pub fn with_queues(topic: impl Into<Topic>, queues: u32) -> Self {
        Self::new("", ferrocket_model::system::TEMPLATE_TOPIC, false, 6, queues, topic, "SINGLE_TAG", queues)
    }
}
