use ferrocket_model::Group;

super::request! {
    /// Gives a message back to the broker, to be delivered to the group again later or put into its dead-letter topic.
    #[doc(alias = "CONSUMER_SEND_MSG_BACK")]
    pub struct SendBack(CONSUMER_SEND_MSG_BACK) -> () {
        /// The broker's name, for proxies.
        opt broker: String = "bname",
        /// Below 0: to the dead-letter topic. 0: the broker chooses 3 + reconsume times. Above: that delay level.
        req delay_level: i32 = "delayLevel",
        /// The group.
        req group: Group = "group",
        /// From this many reconsume times on, the broker puts the message into the dead-letter topic.
        opt max_reconsume_times: i32 = "maxReconsumeTimes",
        /// The commit log offset.
        req commit_log_offset: i64 = "offset",
        /// The message's id.
        opt origin_message_id: String = "originMsgId",
        /// The message's topic.
        opt origin_topic: String = "originTopic",
        /// Unit mode.
        req unit_mode: bool = "unitMode",
    }
}
