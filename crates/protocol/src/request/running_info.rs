use ferrocket_model::Group;

use crate::{Command, DecodeError, Response, body::RunningInfo};

super::request! {
    /// What a member of a group does right now. An administrator asks a broker, which passes the question on as it is, and the
    /// client's answer back. A client without that group answers `SYSTEM_ERROR`.
    #[doc(alias = "GET_CONSUMER_RUNNING_INFO")]
    pub struct GetRunningInfo(GET_CONSUMER_RUNNING_INFO) -> RunningInfo {
        /// The client's id.
        req client_id: String = "clientId",
        /// The group.
        req group: Group = "consumerGroup",
        /// Whether to tell what every thread is doing.
        dft jstack: bool = "jstackEnable",
    }
}

impl Response for RunningInfo {
    fn read(command: Command) -> Result<Self, DecodeError> {
        Self::read_body(command.body())
    }
}
