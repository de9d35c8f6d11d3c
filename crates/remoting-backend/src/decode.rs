use std::sync::Arc;

use bytes::Bytes;
use ferrocket_compression::{Codec, decompress};
use ferrocket_model::{BrokerName, Filter, MessageQueue, ReceivedMessage, ReceivedParts, Source, properties};
use ferrocket_protocol::{
    DecodeError,
    message::{BatchRecords, CompressionKind, StoredMessage, StoredMessages, SysFlag},
};

use crate::names::Names;

/// Turns stored messages into received ones: views of the one buffer, bodies decompressed.
pub(crate) struct Decoder {
    pub(crate) max_body_bytes: usize,
    pub(crate) decompress: bool,
    pub(crate) names: Arc<Names>,
}

impl Decoder {
    pub(crate) fn message(
        &self,
        buffer: &Bytes,
        record: &StoredMessage<'_>,
        source: &Arc<Source>,
        offset_delta: i64,
    ) -> ReceivedMessage {
        let (body, defect) = self.body(buffer, record);
        let properties = clean_properties(buffer.slice_ref(record.properties));
        parts(&self.names, record, source, offset_delta, body, properties, defect).into()
    }

    /// One stored message that no pull brought: of a queue that its record names.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub(crate) fn lone(&self, buffer: &Bytes, broker: &BrokerName) -> Result<ReceivedMessage, DecodeError> {
        let record = StoredMessages::new(buffer).next().ok_or(DecodeError::Lengths("a stored message"))??;
        let queue = MessageQueue::new(
            self.names.plain_topic(record.topic),
            broker,
            u32::try_from(record.queue_id).unwrap_or(0),
        );
        Ok(self.message(buffer, &record, &Source::of(queue), 0))
    }

    /// Whether its body takes memory of its own once it is a message.
    pub(crate) fn unpacks(&self, record: &StoredMessage<'_>) -> bool {
        self.decompress && !matches!(record.sys_flag.compression(), Ok(None))
    }

    /// The body as the sender gave it, or why it cannot be had.
    fn body(&self, buffer: &Bytes, record: &StoredMessage<'_>) -> (Bytes, Option<Arc<str>>) {
        let body = buffer.slice_ref(record.body);
        if !record.is_intact {
            return (body, Some("the checksum of the body is wrong".into()));
        }
        self.plain_body(record.sys_flag, body)
    }

    /// A body without its compression, or why it cannot be had.
    pub(crate) fn plain_body(&self, sys_flag: SysFlag, body: Bytes) -> (Bytes, Option<Arc<str>>) {
        if !self.decompress {
            return (body, None);
        }
        let codec = match sys_flag.compression() {
            Ok(None) => return (body, None),
            Ok(Some(CompressionKind::Lz4)) => Codec::Lz4,
            Ok(Some(CompressionKind::Zstd)) => Codec::Zstd,
            Ok(Some(_)) => Codec::Zlib,
            Err(kind) => return (body, Some(format!("unknown kind of compression {kind}").into())),
        };
        match decompress(codec, &body, self.max_body_bytes) {
            Ok(plain) => (plain, None),
            Err(error) => (body, Some(error.to_string().into())),
        }
    }

    /// A batch that the broker stored whole (§5.7): each child has the parent's offset plus its place.
    pub(crate) fn inner_batch(
        &self,
        buffer: &Bytes,
        record: &StoredMessage<'_>,
        source: &Arc<Source>,
        offset_delta: i64,
        filter: &Filter,
    ) -> Vec<ReceivedMessage> {
        let (body, defect) = self.body(buffer, record);
        let whole = |defect| {
            let (body, properties) = (buffer.slice_ref(record.body), buffer.slice_ref(record.properties));
            parts(&self.names, record, source, offset_delta, body, properties, Some(defect))
        };
        if let Some(defect) = defect {
            return vec![whole(defect).into()];
        }
        let mut messages = Vec::new();
        for (place, child) in BatchRecords::new(body).enumerate() {
            let Ok(child) = child else {
                messages.push(whole("the batch cannot be taken apart".into()).into());
                break;
            };
            if !wanted(filter, &child.properties) {
                continue;
            }
            let properties = clean_properties(child.properties);
            let mut parts = parts(&self.names, record, source, offset_delta, child.body, properties, None);
            parts.offset += place as u64;
            parts.flag = child.flag;
            parts.reconsume_times = 0;
            parts.store_host = None; // a child has no broker id of its own
            messages.push(parts.into());
        }
        messages
    }
}

/// Brokers compare hashes of tags; the exact comparison is ours. "Everything" needs no look at the properties.
/// The wire may not be UTF-8.
pub(crate) fn wanted(filter: &Filter, properties: &[u8]) -> bool {
    filter.expression() == "*"
        || filter.accepts_tag(properties::find(&String::from_utf8_lossy(properties), properties::name::TAGS))
}

/// Its offset in the queue.
pub(crate) fn offset(record: &StoredMessage<'_>, offset_delta: i64) -> u64 {
    unsigned(record.queue_offset.saturating_add(offset_delta))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn parts(
    names: &Names,
    record: &StoredMessage<'_>,
    source: &Arc<Source>,
    offset_delta: i64,
    body: Bytes,
    properties: Bytes,
    defect: Option<Arc<str>>,
) -> ReceivedParts {
    let topic = source.queue.topic();
    // Messages of the group's retry topic are shown under their original topic.
    let original = if topic.is_retry() {
        std::str::from_utf8(&properties).ok().and_then(|text| properties::find(text, properties::name::RETRY_TOPIC))
    } else {
        None
    };
    ReceivedParts {
        topic: original.map_or_else(|| topic.clone(), |name| names.plain_topic(name)),
        body,
        source: source.clone(),
        offset: offset(record, offset_delta),
        commit_log_offset: record.commit_log_offset,
        born_ms: unsigned(record.born_ms),
        stored_ms: unsigned(record.stored_ms),
        born_host: record.born_host,
        store_host: record.store_host,
        flag: record.flag,
        reconsume_times: u32::try_from(record.reconsume_times).unwrap_or(0),
        wire_bytes: record.bytes,
        defect,
        properties,
    }
}

/// Properties that are not UTF-8 are made so, as Java does, instead of being lost.
fn clean_properties(properties: Bytes) -> Bytes {
    match std::str::from_utf8(&properties) {
        Ok(_) => properties,
        Err(_) => String::from_utf8_lossy(&properties).into_owned().into(),
    }
}
