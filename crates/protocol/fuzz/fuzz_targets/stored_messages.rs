//! Stored messages: no panic, no record reaches out of the buffer, and what was read comes back when it is stored again.
#![no_main]

use bytes::BytesMut;
use ferrocket_protocol::message::{StoredMessages, StoredParts, write_stored};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut sizes = 0;
    for message in StoredMessages::new(data).without_crc() {
        let Ok(message) = message else { continue };
        sizes += message.bytes as usize;
        assert!(message.bytes as usize >= 91 + message.body.len() + message.topic.len() + message.properties.len());
        let (Some(born_host), Some(store_host)) = (message.born_host, message.store_host) else { continue };
        let Ok(properties) = std::str::from_utf8(message.properties) else { continue };
        let mut out = BytesMut::new();
        let size = write_stored(
            &StoredParts {
                queue_id: message.queue_id,
                flag: message.flag,
                queue_offset: message.queue_offset,
                commit_log_offset: message.commit_log_offset,
                sys_flag: message.sys_flag,
                born_ms: message.born_ms,
                born_host,
                stored_ms: message.stored_ms,
                store_host,
                reconsume_times: message.reconsume_times,
                prepared_offset: message.prepared_offset,
                body: message.body,
                topic: message.topic,
                properties,
            },
            &mut out,
        );
        let again = out.freeze();
        let mut read = StoredMessages::new(&again);
        let mut second = read.next().unwrap().unwrap();
        assert!(read.next().is_none() && second.is_intact);
        assert_eq!(second.bytes as usize, size);
        // The checksum is made anew, and there may have been bytes behind the record.
        (second.crc, second.bytes) = (message.crc, message.bytes);
        assert_eq!(second, message);
    }
    assert!(sizes <= data.len());
    let _ = StoredMessages::new(data).count();
});
