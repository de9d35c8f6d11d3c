//! Messages on the wire: stored records as brokers hand them out, and batches as producers send them.

mod batch;
mod stored;
mod sys_flag;

pub use batch::{BatchRecord, BatchRecords, push_batch_record};
pub use stored::{StoredMessage, StoredMessages, StoredParts, write_stored};
pub use sys_flag::{CompressionKind, SysFlag};
