use ferrocket_model::Group;

super::request! {
    /// From a broker, one-way: the members of a group changed. Rebalance at once.
    #[doc(alias = "NOTIFY_CONSUMER_IDS_CHANGED")]
    pub struct MembersChanged(NOTIFY_CONSUMER_IDS_CHANGED) -> () {
        /// The group.
        req group: Group = "consumerGroup",
    }
}
