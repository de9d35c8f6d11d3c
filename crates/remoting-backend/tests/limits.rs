//! Limits that hold without anybody asking for them (S4). The table for users is in docs/architecture.md.

use ferrocket_model::properties;
use ferrocket_protocol::limits;
use ferrocket_remoting_backend::{Config, Options};

const MIB: usize = 1 << 20;

/// S4: who raises one of these makes it a decision, and changes the table.
#[test]
fn s4_what_a_peer_can_make_us_keep_is_limited_by_default() {
    let config = Config::new(vec!["127.0.0.1:9876".to_owned()], "c");
    assert_eq!(config.max_body_bytes, 16 * MIB, "a body after decompression");
    let Options { max_frame_bytes, max_in_flight, max_buffered_bytes, .. } = config.options;
    assert_eq!((max_frame_bytes, max_buffered_bytes, max_in_flight), (16 * MIB, 8 * MIB, 65_535));
    assert_eq!((limits::MAX_FRAME_BYTES, limits::MAX_HEADER_BYTES), (16 * MIB, 64 * 1024));
    assert_eq!((limits::MAX_EXT_FIELDS, limits::MAX_JSON_DEPTH, properties::MAX_BYTES), (1_024, 64, 32_767));
}
