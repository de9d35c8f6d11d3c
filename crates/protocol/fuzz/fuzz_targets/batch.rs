//! Batches: no panic, no record reaches out of the body, and what was read comes back when it is written again.
#![no_main]

use bytes::{Bytes, BytesMut};
use ferrocket_protocol::message::{BatchRecords, push_batch_record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mut ended, mut bytes) = (false, 0);
    for record in BatchRecords::new(Bytes::copy_from_slice(data)) {
        assert!(!ended, "an error is the last item");
        let Ok(record) = record else {
            ended = true;
            continue;
        };
        bytes += 22 + record.body.len() + record.properties.len();
        let Ok(properties) = std::str::from_utf8(&record.properties) else { continue };
        let mut out = BytesMut::new();
        push_batch_record(record.flag, &record.body, properties, &mut out);
        let again: Vec<_> = BatchRecords::new(out.freeze()).collect();
        assert_eq!(again, [Ok(record)]);
    }
    assert!(bytes <= data.len());
});
