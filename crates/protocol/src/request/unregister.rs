use ferrocket_model::Group;

super::request! {
    /// Takes a client's group off a broker, so that the others learn it at once.
    #[doc(alias = "UNREGISTER_CLIENT")]
    pub struct Unregister(UNREGISTER_CLIENT) -> () {
        /// The client.
        req client_id: String = "clientID",
        /// A consumer group to leave.
        opt consumer_group: Group = "consumerGroup",
        /// A producer group to leave.
        opt producer_group: Group = "producerGroup",
    }
}
