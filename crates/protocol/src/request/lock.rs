use bytes::Bytes;

use crate::{
    Command, DecodeError, FieldSink, ReadRequest, Request, RequestCode, Response, WriteFields,
    body::{self, LockData, LockedQueues},
};

macro_rules! lock_request {
    ($($(#[$doc:meta])* $name:ident($code:ident) -> $answer:ty,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            body: Bytes,
        }

        impl $name {
            /// Names the queues and who asks.
            pub fn new(data: &LockData) -> Self {
                Self { body: body::write(data) }
            }

            /// Reads who asks for what.
            ///
            /// # Errors
            ///
            /// When the body is not the JSON of such a request.
            pub fn data(&self) -> Result<LockData, DecodeError> {
                body::read(&self.body)
            }
        }

        impl WriteFields for $name {
            fn write_fields(&self, _: &mut dyn FieldSink) {}
        }

        impl Request for $name {
            const CODE: RequestCode = RequestCode::$code;
            type Response = $answer;

            fn body(&self) -> Bytes {
                self.body.clone()
            }
        }

        impl ReadRequest for $name {
            fn read_request(command: &Command) -> Result<Self, DecodeError> {
                Ok(Self { body: command.body().clone() })
            }
        }
    )*};
}

lock_request! {
    /// Locks queues for a client, so that no other member of its group consumes them; also keeps locks that it has. To the
    /// master of each broker. A lock ends 60 s after its holder asked for it last, and outlives the holder's connection.
    #[doc(alias = "LOCK_BATCH_MQ")]
    LockBatch(LOCK_BATCH_MQ) -> LockedQueues,
    /// Gives locks back. What the client does not hold is passed over.
    #[doc(alias = "UNLOCK_BATCH_MQ")]
    UnlockBatch(UNLOCK_BATCH_MQ) -> (),
}

impl Response for LockedQueues {
    fn read(command: Command) -> Result<Self, DecodeError> {
        Self::read_body(command.body())
    }
}
